-- What each scope is expected to cost on each day ahead.
-- Grain: as_of_day, org_id, scope_kind, scope, day.
-- Inputs: none. Parameters: $rows (list of the columns below).
-- engine: duckdb
SELECT unnest(
    CAST(
        $rows AS STRUCT(
            as_of_day DATE,
            org_id VARCHAR,
            scope_kind VARCHAR,
            scope VARCHAR,
            day DATE,
            forecast DOUBLE,
            lo80 DOUBLE,
            hi80 DOUBLE,
            lo95 DOUBLE,
            hi95 DOUBLE
        )[]
    ),
    recursive := true
)
