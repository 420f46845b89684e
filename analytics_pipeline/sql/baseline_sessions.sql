-- The sessions that baselines are made of, with the logarithms of what is known of them; what is missing, zero, negative
-- or infinite has none. A session with unpriced calls is in no baseline; every other is, whatever its status.
-- Grain: session.
-- Inputs: sessions, baseline_groups. Parameters: $first_member, $last_member (days that the windows reach, both included).
-- engine: portable
SELECT
    s.day,
    g.genus_no,
    g.cluster_no,
    g.pipeline_no,
    g.org_no,
    s.total_cost,
    CAST(round(CASE WHEN s.total_duration_ms < 1e15 THEN s.total_duration_ms END * 1000) AS BIGINT) AS duration_us,
    s.total_tokens,
    CASE WHEN s.total_cost > 0 THEN ln(CAST(s.total_cost AS DOUBLE)) END AS cost,
    CASE WHEN s.total_duration_ms > 0 AND s.total_duration_ms < 1e15 THEN ln(s.total_duration_ms) END AS duration,
    CASE WHEN s.total_tokens > 0 THEN ln(CAST(s.total_tokens AS DOUBLE)) END AS tokens,
    CASE WHEN s.input_chars > 0 THEN ln(CAST(s.input_chars AS DOUBLE)) WHEN s.input_chars = 0 THEN 0 END AS size
FROM sessions AS s
INNER JOIN baseline_groups AS g ON
    g.org_id = s.org_id
    AND g.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
    AND g.input_category IS NOT DISTINCT FROM s.input_category
    AND g.genus_hash IS NOT DISTINCT FROM s.genus_hash
WHERE s.day >= $first_member AND s.day <= $last_member AND coalesce(s.unpriced_calls, 0) = 0
