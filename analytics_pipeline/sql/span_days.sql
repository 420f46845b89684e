-- The days that are made, each with its bounds as instants, and the instant up to which the day's snapshots know.
-- Grain: day.
-- Inputs: none. Parameters: $rows (list of day, starts_at, ends_at, known_until).
-- engine: duckdb
SELECT unnest(
    CAST($rows AS STRUCT(day DATE, starts_at TIMESTAMP, ends_at TIMESTAMP, known_until TIMESTAMP)[]), recursive := true
)
