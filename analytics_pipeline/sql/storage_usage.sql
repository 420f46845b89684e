-- What each table holds, takes and costs.
-- Grain: as_of_day, table_name.
-- Inputs: none. Parameters: $rows (list of the columns below).
-- engine: duckdb
SELECT unnest(
    CAST($rows AS STRUCT(as_of_day DATE, table_name VARCHAR, rows BIGINT, bytes BIGINT, cost_usd_per_day DOUBLE)[]),
    recursive := true
)
