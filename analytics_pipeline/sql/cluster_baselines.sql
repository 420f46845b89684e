-- What sessions of the 30 days before each day were like, by pipeline, by its input category and by its genus. A
-- session with unpriced calls is in no baseline; every other is, whatever its status, with the figures that it knows.
-- The sums of the days are exact, so that neither the order of the sessions nor the other days made with it show in a
-- mean or a deviation. Beside them stands what was fitted to the logarithms, as the scores use it. Percentiles of whole
-- numbers take two thirds of the time.
-- Grain: as_of_day, org_id, level, pipeline_id, input_category, genus_hash.
-- Inputs: baseline_sessions, baseline_days, baseline_groups, window_days, baseline_fits.
-- Parameters: $middle_and_high (0.5 and 0.95).
-- engine: portable
WITH sums AS (
    SELECT
        w.day AS as_of_day,
        CASE
            WHEN grouping(d.genus_no) = 0 THEN 'genus'
            WHEN grouping(d.cluster_no) = 0 THEN 'cluster'
            ELSE 'global'
        END AS level,
        coalesce(d.genus_no, d.cluster_no, d.pipeline_no) AS group_no,
        CAST(sum(d.run_count) AS BIGINT) AS run_count,
        CAST(sum(d.costs) AS DOUBLE) AS costs,
        CAST(sum(d.durations) AS DOUBLE) AS durations,
        CAST(sum(d.token_counts) AS DOUBLE) AS token_counts,
        CAST(sum(d.cost_sum) AS DOUBLE) AS cost_sum,
        CAST(sum(d.duration_sum) AS DOUBLE) / 1000 AS duration_sum,
        CAST(sum(d.token_sum) AS DOUBLE) AS token_sum,
        CAST(sum(d.cost_squares) AS DOUBLE) AS cost_squares,
        CAST(sum(d.duration_squares) AS DOUBLE) / 1000000 AS duration_squares,
        CAST(sum(d.token_squares) AS DOUBLE) AS token_squares,
        CASE WHEN min(d.least_cost) < max(d.most_cost) THEN 1 ELSE 0 END AS costs_differ,
        CASE WHEN min(d.least_duration) < max(d.most_duration) THEN 1 ELSE 0 END AS durations_differ,
        CASE WHEN min(d.least_tokens) < max(d.most_tokens) THEN 1 ELSE 0 END AS tokens_differ
    FROM baseline_days AS d
    INNER JOIN window_days AS w ON w.member_day = d.day
    GROUP BY GROUPING SETS ((w.day, d.pipeline_no), (w.day, d.cluster_no), (w.day, d.genus_no))
),

quantiles AS (
    SELECT
        w.day AS as_of_day,
        CASE
            WHEN grouping(k.genus_no) = 0 THEN 'genus'
            WHEN grouping(k.cluster_no) = 0 THEN 'cluster'
            ELSE 'global'
        END AS level,
        coalesce(k.genus_no, k.cluster_no, k.pipeline_no) AS group_no,
        get(percentile(k.nanodollars, $middle_and_high), 0) / 1000000000 AS median_cost,
        get(percentile(k.nanodollars, $middle_and_high), 1) / 1000000000 AS p95_cost
    FROM (
        SELECT
            day,
            genus_no,
            cluster_no,
            pipeline_no,
            CAST(round(CAST(total_cost AS DOUBLE) * 1000000000) AS BIGINT) AS nanodollars
        FROM baseline_sessions
    ) AS k
    INNER JOIN window_days AS w ON w.member_day = k.day
    GROUP BY GROUPING SETS ((w.day, k.pipeline_no), (w.day, k.cluster_no), (w.day, k.genus_no))
),

