-- Calls of each model in a period, their known cost and how many of them have none.
-- Grain: org_id, provider, model.
-- Inputs: calls. Parameters: $starts_at, $ends_at (UTC instants, half-open), $org (NULL: every org).
-- engine: portable
SELECT
    c.org_id,
    c.provider,
    c.model,
    count(CASE WHEN c.kind IN ('llm', 'embedding', 'retrieval') THEN 1 END) AS calls,
    count(CASE WHEN c.cost_source = 'unpriced' THEN 1 END) AS unpriced_calls,
    sum(c.cost_usd) AS cost_usd
FROM calls AS c
WHERE
    c.started_at >= $starts_at AND c.started_at < $ends_at
    AND (CAST($org AS VARCHAR) IS NULL OR c.org_id = $org)
GROUP BY c.org_id, c.provider, c.model
HAVING count(CASE WHEN c.kind IN ('llm', 'embedding', 'retrieval') THEN 1 END) > 0 OR sum(c.cost_usd) > 0
ORDER BY c.org_id NULLS FIRST, c.provider NULLS FIRST, c.model NULLS FIRST
