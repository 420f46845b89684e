-- What the runs of the last days did with each model, as what its cost is judged by; of unpriced calls the cost is unknown.
-- A run counts where its first call lies.
-- Grain: one row a run and model.
-- Inputs: change_calls, runs. Parameters: $oldest (days).
-- engine: portable
WITH used AS (
    SELECT
        org_id,
        model,
        run_id,
        CAST(sum(cost_usd) AS DOUBLE) AS cost_usd,
        sum(unpriced_calls) AS unpriced_calls,
        max(block) AS block
    FROM change_calls
    WHERE model IS NOT NULL AND block < $oldest
    GROUP BY org_id, model, run_id
)

SELECT
    u.org_id,
    u.model,
    r.project,
    r.pipeline_id,
    r.input_category,
    r.genus_hash,
    CASE WHEN r.input_chars > 1 THEN ln(CAST(r.input_chars AS DOUBLE)) ELSE 0 END AS log_chars,
    NULL AS log_duration,
    CASE WHEN u.cost_usd > 0 AND u.unpriced_calls = 0 THEN ln(u.cost_usd) END AS log_cost,
    u.block
FROM used AS u
INNER JOIN runs AS r ON r.run_id = u.run_id
