-- The scores of each hour summed: n of them have a deviation of sqrt(n) where nothing is up. An hour is of the reporting
-- day in which it ends.
-- Grain: hour, org_id, scope_kind, scope, metric.
-- Inputs: incident_sums, incident_middles, span_days. Parameters: none.
-- engine: duckdb
WITH sums AS (
    SELECT
        hour,
        org_id,
        scope_kind,
        scope,
        metric,
        CAST(sum(events) AS BIGINT) AS events,
        CAST(sum(z) AS DOUBLE) / 1000 AS z_sum,
        CAST(sum(amount) AS DOUBLE) / 1000000 AS amount,
        CAST(sum(expected) AS DOUBLE) / 1000000 AS expected
    FROM incident_sums
    GROUP BY hour, org_id, scope_kind, scope, metric
)

SELECT
    s.*,
    d.day,
    s.z_sum / sqrt(s.events) - sqrt(s.events) * coalesce(m.middle, 0) AS raw,
    s.expected * coalesce(m.usual_ratio, 1) AS usual
FROM sums AS s
INNER JOIN span_days AS d ON s.hour + INTERVAL 1 HOUR > d.starts_at AND s.hour + INTERVAL 1 HOUR <= d.ends_at
LEFT JOIN incident_middles AS m ON
    m.day = d.day AND m.org_id = s.org_id AND m.scope_kind = s.scope_kind AND m.scope = s.scope AND m.metric = s.metric
