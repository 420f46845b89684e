-- Deletes findings by their ids.
-- Parameters: $ids (a list).
-- engine: duckdb
DELETE FROM insights WHERE list_contains($ids, insight_id)
