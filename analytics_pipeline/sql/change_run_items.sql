-- The runs of the last days, as what their cost and duration are judged by; block 0 holds the last 24 hours.
-- Grain: one row a run.
-- Inputs: runs.
-- Parameters: $ends_at, $items_from, $known_until (UTC instants; the runs start in [items_from, known_until)), $org (NULL:
--   every org).
-- engine: portable
SELECT
    r.org_id,
    NULL AS model,
    r.project,
    r.pipeline_id,
    r.input_category,
    r.genus_hash,
    CASE WHEN r.input_chars > 1 THEN ln(CAST(r.input_chars AS DOUBLE)) ELSE 0 END AS log_chars,
    CASE WHEN r.duration_ms > 0 THEN ln(r.duration_ms) END AS log_duration,
    CASE WHEN r.cost_usd > 0 AND coalesce(r.unpriced_calls, 0) = 0 THEN ln(CAST(r.cost_usd AS DOUBLE)) END AS log_cost,
    CAST(floor((unix_micros(CAST($ends_at AS TIMESTAMP)) - unix_micros(r.started_at) - 1) / 86400000000) AS BIGINT)
        AS block
FROM runs AS r
WHERE
    r.started_at >= $items_from AND r.started_at < $known_until
    AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
