-- Failed runs of two periods, by everything a cause may be named by.
-- Grain: org_id, project, pipeline_id, agent_id, error_type.
-- Inputs: runs.
-- Parameters: $previous_from, $previous_until, $current_from, $current_until (UTC instants, half-open, of the runs'
--   start), $org (NULL: every org).
-- engine: portable
SELECT
    r.org_id,
    r.project,
    r.pipeline_id,
    NULL AS provider,
    NULL AS model,
    NULL AS name,
    r.agent_id,
    r.error_type,
    count(*) AS runs,
    count(CASE WHEN r.started_at < $current_from THEN 1 END) AS previous,
    count(CASE WHEN r.started_at >= $current_from THEN 1 END) AS current
FROM runs AS r
WHERE
    r.status = 'failed'
    AND r.started_at >= $previous_from AND r.started_at < $current_until
    AND (r.started_at < $previous_until OR r.started_at >= $current_from)
    AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
GROUP BY r.org_id, r.project, r.pipeline_id, r.agent_id, r.error_type
