-- Removes the rows that the pairs in $rows have in model_prices, whatever their version (NULL = NULL).
-- Grain: none; deletes rows.
-- Inputs: model_prices.
-- Parameters: $rows (a JSON list of objects with provider and model).
-- engine: duckdb
DELETE FROM model_prices AS p
WHERE EXISTS (
    SELECT 1
    FROM (SELECT unnest(from_json($rows, '[{"provider": "VARCHAR", "model": "VARCHAR"}]'), recursive := true)) AS pair
    WHERE pair.provider IS NOT DISTINCT FROM p.provider AND pair.model = p.model
)
