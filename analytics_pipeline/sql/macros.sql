-- Spark's names for what the portable files need and DuckDB calls otherwise. `percentile` takes no FILTER: use CASE.
-- Grain: none. Inputs: none. Parameters: none.
-- engine: duckdb
CREATE OR REPLACE TEMP MACRO get_json_object(j, p) AS json_extract_string(j, p);
CREATE OR REPLACE TEMP MACRO unix_micros(t) AS epoch_us(t);
CREATE OR REPLACE TEMP MACRO percentile(x, p) AS quantile_cont(x, p)
