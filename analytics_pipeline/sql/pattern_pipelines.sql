-- How many runs of each pipeline have a known cost, and what they cost together.
-- Grain: org_id, pipeline_id.
-- Inputs: pattern_runs. Parameters: none.
-- engine: portable
SELECT org_id, pipeline_id, count(cost_usd) AS costs, CAST(sum(cost_usd) AS DOUBLE) AS cost_usd
FROM pattern_runs
GROUP BY org_id, pipeline_id
