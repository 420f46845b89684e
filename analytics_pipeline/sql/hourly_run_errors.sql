-- The failed runs of each hour, counted by error type; an unknown type counts as `unknown`.
-- Grain: grain_id, error_type.
-- Inputs: runs, hourly_run_sums. Parameters: $starts_at, $ends_at (half-open, of the runs' start).
-- engine: portable
SELECT s.grain_id, coalesce(r.error_type, 'unknown') AS error_type, count(*) AS n
FROM runs AS r
INNER JOIN hourly_run_sums AS s ON
    date_trunc('hour', r.started_at) = s.hour
    AND r.org_id IS NOT DISTINCT FROM s.org_id
    AND r.project IS NOT DISTINCT FROM s.project
    AND r.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
    AND r.agent_id IS NOT DISTINCT FROM s.agent_id
    AND r.mode IS NOT DISTINCT FROM s.mode
WHERE r.started_at >= $starts_at AND r.started_at < $ends_at AND r.status = 'failed'
GROUP BY s.grain_id, coalesce(r.error_type, 'unknown')
