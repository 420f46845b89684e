-- Every finding that was ever made, as the table holds it.
-- Grain: insight_id.
-- Inputs: insights.
-- engine: duckdb
SELECT * FROM insights ORDER BY insight_id
