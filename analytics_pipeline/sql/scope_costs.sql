-- Known cost of each scope on each day: complete days, and what is known of the day of now. A scope had no run on a day
-- without a row; unpriced calls add nothing.
-- Grain: org_id, scope_kind, scope, day.
-- Inputs: runs, calls (not the daily series, of which days may still wait to be made).
-- Parameters: $oldest (first day), $known_until.
-- engine: portable
WITH days AS (
    SELECT day, org_id, project, pipeline_id, CAST(sum(cost_usd) AS DECIMAL(18, 9)) AS cost_usd
    FROM runs
    WHERE day >= $oldest AND started_at < $known_until
    GROUP BY day, org_id, project, pipeline_id
),

scoped AS (
    SELECT day, org_id, 'org' AS scope_kind, org_id AS scope, cost_usd FROM days
    UNION ALL
    SELECT day, org_id, 'project' AS scope_kind, project AS scope, cost_usd FROM days
    UNION ALL
    SELECT day, org_id, 'pipeline' AS scope_kind, pipeline_id AS scope, cost_usd FROM days
    UNION ALL
    SELECT day, org_id, 'model' AS scope_kind, model AS scope, cost_usd
    FROM calls
    WHERE
        day >= $oldest AND started_at < $known_until
        AND (model IS NOT NULL OR kind IN ('llm', 'embedding', 'retrieval'))
)

SELECT org_id, scope_kind, scope, day, CAST(coalesce(sum(cost_usd), 0) AS DOUBLE) AS cost_usd
FROM scoped
GROUP BY org_id, scope_kind, scope, day
