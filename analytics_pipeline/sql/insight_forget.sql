-- Deletes findings by their ids.
-- Grain: insight_id.
-- Inputs: insights.
-- Parameters: $ids (a list).
-- engine: duckdb
DELETE FROM insights WHERE list_contains($ids, insight_id)
