-- How long the runs of a period took that were not cancelled, of each org and of each of its pipelines.
-- Grain: org_id, pipeline_id (NULL: all of the org).
-- Inputs: runs. Parameters: $starts_at, $ends_at (UTC instants, half-open), $org (NULL: every org).
-- engine: duckdb
SELECT
    org_id,
    pipeline_id,
    count(duration_ms) AS runs,
    quantile_cont(duration_ms, 0.5) AS p50_ms,
    quantile_cont(duration_ms, 0.95) AS p95_ms
FROM runs
WHERE started_at >= $starts_at AND started_at < $ends_at AND duration_ms IS NOT NULL AND status <> 'cancelled'
    AND (CAST($org AS VARCHAR) IS NULL OR org_id = $org)
GROUP BY GROUPING SETS ((org_id), (org_id, pipeline_id))
HAVING grouping(pipeline_id) = 1 OR pipeline_id IS NOT NULL
ORDER BY org_id, pipeline_id
