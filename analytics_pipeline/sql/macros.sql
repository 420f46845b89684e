-- Spark's names for what the portable files need and DuckDB calls otherwise. `percentile` takes no FILTER: use CASE. It
-- takes several shares at once as a parameter and gives them as an array, which `get` counts from 0.
-- Grain: none. Inputs: none. Parameters: none.
-- engine: duckdb
CREATE OR REPLACE TEMP MACRO get_json_object(j, p) AS json_extract_string(j, p);
CREATE OR REPLACE TEMP MACRO unix_micros(t) AS epoch_us(t);
CREATE OR REPLACE TEMP MACRO percentile(x, p) AS quantile_cont(x, p);
CREATE OR REPLACE TEMP MACRO get(a, i) AS a[i + 1]
