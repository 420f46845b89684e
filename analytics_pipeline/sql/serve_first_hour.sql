-- The first hour of which anything of the org is known.
-- Grain: one row.
-- Inputs: hourly_run_summaries.
-- Parameters: $org.
-- engine: duckdb
SELECT min(hour) AS first_hour
FROM hourly_run_summaries
WHERE org_id = $org
