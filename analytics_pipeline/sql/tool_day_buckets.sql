-- The known durations of each tool's executions on each day, counted by bucket (as hourly_call_buckets).
-- Grain: day, org_id, tool_name, bucket.
-- Inputs: calls. Parameters: $first_member, $last_member (days, both included), $known_until.
-- engine: portable
SELECT day, org_id, tool_name, bucket, count(*) AS n
FROM (
    SELECT
        day,
        org_id,
        name AS tool_name,
        CASE WHEN duration_ms > 1 THEN CAST(floor(ln(duration_ms) / ln(1.02)) AS INTEGER) ELSE 0 END AS bucket
    FROM calls
    WHERE
        kind = 'tool' AND status IS NOT NULL AND duration_ms IS NOT NULL
        AND day >= $first_member AND day <= $last_member AND started_at < $known_until
) AS timed
GROUP BY day, org_id, tool_name, bucket
