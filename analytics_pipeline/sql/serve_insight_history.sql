-- What became of each finding so far.
-- Grain: insight_id.
-- Inputs: insights.
-- Parameters: $org.
-- engine: duckdb
SELECT insight_id, status, first_seen, last_seen, occurrences, notified_at
FROM insights
WHERE org_id = $org
