-- Failed runs of a period by their error.
-- Grain: org_id, pipeline_id (NULL: runs that name none), error_type (NULL: not said).
-- Inputs: runs.
-- Parameters: $starts_at, $ends_at (UTC instants, half-open), $org (NULL: every org).
-- engine: portable
SELECT
    r.org_id,
    r.pipeline_id,
    r.error_type,
    COUNT(*) AS failed
FROM runs AS r
WHERE r.started_at >= $starts_at
    AND r.started_at < $ends_at
    AND r.status = 'failed'
    AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
GROUP BY r.org_id, r.pipeline_id, r.error_type
ORDER BY r.org_id NULLS FIRST, r.pipeline_id NULLS FIRST, r.error_type NULLS FIRST
