-- Each session of the days beside what the 30 days before were like. z = (value - cluster mean) / cluster deviation.
-- Offset = how far ln(value) lies from what was fitted for its genus (else its category, else its pipeline) and input
-- size, in units of the fitted scale and of the uncertainty of the fit: 1.57 / n is the variance of a median of n.
-- A pipeline with fewer than 5 sessions judges nothing. What a session says of itself stays in `sessions`, for keeping
-- wide rows is what takes long.
-- Grain: session_no (one per org_id, session_id).
-- Inputs: sessions, cluster_baselines, span_days. Parameters: none.
-- engine: portable
SELECT
    s.session_no,
    s.org_id,
    s.session_id,
    s.global_avg_cost,
    s.global_avg_duration,
    s.cluster_avg_cost,
    s.cluster_stddev_cost,
    s.cluster_avg_duration,
    s.cluster_stddev_duration,
    s.genus_avg_cost,
    s.global_run_count,
    s.cluster_run_count,
    s.genus_run_count,
    s.cost_z_score,
    s.duration_z_score,
    s.tokens_z_score,
    s.ln_cost,
    s.cost_excess,
    s.ln_duration,
    s.duration_excess,
    s.baseline_level,
    CASE
        WHEN s.cost_scale > 0
            THEN s.cost_excess / (
                s.cost_scale * sqrt(
                    1 + 1.57 / (s.cost_genus_n + 5)
                    + 25.0 / ((s.cost_genus_n + 5) * (s.cost_genus_n + 5))
                    * (
                        1.57 / (s.cost_cluster_n + 1)
                        + 1.57 / ((s.cost_cluster_n + 1) * (s.cost_cluster_n + 1) * (s.cost_pipeline_n + 1))
                    )
                )
            )
    END AS cost_offset,
    least(s.cost_tail, 10 + 0.37 * greatest(s.cost_cluster_n - 1, 0)) AS cost_freedom,
    CASE
        WHEN s.duration_scale > 0
            THEN s.duration_excess / (
                s.duration_scale * sqrt(
                    1 + 1.57 / (s.duration_genus_n + 5)
                    + 25.0 / ((s.duration_genus_n + 5) * (s.duration_genus_n + 5))
                    * (
                        1.57 / (s.duration_cluster_n + 1)
                        + 1.57 / ((s.duration_cluster_n + 1) * (s.duration_cluster_n + 1) * (s.duration_pipeline_n + 1))
                    )
                )
            )
    END AS duration_offset,
    least(s.duration_tail, 10 + 0.37 * greatest(s.duration_cluster_n - 1, 0)) AS duration_freedom,
    CASE
        WHEN s.tokens_scale > 0
            THEN s.tokens_excess / (
                s.tokens_scale * sqrt(
                    1 + 1.57 / (s.tokens_genus_n + 5)
                    + 25.0 / ((s.tokens_genus_n + 5) * (s.tokens_genus_n + 5))
                    * (
                        1.57 / (s.tokens_cluster_n + 1)
                        + 1.57 / ((s.tokens_cluster_n + 1) * (s.tokens_cluster_n + 1) * (s.tokens_pipeline_n + 1))
                    )
                )
            )
    END AS tokens_offset,
    least(s.tokens_tail, 10 + 0.37 * greatest(s.tokens_cluster_n - 1, 0)) AS tokens_freedom
