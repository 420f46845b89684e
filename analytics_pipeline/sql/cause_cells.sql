-- Sums of each cell of one and of two dimensions in two periods, and of the whole, each also as the number of independent
-- runs that it is worth: amounts over what the variance of a leaf adds to its sum, which is 2.2 of its runs (they differ
-- among themselves) and, however many they are, some six percent of the sum (leaves drift).
-- Grain: the dimensions that are not `any_...`.
-- Inputs: cause_leaves. Parameters: $org, $pipeline, $model (NULL: every one), $scale (what the earlier amounts are
--   multiplied by, to be compared with the later ones).
-- Sums are of decimals, so that the order of the rows cannot change the last digit.
-- engine: portable
WITH leaves AS (
    SELECT
        l.*,
        previous * CAST($scale AS DOUBLE) AS f,
        CAST(current AS DOUBLE) AS a,
        (previous + current) / nullif(CAST(runs AS DOUBLE), 0) AS of_a_run
    FROM cause_leaves AS l
    WHERE
        l.org_id = $org
        AND (CAST($pipeline AS VARCHAR) IS NULL OR l.pipeline_id = $pipeline)
        AND (CAST($model AS VARCHAR) IS NULL OR l.model = $model)
        AND previous + current > 0
),

weighted AS (
    SELECT *, 2.2 * of_a_run + 0.001 * (f + a) AS d
    FROM leaves
)

SELECT
    pipeline_id,
    model,
    name,
    agent_id,
    error_type,
    provider,
    project,
    grouping(pipeline_id) AS any_pipeline_id,
    grouping(model) AS any_model,
    grouping(name) AS any_name,
    grouping(agent_id) AS any_agent_id,
    grouping(error_type) AS any_error_type,
    grouping(provider) AS any_provider,
    grouping(project) AS any_project,
    CAST(sum(CAST(f AS DECIMAL(28, 9))) AS DOUBLE) AS previous,
    CAST(sum(CAST(a AS DECIMAL(28, 9))) AS DOUBLE) AS current,
    CAST(coalesce(sum(CAST(f / nullif(d, 0) AS DECIMAL(28, 9))), 0) AS DOUBLE) AS before,
    CAST(coalesce(sum(CAST(a / nullif(d, 0) AS DECIMAL(28, 9))), 0) AS DOUBLE) AS after
FROM weighted
GROUP BY GROUPING SETS (
    (),
    (pipeline_id), (model), (name), (agent_id), (error_type), (provider), (project),
    (pipeline_id, model), (pipeline_id, name), (pipeline_id, agent_id), (pipeline_id, error_type),
    (model, name), (model, agent_id), (name, agent_id), (agent_id, error_type)
)
ORDER BY
    any_pipeline_id + any_model + any_name + any_agent_id + any_error_type + any_provider + any_project DESC NULLS LAST,
    any_pipeline_id NULLS LAST, any_model NULLS LAST, any_name NULLS LAST, any_agent_id NULLS LAST,
    any_error_type NULLS LAST, any_provider NULLS LAST,
    pipeline_id NULLS FIRST, model NULLS FIRST, name NULLS FIRST, agent_id NULLS FIRST, error_type NULLS FIRST,
    provider NULLS FIRST, project NULLS FIRST
