-- Runs, tokens and known cost of one cell of calls in two periods.
-- Grain: is_current.
-- Inputs: calls.
-- Parameters: $previous_from, $previous_until, $current_from, $current_until (UTC instants, half-open, of the calls'
--   start), $org, and the cell: $project, $pipeline_id, $provider, $model, $called (the name), $agent_id (NULL: any).
-- engine: portable
SELECT
    CASE WHEN c.started_at >= $current_from THEN 1 ELSE 0 END AS is_current,
    count(DISTINCT c.run_id) AS runs,
    CAST(coalesce(sum(c.total_tokens), 0) AS BIGINT) AS tokens,
    CAST(coalesce(sum(c.cost_usd), 0) AS DOUBLE) AS cost
FROM calls AS c
WHERE
    c.started_at >= $previous_from AND c.started_at < $current_until
    AND (c.started_at < $previous_until OR c.started_at >= $current_from)
    AND (c.kind <> 'stage' OR c.cost_usd IS NOT NULL)
    AND c.org_id = $org
    AND (CAST($project AS VARCHAR) IS NULL OR c.project = $project)
    AND (CAST($pipeline_id AS VARCHAR) IS NULL OR c.pipeline_id = $pipeline_id)
    AND (CAST($provider AS VARCHAR) IS NULL OR c.provider = $provider)
    AND (CAST($model AS VARCHAR) IS NULL OR c.model = $model)
    AND (CAST($called AS VARCHAR) IS NULL OR c.name = $called)
    AND (CAST($agent_id AS VARCHAR) IS NULL OR c.agent_id = $agent_id)
GROUP BY CASE WHEN c.started_at >= $current_from THEN 1 ELSE 0 END
ORDER BY is_current NULLS FIRST
