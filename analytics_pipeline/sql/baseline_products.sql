-- What lines through ln(metric) on ln(characters) are fitted from: sums and products of the sessions whose size is
-- known, by which of the metrics are. Logarithms are summed as ten-thousandths, so that the order of the sessions cannot
-- show in the last digit.
-- Grain: day, pipeline_no, has_cost, has_duration, has_tokens.
-- Inputs: baseline_sessions. Parameters: none.
-- engine: portable
SELECT
    day,
    pipeline_no,
    cost IS NOT NULL AS has_cost,
    duration IS NOT NULL AS has_duration,
    tokens IS NOT NULL AS has_tokens,
    count(*) AS n,
    sum(size) AS size_sum,
    sum(CAST(size AS BIGINT) * size) AS size_squares,
    sum(cost) AS cost_sum,
    sum(CAST(cost AS BIGINT) * size) AS cost_products,
    sum(duration) AS duration_sum,
    sum(CAST(duration AS BIGINT) * size) AS duration_products,
    sum(tokens) AS tokens_sum,
    sum(CAST(tokens AS BIGINT) * size) AS tokens_products
FROM (
    SELECT
        day,
        pipeline_no,
        CAST(round(size * 10000) AS INTEGER) AS size,
        CAST(round(cost * 10000) AS INTEGER) AS cost,
        CAST(round(duration * 10000) AS INTEGER) AS duration,
        CAST(round(tokens * 10000) AS INTEGER) AS tokens
    FROM baseline_sessions
    WHERE size IS NOT NULL
) AS whole
GROUP BY day, pipeline_no, cost IS NOT NULL, duration IS NOT NULL, tokens IS NOT NULL
