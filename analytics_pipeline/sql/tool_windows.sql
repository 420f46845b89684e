-- What each tool did in the 30 days that end with each day, each row with a number of its own. The weighted success
-- rate begins at 0.95 before the window's first execution; a day's step shrinks by 0.95 with every execution after it.
-- Grain: as_of_day, org_id, tool_name.
-- Inputs: tool_days, window_days. Parameters: none.
-- engine: portable
SELECT
    row_number() OVER (
        ORDER BY as_of_day ASC NULLS FIRST, org_id ASC NULLS FIRST, tool_name ASC NULLS FIRST
    ) AS profile_id,
    as_of_day,
    org_id,
    tool_name,
    CAST(sum(executions) AS BIGINT) AS total_executions,
    CAST(sum(successes) AS BIGINT) AS successful_executions,
    0.95 * power(0.95, CAST(sum(executions) AS DOUBLE))
    + CAST(sum(CAST(coalesce(recent, 0) * power(0.95, executions_after) AS DECIMAL(18, 17))) AS DOUBLE)
        AS success_rate_ewma,
    CAST(sum(cost_sum) AS DOUBLE) AS cost_sum,
    CAST(sum(costs) AS BIGINT) AS costs,
    CAST(sum(duration_us) AS DOUBLE) / 1000 AS duration_ms_sum,
    CAST(sum(durations) AS BIGINT) AS durations,
    CAST(sum(browser_known) AS BIGINT) AS browser_known,
    CAST(sum(browser_used) AS BIGINT) AS browser_used,
    max(last_execution_at) AS last_execution_at
FROM (
    SELECT
        w.day AS as_of_day,
        t.*,
        CAST(
            coalesce(
                sum(t.executions) OVER (
                    PARTITION BY w.day, t.org_id, t.tool_name
                    ORDER BY w.member_day ASC NULLS LAST
                    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
                ),
                0
            ) AS DOUBLE
        ) AS executions_after
    FROM tool_days AS t
    INNER JOIN window_days AS w ON w.member_day = t.day
) AS members
GROUP BY as_of_day, org_id, tool_name
