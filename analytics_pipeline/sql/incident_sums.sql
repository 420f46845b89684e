-- The scores and amounts of incident_sessions summed: for their org, for their pipeline and for their model, where named.
-- Grain: hour, day (of the sessions: an hour can be of two), org_id, scope_kind, scope, metric.
-- Inputs: incident_sessions. Parameters: none.
-- engine: portable
WITH scores AS (
    SELECT hour, day, org_id, pipeline_id, model, 'cost' AS metric, cost_z AS z, cost AS amount, expected_cost AS expected
    FROM incident_sessions
    WHERE cost_z IS NOT NULL
    UNION ALL
    SELECT hour, day, org_id, pipeline_id, model, 'duration' AS metric, duration_z AS z, duration AS amount,
        expected_duration AS expected
    FROM incident_sessions
    WHERE duration_z IS NOT NULL
),

pairs AS (
    SELECT
        hour,
        day,
        org_id,
        pipeline_id,
        model,
        metric,
        count(*) AS events,
        sum(z) AS z,
        sum(amount) AS amount,
        sum(expected) AS expected
    FROM scores
    GROUP BY hour, day, org_id, pipeline_id, model, metric
),

scopes AS (
    SELECT *, 'org' AS scope_kind, org_id AS scope FROM pairs
    UNION ALL
    SELECT *, 'pipeline' AS scope_kind, pipeline_id AS scope FROM pairs WHERE pipeline_id IS NOT NULL
    UNION ALL
    SELECT *, 'model' AS scope_kind, model AS scope FROM pairs WHERE model IS NOT NULL
)

SELECT
    hour,
    day,
    org_id,
    scope_kind,
    scope,
    metric,
    sum(events) AS events,
    sum(z) AS z,
    sum(amount) AS amount,
    sum(expected) AS expected
FROM scopes
GROUP BY hour, day, org_id, scope_kind, scope, metric
