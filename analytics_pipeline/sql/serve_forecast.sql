-- The newest forecast of the org's cost.
-- Grain: at most one row.
-- Inputs: cost_forecast_totals.
-- Parameters: $org, $day (the last as_of_day that counts).
-- engine: duckdb
SELECT * EXCLUDE (org_id, scope_kind, scope)
FROM cost_forecast_totals
WHERE org_id = $org AND scope_kind = 'org' AND scope = $org AND as_of_day <= $day
ORDER BY as_of_day DESC
LIMIT 1
