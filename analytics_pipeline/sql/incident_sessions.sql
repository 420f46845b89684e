-- The scored sessions that the incidents of the days know, with their scores cut at 3 in thousandths (whole numbers add
-- up alike in any order, as do amounts in millionths) and the model that most of their cost is of.
-- Grain: session.
-- Inputs: session_analytics. Parameters: $first_member, $last_member (reporting days, both included), $known_until.
-- engine: duckdb
SELECT
    date_trunc('hour', s.created_at) AS hour,
    s.day,
    s.org_id,
    s.session_id,
    s.pipeline_id,
    CASE
        WHEN s.model_mix IS NOT NULL
            THEN list_extract(
                json_keys(s.model_mix),
                list_position(
                    CAST(json_extract(s.model_mix, '$.*') AS DOUBLE[]),
                    list_max(CAST(json_extract(s.model_mix, '$.*') AS DOUBLE[]))
                )
            )
    END AS model,
    CASE
        WHEN s.cost_robust_z IS NOT NULL THEN CAST(round(1000 * greatest(least(s.cost_robust_z, 3), -3)) AS INTEGER)
    END AS cost_z,
    CAST(round(CAST(s.total_cost AS DOUBLE) * 1000000) AS DECIMAL(38, 0)) AS cost,
    CAST(round(s.expected_cost * 1000000) AS DECIMAL(38, 0)) AS expected_cost,
    CASE
        WHEN s.duration_robust_z IS NOT NULL THEN CAST(round(1000 * greatest(least(s.duration_robust_z, 3), -3)) AS INTEGER)
    END AS duration_z,
    CASE WHEN s.duration_robust_z IS NOT NULL THEN CAST(round(s.total_duration_ms * 1000000) AS DECIMAL(38, 0)) END
        AS duration,
    CAST(round(s.expected_duration_ms * 1000000) AS DECIMAL(38, 0)) AS expected_duration
FROM session_analytics AS s
WHERE s.day >= $first_member AND s.day <= $last_member AND s.created_at < $known_until
