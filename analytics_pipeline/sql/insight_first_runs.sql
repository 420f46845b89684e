-- When a pipeline was first seen: a period before that is not one without cost, but one that nobody knows.
-- Grain: org_id, pipeline_id (NULL: runs that name none).
-- Inputs: runs.
-- Parameters: $ends_at (UTC instant, excluded), $org (NULL: every org).
-- engine: portable
SELECT
    r.org_id,
    r.pipeline_id,
    MIN(r.started_at) AS first_run
FROM runs AS r
WHERE r.started_at < $ends_at
    AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
GROUP BY r.org_id, r.pipeline_id
ORDER BY r.org_id NULLS FIRST, r.pipeline_id NULLS FIRST
