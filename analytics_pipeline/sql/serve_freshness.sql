-- How far what is published reaches.
-- Grain: one row.
-- Inputs: runs, insights.
-- engine: duckdb
SELECT
    (SELECT max(started_at) FROM runs) AS newest_run_at,
    (SELECT count(*) FROM runs) AS runs,
    (SELECT max(last_seen) FROM insights) AS newest_insight_at
