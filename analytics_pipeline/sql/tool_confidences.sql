-- How far each pair of counts that occurs can be trusted, as computed from it.
-- Grain: total_executions, successful_executions.
-- Inputs: none. Parameters: $rows (list of the columns below).
-- engine: duckdb
SELECT unnest(
    CAST(
        $rows AS STRUCT(
            total_executions BIGINT,
            successful_executions BIGINT,
            confidence_level VARCHAR,
            success_rate_lb DOUBLE,
            p_high DOUBLE,
            p_low DOUBLE
        )[]
    ),
    recursive := true
)
