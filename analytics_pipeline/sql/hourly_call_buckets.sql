-- The known durations of each hour's calls, counted by bucket: bucket b holds those in [1.02^b, 1.02^(b+1)) ms, bucket
-- 0 also those below 1 ms. A duration within rounding of a bound (1e-15 of it) may count on either side of it.
-- Grain: grain_id, bucket.
-- Inputs: calls, hourly_call_sums. Parameters: $starts_at, $ends_at (half-open, of the calls' start).
-- engine: portable
SELECT grain_id, bucket, count(*) AS n
FROM (
    SELECT
        s.grain_id,
        CASE WHEN c.duration_ms > 1 THEN CAST(floor(ln(c.duration_ms) / ln(1.02)) AS INTEGER) ELSE 0 END AS bucket
    FROM calls AS c
    INNER JOIN hourly_call_sums AS s ON
        date_trunc('hour', c.started_at) = s.hour
        AND c.org_id IS NOT DISTINCT FROM s.org_id
        AND c.project IS NOT DISTINCT FROM s.project
        AND c.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
        AND c.agent_id IS NOT DISTINCT FROM s.agent_id
        AND c.kind = s.kind
        AND c.name IS NOT DISTINCT FROM s.name
        AND c.provider IS NOT DISTINCT FROM s.provider
        AND c.model IS NOT DISTINCT FROM s.model
    WHERE c.started_at >= $starts_at AND c.started_at < $ends_at AND c.duration_ms IS NOT NULL
) AS timed
GROUP BY grain_id, bucket
