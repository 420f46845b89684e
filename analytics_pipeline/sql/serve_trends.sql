-- What the tests say of the org's changes.
-- Grain: metric.
-- Inputs: trends.
-- Parameters: $org, $day (as_of_day), $days (period_days).
-- engine: duckdb
SELECT metric, direction, is_significant, p_value, q_value
FROM trends
WHERE org_id = $org AND scope_kind = 'org' AND scope = $org AND as_of_day = $day AND period_days = $days
