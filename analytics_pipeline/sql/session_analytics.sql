-- Each session with its figures, what was to be expected and how far off it is. A score that is no number (NaN, which
-- is greater than every number) is none.
-- Grain: org_id, session_id.
-- Inputs: sessions, span_days, session_offsets, robust_scores (session_no, cost, duration, tokens).
-- Parameters: $outlier_z, $anomaly_z, $now.
-- engine: portable
SELECT
    s.session_id,
    s.org_id,
    s.project,
    s.pipeline_id,
    s.genus_hash,
    s.created_at,
    s.day,
    s.total_cost,
    s.unpriced_calls,
    s.total_duration_ms,
    s.total_tokens_in,
    s.total_tokens_out,
    s.message_count,
    s.cell_count,
    s.error_count,
    s.input_complexity_score,
    s.input_category,
    s.input_fingerprint,
    s.model_mix,
    s.global_avg_cost,
    s.global_avg_duration,
    s.cluster_avg_cost,
    s.cluster_stddev_cost,
    s.cluster_avg_duration,
    s.cluster_stddev_duration,
    s.cluster_run_count,
    s.genus_avg_cost,
    s.genus_run_count,
    s.cost_z_score,
    s.duration_z_score,
    s.tokens_z_score,
    coalesce(abs(s.cost_z_score) > $outlier_z, FALSE) AS is_cost_outlier,
    coalesce(abs(s.duration_z_score) > $outlier_z, FALSE) AS is_duration_outlier,
    s.cost_robust_z,
    s.duration_robust_z,
    s.tokens_robust_z,
    exp(s.ln_cost - s.cost_excess) AS expected_cost,
    exp(s.cost_excess) AS cost_ratio,
    exp(s.ln_duration - s.duration_excess) AS expected_duration_ms,
    coalesce(s.largest_z > $anomaly_z, FALSE) AS is_anomaly,
    CASE
        WHEN s.largest_z < 1 THEN 'normal'
        WHEN s.largest_z < 2 THEN 'unusual'
        WHEN s.largest_z < 3 THEN 'outlier'
        WHEN s.largest_z IS NOT NULL THEN 'extreme'
    END AS anomaly_level,
    s.metric_status,
    s.baseline_level,
    CASE s.baseline_level
        WHEN 'genus' THEN s.genus_run_count
        WHEN 'cluster' THEN s.cluster_run_count
        WHEN 'pipeline' THEN s.global_run_count
        ELSE 0
    END AS baseline_n,
    CASE WHEN s.message_count > 0 THEN s.cost / s.message_count END AS cost_per_message,
    CASE WHEN s.tokens > 0 THEN s.cost / s.tokens END AS cost_per_token,
    CASE WHEN s.message_count > 0 THEN CAST(s.tokens AS DOUBLE) / s.message_count END AS tokens_per_message,
    s.hour_of_day,
    s.day_of_week,
    s.day_of_week >= 5 AS is_weekend,
    $now AS analyzed_at
FROM (
    SELECT
        e.*,
        o.global_avg_cost,
        o.global_avg_duration,
        o.cluster_avg_cost,
        o.cluster_stddev_cost,
        o.cluster_avg_duration,
        o.cluster_stddev_duration,
        o.genus_avg_cost,
        o.global_run_count,
        o.cluster_run_count,
        o.genus_run_count,
        o.cost_z_score,
        o.duration_z_score,
        o.tokens_z_score,
        o.ln_cost,
        o.cost_excess,
        o.ln_duration,
        o.duration_excess,
        o.baseline_level,
        CAST(e.total_cost AS DOUBLE) AS cost,
        e.total_tokens_in + e.total_tokens_out AS tokens,
        CASE
            WHEN e.unpriced_calls > 0 OR e.total_cost IS NULL THEN 'missing'
            WHEN e.total_cost < 0 THEN 'invalid'
            WHEN e.total_cost = 0 THEN 'zero'
            ELSE 'ok'
        END AS metric_status,
        EXTRACT(HOUR FROM e.local_created_at) AS hour_of_day,
        -- day 0 of the epoch was a Thursday
        (CAST(floor(unix_micros(e.local_created_at) / CAST(86400000000 AS DOUBLE)) AS BIGINT) + 3) % 7 AS day_of_week,
        CASE WHEN r.cost < 100 THEN r.cost END AS cost_robust_z,
        CASE WHEN r.duration < 100 THEN r.duration END AS duration_robust_z,
        CASE WHEN r.tokens < 100 THEN r.tokens END AS tokens_robust_z,
        greatest(CASE WHEN r.cost < 100 THEN abs(r.cost) END, CASE WHEN r.duration < 100 THEN abs(r.duration) END)
            AS largest_z
    FROM sessions AS e
    INNER JOIN span_days AS d ON d.day = e.day
    INNER JOIN session_offsets AS o ON o.org_id = e.org_id AND o.session_id = e.session_id
    INNER JOIN robust_scores AS r ON r.session_no = o.session_no
) AS s
