-- What each run did with each model, by 24 hours back from an instant: block 0 holds the last 24 hours.
-- Grain: org_id, model, run_id, block.
-- Inputs: calls.
-- Parameters: $ends_at, $starts_at, $known_until (UTC instants; the calls start in [starts_at, known_until)), $org (NULL:
--   every org).
-- engine: portable
SELECT
    c.org_id,
    c.model,
    c.run_id,
    CAST(floor((unix_micros(CAST($ends_at AS TIMESTAMP)) - unix_micros(c.started_at) - 1) / 86400000000) AS BIGINT)
        AS block,
    sum(c.cost_usd) AS cost_usd,
    sum(c.total_tokens) AS total_tokens,
    count(CASE WHEN c.cost_source = 'unpriced' THEN 1 END) AS unpriced_calls
FROM calls AS c
WHERE
    c.started_at >= $starts_at AND c.started_at < $known_until
    AND (c.model IS NOT NULL OR c.kind IN ('llm', 'embedding', 'retrieval'))
    AND (CAST($org AS VARCHAR) IS NULL OR c.org_id = $org)
GROUP BY
    c.org_id,
    c.model,
    c.run_id,
    CAST(floor((unix_micros(CAST($ends_at AS TIMESTAMP)) - unix_micros(c.started_at) - 1) / 86400000000) AS BIGINT)
