-- Ways to spend less, the largest saving first; those of type experiment have no saving yet.
-- Grain: opportunity_id.
-- Inputs: optimization_opportunities.
-- Parameters: $org.
-- engine: duckdb
SELECT * EXCLUDE (org_id)
FROM optimization_opportunities
WHERE org_id = $org
ORDER BY potential_savings DESC NULLS LAST, opportunity_id
