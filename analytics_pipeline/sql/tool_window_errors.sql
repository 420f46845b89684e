-- The failures of each profile by error type, the commonest first, as a list and as the one on top.
-- Grain: profile_id.
-- Inputs: tool_windows, tool_day_errors, window_days. Parameters: none.
-- engine: duckdb
WITH types AS (
    SELECT
        w.profile_id,
        t.error_type,
        CAST(sum(t.failures) AS BIGINT) AS failures,
        w.total_executions - w.successful_executions AS all_failures,
        min(t.since) AS since
    FROM tool_day_errors AS t
    INNER JOIN window_days AS d ON d.member_day = t.day
    INNER JOIN tool_windows AS w ON
        w.as_of_day = d.day AND w.org_id = t.org_id AND w.tool_name IS NOT DISTINCT FROM t.tool_name
    GROUP BY w.profile_id, t.error_type, w.total_executions, w.successful_executions
)

SELECT
    profile_id,
    first(error_type ORDER BY failures DESC, error_type) AS top_error_type,
    to_json(
        list(
            struct_pack(
                error_type := error_type,
                failures := failures,
                share := round(failures / all_failures, 6),
                since := strftime(since, '%Y-%m-%dT%H:%M:%SZ')
            )
            ORDER BY failures DESC, error_type
        )
    ) AS risk_patterns
FROM types
GROUP BY profile_id