FROM (
    SELECT
        f.*,
        g.avg_cost AS global_avg_cost,
        g.avg_duration_ms AS global_avg_duration,
        c.avg_cost AS cluster_avg_cost,
        c.stddev_cost AS cluster_stddev_cost,
        c.avg_duration_ms AS cluster_avg_duration,
        c.stddev_duration_ms AS cluster_stddev_duration,
        n.avg_cost AS genus_avg_cost,
        coalesce(g.run_count, 0) AS global_run_count,
        coalesce(c.run_count, 0) AS cluster_run_count,
        coalesce(n.run_count, 0) AS genus_run_count,
        CASE WHEN coalesce(f.unpriced_calls, 0) = 0 AND c.stddev_cost > 0 THEN (f.cost - c.avg_cost) / c.stddev_cost END
            AS cost_z_score,
        CASE WHEN c.stddev_duration_ms > 0 THEN (f.total_duration_ms - c.avg_duration_ms) / c.stddev_duration_ms END
            AS duration_z_score,
        CASE WHEN c.stddev_tokens > 0 THEN (f.total_tokens - c.avg_tokens) / c.stddev_tokens END AS tokens_z_score,
        CASE
            WHEN g.fitted_count >= 5
                THEN (f.ln_cost - coalesce(n.fitted_location, c.fitted_location, g.fitted_location)
                    - coalesce(g.fitted_slope * (f.size - g.fitted_size_centre), 0))
        END AS cost_excess,
        coalesce(c.fitted_scale, g.fitted_scale) AS cost_scale,
        g.fitted_tail AS cost_tail,
        g.fitted_count AS cost_pipeline_n,
        coalesce(c.fitted_count, 0) AS cost_cluster_n,
        coalesce(n.fitted_count, 0) AS cost_genus_n,
        CASE
            WHEN g.fitted_duration_count >= 5
                THEN (f.ln_duration
                    - coalesce(n.fitted_duration_location, c.fitted_duration_location, g.fitted_duration_location)
                    - coalesce(g.fitted_duration_slope * (f.size - g.fitted_size_centre), 0))
        END AS duration_excess,
        coalesce(c.fitted_duration_scale, g.fitted_duration_scale) AS duration_scale,
        g.fitted_duration_tail AS duration_tail,
        g.fitted_duration_count AS duration_pipeline_n,
        coalesce(c.fitted_duration_count, 0) AS duration_cluster_n,
        coalesce(n.fitted_duration_count, 0) AS duration_genus_n,
        CASE
            WHEN g.fitted_tokens_count >= 5
                THEN (f.ln_tokens
                    - coalesce(n.fitted_tokens_location, c.fitted_tokens_location, g.fitted_tokens_location)
                    - coalesce(g.fitted_tokens_slope * (f.size - g.fitted_size_centre), 0))
        END AS tokens_excess,
        coalesce(c.fitted_tokens_scale, g.fitted_tokens_scale) AS tokens_scale,
        g.fitted_tokens_tail AS tokens_tail,
        g.fitted_tokens_count AS tokens_pipeline_n,
        coalesce(c.fitted_tokens_count, 0) AS tokens_cluster_n,
        coalesce(n.fitted_tokens_count, 0) AS tokens_genus_n,
        CASE
            WHEN n.run_count >= 5 THEN 'genus'
            WHEN c.run_count >= 5 THEN 'cluster'
            WHEN g.run_count >= 5 THEN 'pipeline'
            ELSE 'none'
        END AS baseline_level
    FROM (
        SELECT
            row_number() OVER (ORDER BY e.org_id ASC NULLS FIRST, e.session_id ASC NULLS FIRST) AS session_no,
            e.org_id,
            e.session_id,
            e.day,
            e.pipeline_id,
            e.input_category,
            e.genus_hash,
            e.unpriced_calls,
            e.total_duration_ms,
            e.total_tokens,
            CAST(e.total_cost AS DOUBLE) AS cost,
            CASE
                WHEN coalesce(e.unpriced_calls, 0) = 0 AND e.total_cost > 0 THEN ln(CAST(e.total_cost AS DOUBLE))
            END AS ln_cost,
            CASE WHEN e.total_duration_ms > 0 AND e.total_duration_ms < 1e15 THEN ln(e.total_duration_ms) END AS ln_duration,
            CASE WHEN e.total_tokens > 0 THEN ln(CAST(e.total_tokens AS DOUBLE)) END AS ln_tokens,
            CASE WHEN e.input_chars > 0 THEN ln(CAST(e.input_chars AS DOUBLE)) WHEN e.input_chars = 0 THEN 0 END AS size
        FROM sessions AS e
        INNER JOIN span_days AS d ON d.day = e.day
        WHERE e.created_at < d.known_until
    ) AS f
    LEFT JOIN cluster_baselines AS g ON
        g.as_of_day = f.day AND g.level = 'global' AND g.org_id = f.org_id
        AND g.pipeline_id IS NOT DISTINCT FROM f.pipeline_id
    LEFT JOIN cluster_baselines AS c ON
        c.as_of_day = f.day AND c.level = 'cluster' AND c.org_id = f.org_id
        AND c.pipeline_id IS NOT DISTINCT FROM f.pipeline_id
        AND c.input_category IS NOT DISTINCT FROM f.input_category
    LEFT JOIN cluster_baselines AS n ON
        n.as_of_day = f.day AND n.level = 'genus' AND n.org_id = f.org_id
        AND n.pipeline_id IS NOT DISTINCT FROM f.pipeline_id
        AND n.input_category IS NOT DISTINCT FROM f.input_category
        AND n.genus_hash IS NOT DISTINCT FROM f.genus_hash
) AS s
