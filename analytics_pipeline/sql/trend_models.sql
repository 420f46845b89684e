-- Sums over the model calls of a period and of the one before; `runs` are those that used the model.
-- Grain: org_id, model, is_current.
-- Inputs: calls. Parameters: $previous_from, $current_from, $known_until (half-open, of the calls' start).
-- engine: portable
SELECT
    org_id,
    model,
    CASE WHEN started_at >= $current_from THEN 1 ELSE 0 END AS is_current,
    count(DISTINCT run_id) AS runs,
    CAST(sum(cost_usd) AS DECIMAL(18, 9)) AS cost_usd,
    CAST(sum(total_tokens) AS BIGINT) AS tokens
FROM calls
WHERE
    started_at >= $previous_from AND started_at < $known_until
    AND (model IS NOT NULL OR kind IN ('llm', 'embedding', 'retrieval'))
GROUP BY org_id, model, CASE WHEN started_at >= $current_from THEN 1 ELSE 0 END
