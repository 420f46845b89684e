-- What each tool did on each day. Executions are the calls with a known status; `recent` is the day's step of the
-- exponentially weighted success rate: rate after the day = 0.95^executions * rate before it + recent.
-- Grain: day, org_id, tool_name.
-- Inputs: calls. Parameters: $first_member, $last_member (days, both included), $known_until.
-- engine: portable
SELECT
    day,
    org_id,
    name AS tool_name,
    count(status) AS executions,
    count(CASE WHEN status = 'ok' THEN 1 END) AS successes,
    CAST(sum(CASE WHEN status = 'ok' THEN CAST(0.05 * power(0.95, newer - 1) AS DECIMAL(18, 17)) END) AS DOUBLE)
        AS recent,
    CAST(sum(CASE WHEN status IS NOT NULL THEN cost_usd END) AS DECIMAL(38, 9)) AS cost_sum,
    count(CASE WHEN status IS NOT NULL THEN cost_usd END) AS costs,
    CAST(sum(CASE WHEN status IS NOT NULL THEN CAST(round(duration_ms * 1000) AS BIGINT) END) AS BIGINT) AS duration_us,
    count(CASE WHEN status IS NOT NULL THEN duration_ms END) AS durations,
    count(CASE WHEN status IS NOT NULL THEN browser_used END) AS browser_known,
    count(CASE WHEN status IS NOT NULL AND browser_used THEN 1 END) AS browser_used,
    max(CASE WHEN status IS NOT NULL THEN started_at END) AS last_execution_at
FROM (
    SELECT
        day,
        org_id,
        name,
        status,
        cost_usd,
        duration_ms,
        browser_used,
        started_at,
        row_number() OVER (
            PARTITION BY day, org_id, name, CASE WHEN status IS NULL THEN 0 ELSE 1 END
            ORDER BY started_at DESC NULLS LAST, call_id DESC NULLS LAST
        ) AS newer
    FROM calls
    WHERE kind = 'tool' AND day >= $first_member AND day <= $last_member AND started_at < $known_until
) AS executions
GROUP BY day, org_id, name
