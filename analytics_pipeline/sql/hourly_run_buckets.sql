-- The known durations of each hour's runs, counted by bucket (as hourly_call_buckets).
-- Grain: grain_id, bucket.
-- Inputs: runs, hourly_run_sums. Parameters: $starts_at, $ends_at (half-open, of the runs' start).
-- engine: portable
SELECT grain_id, bucket, count(*) AS n
FROM (
    SELECT
        s.grain_id,
        CASE WHEN r.duration_ms > 1 THEN CAST(floor(ln(r.duration_ms) / ln(1.02)) AS INTEGER) ELSE 0 END AS bucket
    FROM runs AS r
    INNER JOIN hourly_run_sums AS s ON
        date_trunc('hour', r.started_at) = s.hour
        AND r.org_id IS NOT DISTINCT FROM s.org_id
        AND r.project IS NOT DISTINCT FROM s.project
        AND r.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
        AND r.agent_id IS NOT DISTINCT FROM s.agent_id
        AND r.mode IS NOT DISTINCT FROM s.mode
    WHERE r.started_at >= $starts_at AND r.started_at < $ends_at AND r.duration_ms IS NOT NULL
) AS timed
GROUP BY grain_id, bucket
