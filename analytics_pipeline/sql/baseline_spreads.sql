-- How long the tails are: the 90th percentile of the absolute residuals, each in units of its category's scale, over
-- their median; a million where only the median is 0, NULL where both are.
-- Grain: as_of_day, metric, org_no.
-- Inputs: baseline_residuals, baseline_scales. Parameters: $middle_and_high (0.5 and 0.9).
-- engine: portable
WITH scales AS (
    SELECT
        as_of_day,
        cluster_no,
        max(CASE WHEN metric = 'cost' THEN cluster_scale END) AS cost,
        max(CASE WHEN metric = 'duration' THEN cluster_scale END) AS duration,
        max(CASE WHEN metric = 'tokens' THEN cluster_scale END) AS tokens
    FROM baseline_scales
    GROUP BY as_of_day, cluster_no
),

scaled AS (
    SELECT
        r.as_of_day,
        r.org_no,
        CAST(round(r.cost / nullif(s.cost, 0)) AS INTEGER) AS cost,
        CAST(round(r.duration / nullif(s.duration, 0)) AS INTEGER) AS duration,
        CAST(round(r.tokens / nullif(s.tokens, 0)) AS INTEGER) AS tokens
    FROM baseline_residuals AS r
    INNER JOIN scales AS s ON s.as_of_day = r.as_of_day AND s.cluster_no = r.cluster_no
),

quantiles AS (
    SELECT
        as_of_day,
        org_no,
        get(percentile(cost, $middle_and_high), 0) AS cost_middle,
        get(percentile(cost, $middle_and_high), 1) AS cost_high,
        get(percentile(duration, $middle_and_high), 0) AS duration_middle,
        get(percentile(duration, $middle_and_high), 1) AS duration_high,
        get(percentile(tokens, $middle_and_high), 0) AS tokens_middle,
        get(percentile(tokens, $middle_and_high), 1) AS tokens_high
    FROM scaled
    GROUP BY as_of_day, org_no
)

SELECT as_of_day, 'cost' AS metric, org_no,
    CASE WHEN cost_middle > 0 THEN cost_high / cost_middle WHEN cost_high > 0 THEN 1000000 END AS spread
FROM quantiles
UNION ALL
SELECT as_of_day, 'duration' AS metric, org_no,
    CASE WHEN duration_middle > 0 THEN duration_high / duration_middle WHEN duration_high > 0 THEN 1000000 END AS spread
FROM quantiles
UNION ALL
SELECT as_of_day, 'tokens' AS metric, org_no,
    CASE WHEN tokens_middle > 0 THEN tokens_high / tokens_middle WHEN tokens_high > 0 THEN 1000000 END AS spread
FROM quantiles
