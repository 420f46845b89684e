-- Each session beside what the 30 days before its day were like. z = (value - cluster mean) / cluster deviation; the
-- robust scores, what is expected and the anomalies are not fitted here and stay unknown.
-- Grain: org_id, session_id.
-- Inputs: sessions, cluster_baselines, span_days. Parameters: $outlier_z, $now.
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
    FALSE AS is_anomaly,
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
            WHEN n.run_count >= 5 THEN 'genus'
            WHEN c.run_count >= 5 THEN 'cluster'
            WHEN g.run_count >= 5 THEN 'pipeline'
            ELSE 'none'
        END AS baseline_level
    FROM (
        SELECT
            e.*,
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
            (CAST(floor(unix_micros(e.local_created_at) / CAST(86400000000 AS DOUBLE)) AS BIGINT) + 3) % 7
                AS day_of_week
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
