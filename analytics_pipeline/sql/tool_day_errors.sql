-- The failed executions of each tool on each day, counted by error type; an unknown type counts as `unknown`.
-- Grain: day, org_id, tool_name, error_type.
-- Inputs: calls. Parameters: $first_member, $last_member (days, both included), $known_until.
-- engine: portable
SELECT
    day,
    org_id,
    name AS tool_name,
    coalesce(error_type, 'unknown') AS error_type,
    count(*) AS failures,
    min(started_at) AS since
FROM calls
WHERE
    kind = 'tool' AND status = 'error'
    AND day >= $first_member AND day <= $last_member AND started_at < $known_until
GROUP BY day, org_id, name, coalesce(error_type, 'unknown')
