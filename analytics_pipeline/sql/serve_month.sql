-- Money of a span of reporting days; NULL where there were calls and nothing is known of their cost.
-- Grain: one row.
-- Inputs: daily_series, calls.
-- Parameters: $org, $project (NULL: any), $first_day, $last_day (both included).
-- engine: duckdb
SELECT
    coalesce(
        (
            SELECT sum(cost_usd)
            FROM daily_series
            WHERE org_id = $org
                AND ($project::VARCHAR IS NULL OR project = $project)
                AND day BETWEEN $first_day AND $last_day
        ),
        CASE
            WHEN NOT EXISTS (
                SELECT 1
                FROM calls
                WHERE org_id = $org
                    AND ($project::VARCHAR IS NULL OR project = $project)
                    AND day BETWEEN $first_day AND $last_day
            ) THEN 0
        END
    ) AS cost_usd
