-- How much of each metric goes with the size of the input, by pipeline: the least-squares slope of ln(metric) on
-- ln(characters), 0 to 1.5, and 0.5 where there are fewer than 20 pairs or all inputs have one size.
-- Grain: as_of_day, pipeline_no.
-- Inputs: baseline_sessions, baseline_products, window_days. Parameters: none.
-- engine: portable
WITH sums AS (
    SELECT
        w.day AS as_of_day,
        p.pipeline_no,
        CAST(sum(CASE WHEN p.has_cost THEN p.n END) AS DOUBLE) AS cost_n,
        CAST(sum(CASE WHEN p.has_cost THEN p.size_sum END) AS DOUBLE) AS cost_s,
        CAST(sum(CASE WHEN p.has_cost THEN p.size_squares END) AS DOUBLE) AS cost_ss,
        CAST(sum(p.cost_sum) AS DOUBLE) AS cost_x,
        CAST(sum(p.cost_products) AS DOUBLE) AS cost_sx,
        CAST(sum(CASE WHEN p.has_duration THEN p.n END) AS DOUBLE) AS duration_n,
        CAST(sum(CASE WHEN p.has_duration THEN p.size_sum END) AS DOUBLE) AS duration_s,
        CAST(sum(CASE WHEN p.has_duration THEN p.size_squares END) AS DOUBLE) AS duration_ss,
        CAST(sum(p.duration_sum) AS DOUBLE) AS duration_x,
        CAST(sum(p.duration_products) AS DOUBLE) AS duration_sx,
        CAST(sum(CASE WHEN p.has_tokens THEN p.n END) AS DOUBLE) AS tokens_n,
        CAST(sum(CASE WHEN p.has_tokens THEN p.size_sum END) AS DOUBLE) AS tokens_s,
        CAST(sum(CASE WHEN p.has_tokens THEN p.size_squares END) AS DOUBLE) AS tokens_ss,
        CAST(sum(p.tokens_sum) AS DOUBLE) AS tokens_x,
        CAST(sum(p.tokens_products) AS DOUBLE) AS tokens_sx
    FROM baseline_products AS p
    INNER JOIN window_days AS w ON w.member_day = p.day
    GROUP BY w.day, p.pipeline_no
),

centres AS (
    SELECT
        w.day AS as_of_day,
        f.pipeline_no,
        percentile(CAST(round(f.size * 10000) AS INTEGER), 0.5) / 10000 AS size_centre
    FROM baseline_sessions AS f
    INNER JOIN window_days AS w ON w.member_day = f.day
    GROUP BY w.day, f.pipeline_no
)

SELECT
    c.as_of_day,
    c.pipeline_no,
    c.size_centre,
    CASE
        WHEN s.cost_n >= 20 AND s.cost_n * s.cost_ss > s.cost_s * s.cost_s
            THEN least(
                greatest(
                    (s.cost_n * s.cost_sx - s.cost_s * s.cost_x)
                    / (s.cost_n * s.cost_ss - s.cost_s * s.cost_s),
                    0
                ),
                1.5
            )
        ELSE 0.5
    END AS cost_slope,
    CASE
        WHEN s.duration_n >= 20 AND s.duration_n * s.duration_ss > s.duration_s * s.duration_s
            THEN least(
                greatest(
                    (s.duration_n * s.duration_sx - s.duration_s * s.duration_x)
                    / (s.duration_n * s.duration_ss - s.duration_s * s.duration_s),
                    0
                ),
                1.5
            )
        ELSE 0.5
    END AS duration_slope,
    CASE
        WHEN s.tokens_n >= 20 AND s.tokens_n * s.tokens_ss > s.tokens_s * s.tokens_s
            THEN least(
                greatest(
                    (s.tokens_n * s.tokens_sx - s.tokens_s * s.tokens_x)
                    / (s.tokens_n * s.tokens_ss - s.tokens_s * s.tokens_s),
                    0
                ),
                1.5
            )
        ELSE 0.5
    END AS tokens_slope
FROM centres AS c
LEFT JOIN sums AS s ON s.as_of_day = c.as_of_day AND s.pipeline_no = c.pipeline_no
