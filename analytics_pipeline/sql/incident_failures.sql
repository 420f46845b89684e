-- The finished runs of each hour, how many failed and how many were to be expected: each run fails as often as those of
-- its pipeline did in the 30 days before its day, drawn towards the org's rate as if that were 5 runs more, and the org's
-- towards one in twenty as if that were 20 more: where nothing failed yet, a failure is no wonder. `known_by` is how many
-- failures these rates are as good as known from: few, where the logs are young. A run's model is that of its session.
-- Grain: hour, org_id, scope_kind, scope.
-- Inputs: runs, incident_sessions, span_days, window_days (30 days).
-- Parameters: $first, $first_member, $last_member, $known_until.
-- engine: duckdb
WITH finished AS (
    SELECT
        day,
        org_id,
        pipeline_id,
        count(*) AS runs,
        count(*) FILTER (WHERE status = 'failed') AS failed
    FROM runs
    WHERE day >= $first_member AND day <= $last_member AND started_at < $known_until AND status IN ('succeeded', 'failed')
    GROUP BY day, org_id, pipeline_id
),

orgs AS (
    SELECT w.day, f.org_id, (sum(f.failed) + 1) / (sum(f.runs) + 20) AS rate
    FROM finished AS f
    INNER JOIN window_days AS w ON w.member_day = f.day
    GROUP BY w.day, f.org_id
),

pipelines AS (
    SELECT w.day, f.org_id, f.pipeline_id, sum(f.failed) AS failed, sum(f.runs) AS runs
    FROM finished AS f
    INNER JOIN window_days AS w ON w.member_day = f.day
    GROUP BY w.day, f.org_id, f.pipeline_id
),

placed AS (
    SELECT
        date_trunc('hour', r.started_at) AS hour,
        r.org_id,
        r.pipeline_id,
        s.model,
        CASE WHEN r.status = 'failed' THEN 1 ELSE 0 END AS failed,
        CAST(
            round(1000000 * (coalesce(p.failed, 0) + 5 * o.rate) / (coalesce(p.runs, 0) + 5)) AS BIGINT
        ) AS millionths,
        coalesce(p.runs, 0) + 5 AS past_runs
    FROM runs AS r
    INNER JOIN orgs AS o ON o.day = r.day AND o.org_id = r.org_id
    LEFT JOIN pipelines AS p ON p.day = r.day AND p.org_id = r.org_id AND p.pipeline_id IS NOT DISTINCT FROM r.pipeline_id
    LEFT JOIN incident_sessions AS s ON s.org_id = r.org_id AND s.session_id = r.session_id
    WHERE r.day >= CAST($first - INTERVAL 1 DAY AS DATE) AND r.day <= $last_member AND r.started_at < $known_until
        AND r.status IN ('succeeded', 'failed')
),

scopes AS (
    SELECT *, 'org' AS scope_kind, org_id AS scope FROM placed
    UNION ALL
    SELECT *, 'pipeline', pipeline_id FROM placed WHERE pipeline_id IS NOT NULL
    UNION ALL
    SELECT *, 'model', model FROM placed WHERE model IS NOT NULL
),

-- the rate of a pipeline is a gamma variable: of so many runs at once the expected number has so much variance
parts AS (
    SELECT
        hour,
        org_id,
        scope_kind,
        scope,
        count(*) AS events,
        sum(failed) AS failed,
        sum(millionths) AS millionths,
        sum(millionths * (1000000 - millionths)) AS spread,
        CAST(sum(millionths) AS DECIMAL(38, 0)) * count(*) / min(past_runs) AS doubt
    FROM scopes
    GROUP BY hour, org_id, scope_kind, scope, pipeline_id
),

hours AS (
    SELECT
        hour,
        org_id,
        scope_kind,
        scope,
        CAST(sum(events) AS BIGINT) AS events,
        sum(failed) AS failed,
        CAST(sum(millionths) AS DOUBLE) / 1e6 AS usual,
        CAST(sum(spread) AS DOUBLE) / 1e12 AS dice,
        CAST(sum(CAST(round(doubt) AS DECIMAL(38, 0))) AS DOUBLE) / 1e6 AS doubt
    FROM parts
    GROUP BY hour, org_id, scope_kind, scope
),

together AS (
    SELECT
        *,
        dice + doubt AS variance,
        usual * usual / doubt AS known_by,
        CAST(sum(events) OVER three AS BIGINT) AS events_of_three,
        sum(failed) OVER three AS failed_of_three,
        sum(usual) OVER three AS usual_of_three,
        (sum(usual) OVER three / sum(sqrt(doubt)) OVER three) ** 2 AS known_by_of_three
    FROM hours
    WINDOW three AS (
        PARTITION BY org_id, scope_kind, scope ORDER BY hour RANGE BETWEEN INTERVAL 2 HOUR PRECEDING AND CURRENT ROW
    )
),

of_days AS (
    SELECT t.*, d.day
    FROM together AS t
    INNER JOIN span_days AS d ON t.hour + INTERVAL 1 HOUR > d.starts_at AND t.hour + INTERVAL 1 HOUR <= d.ends_at
    WHERE d.day >= $first
),

families AS (
    SELECT day, org_id, scope_kind, count(DISTINCT scope) AS scopes FROM of_days GROUP BY day, org_id, scope_kind
)

SELECT t.*, 'failure_rate' AS metric, f.scopes
FROM of_days AS t
INNER JOIN families AS f ON f.day = t.day AND f.org_id = t.org_id AND f.scope_kind = t.scope_kind
WHERE t.failed > t.usual OR t.failed_of_three > t.usual_of_three
ORDER BY t.hour, t.org_id, t.scope_kind, t.scope
