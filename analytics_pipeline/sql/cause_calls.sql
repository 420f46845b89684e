-- What calls cost, or how long they took, in two periods, by everything a cause may be named by. Stages are left out: the
-- calls within them hold the money and the time.
-- Grain: org_id, project, pipeline_id, provider, model, name, agent_id.
-- Inputs: calls.
-- Parameters: $previous_from, $previous_until, $current_from, $current_until (UTC instants, half-open, of the calls'
--   start), $org (NULL: every org), $metric (cost: USD, or duration: milliseconds).
-- engine: portable
SELECT
    org_id,
    project,
    pipeline_id,
    provider,
    model,
    name,
    agent_id,
    NULL AS error_type,
    count(DISTINCT run_id) AS runs,
    coalesce(sum(CASE WHEN is_current = 0 THEN amount END), 0) AS previous,
    coalesce(sum(CASE WHEN is_current = 1 THEN amount END), 0) AS current
FROM (
    SELECT
        c.org_id,
        c.project,
        c.pipeline_id,
        c.provider,
        c.model,
        c.name,
        c.agent_id,
        c.run_id,
        CASE WHEN $metric = 'cost' THEN c.cost_usd ELSE CAST(c.duration_ms AS DECIMAL(18, 3)) END AS amount,
        CASE WHEN c.started_at >= $current_from THEN 1 ELSE 0 END AS is_current
    FROM calls AS c
    WHERE
        c.started_at >= $previous_from AND c.started_at < $current_until
        AND (c.started_at < $previous_until OR c.started_at >= $current_from)
        AND (c.kind <> 'stage' OR ($metric = 'cost' AND c.cost_usd IS NOT NULL))
        AND (CAST($org AS VARCHAR) IS NULL OR c.org_id = $org)
) AS placed
GROUP BY org_id, project, pipeline_id, provider, model, name, agent_id
