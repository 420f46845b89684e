-- What the calls of each session cost by model, and its stages.
-- Grain: org_id, session_id, model, stage.
-- Inputs: calls, session_runs.
-- engine: portable
SELECT
    r.org_id,
    r.session_id,
    c.model,
    CASE WHEN c.kind = 'stage' THEN coalesce(c.name, 'unknown') END AS stage,
    CAST(sum(c.cost_usd) AS DECIMAL(38, 9)) AS cost_usd
FROM calls AS c
INNER JOIN session_runs AS r ON c.run_id = r.run_id
WHERE c.cost_usd IS NOT NULL OR c.kind = 'stage'
GROUP BY r.org_id, r.session_id, c.model, CASE WHEN c.kind = 'stage' THEN coalesce(c.name, 'unknown') END
