-- Sums over the model calls of each 24 hours back from an instant, and, as the last block, how many are older. `runs` are
-- those that used the model.
-- Grain: org_id, model, block.
-- Inputs: change_calls, calls.
-- Parameters: $blocks (blocks of 24 hours before the one of all that is older), $starts_at (where block $blocks ends),
--   $org (NULL: every org).
-- engine: portable
SELECT
    c.org_id,
    c.model,
    c.block,
    count(*) AS runs,
    CAST(coalesce(sum(c.cost_usd), 0) AS DOUBLE) AS cost,
    CAST(coalesce(sum(c.total_tokens), 0) AS DOUBLE) AS tokens
FROM change_calls AS c
GROUP BY c.org_id, c.model, c.block
UNION ALL
SELECT
    c.org_id,
    c.model,
    $blocks AS block,
    count(*) AS runs,
    0 AS cost,
    0 AS tokens
FROM calls AS c
WHERE
    c.started_at < $starts_at
    AND (c.model IS NOT NULL OR c.kind IN ('llm', 'embedding', 'retrieval'))
    AND (CAST($org AS VARCHAR) IS NULL OR c.org_id = $org)
GROUP BY c.org_id, c.model
ORDER BY org_id NULLS FIRST, model NULLS FIRST, block NULLS FIRST