fits AS (
    SELECT
        as_of_day,
        level,
        group_no,
        max(size_centre) AS fitted_size_centre,
        max(CASE WHEN metric = 'cost' THEN n END) AS fitted_count,
        max(CASE WHEN metric = 'cost' THEN location END) AS fitted_location,
        max(CASE WHEN metric = 'cost' THEN scale END) AS fitted_scale,
        max(CASE WHEN metric = 'cost' THEN slope END) AS fitted_slope,
        max(CASE WHEN metric = 'cost' THEN tail END) AS fitted_tail,
        max(CASE WHEN metric = 'duration' THEN n END) AS fitted_duration_count,
        max(CASE WHEN metric = 'duration' THEN location END) AS fitted_duration_location,
        max(CASE WHEN metric = 'duration' THEN scale END) AS fitted_duration_scale,
        max(CASE WHEN metric = 'duration' THEN slope END) AS fitted_duration_slope,
        max(CASE WHEN metric = 'duration' THEN tail END) AS fitted_duration_tail,
        max(CASE WHEN metric = 'tokens' THEN n END) AS fitted_tokens_count,
        max(CASE WHEN metric = 'tokens' THEN location END) AS fitted_tokens_location,
        max(CASE WHEN metric = 'tokens' THEN scale END) AS fitted_tokens_scale,
        max(CASE WHEN metric = 'tokens' THEN slope END) AS fitted_tokens_slope,
        max(CASE WHEN metric = 'tokens' THEN tail END) AS fitted_tokens_tail
    FROM baseline_fits
    GROUP BY as_of_day, level, group_no
)

SELECT
    s.as_of_day,
    g.org_id,
    s.level,
    g.pipeline_id,
    CASE WHEN s.level <> 'global' THEN g.input_category END AS input_category,
    CASE WHEN s.level = 'genus' THEN g.genus_hash END AS genus_hash,
    s.run_count,
    CASE WHEN s.costs > 0 THEN s.cost_sum / s.costs END AS avg_cost,
    CASE
        WHEN s.costs > 1 AND s.costs_differ = 0 THEN 0
        WHEN s.costs > 1 THEN sqrt(greatest(s.cost_squares - s.cost_sum * s.cost_sum / s.costs, 0) / (s.costs - 1))
    END AS stddev_cost,
    q.median_cost,
    q.p95_cost,
    CASE WHEN s.durations > 0 THEN s.duration_sum / s.durations END AS avg_duration_ms,
    CASE
        WHEN s.durations > 1 AND s.durations_differ = 0 THEN 0
        WHEN s.durations > 1
            THEN sqrt(
                greatest(s.duration_squares - s.duration_sum * s.duration_sum / s.durations, 0) / (s.durations - 1)
            )
    END AS stddev_duration_ms,
    CASE WHEN s.token_counts > 0 THEN s.token_sum / s.token_counts END AS avg_tokens,
    CASE
        WHEN s.token_counts > 1 AND s.tokens_differ = 0 THEN 0
        WHEN s.token_counts > 1
            THEN sqrt(greatest(s.token_squares - s.token_sum * s.token_sum / s.token_counts, 0) / (s.token_counts - 1))
    END AS stddev_tokens,
    f.fitted_size_centre,
    coalesce(f.fitted_count, 0) AS fitted_count,
    f.fitted_location,
    f.fitted_scale,
    f.fitted_slope,
    f.fitted_tail,
    coalesce(f.fitted_duration_count, 0) AS fitted_duration_count,
    f.fitted_duration_location,
    f.fitted_duration_scale,
    f.fitted_duration_slope,
    f.fitted_duration_tail,
    coalesce(f.fitted_tokens_count, 0) AS fitted_tokens_count,
    f.fitted_tokens_location,
    f.fitted_tokens_scale,
    f.fitted_tokens_slope,
    f.fitted_tokens_tail
FROM sums AS s
INNER JOIN baseline_groups AS g ON g.genus_no = s.group_no
INNER JOIN quantiles AS q ON q.as_of_day = s.as_of_day AND q.level = s.level AND q.group_no = s.group_no
LEFT JOIN fits AS f ON f.as_of_day = s.as_of_day AND f.level = s.level AND f.group_no = s.group_no
