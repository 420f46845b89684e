-- The summed scores of each hour, and of it with the two hours before, in units of how far such sums strayed in the 14
-- days before (at least 1: sessions of an hour are not as independent as dice). Only what strays beyond 3.
-- Grain: hour, org_id, scope_kind, scope, metric.
-- Inputs: incident_hours, window_days (14 days). Parameters: $first.
-- engine: duckdb
WITH spreads AS (
    SELECT w.day, h.org_id, h.scope_kind, h.scope, h.metric, greatest(percentile(abs(h.raw), 0.6827), 1) AS spread
    FROM incident_hours AS h
    INNER JOIN window_days AS w ON w.member_day = h.day
    GROUP BY w.day, h.org_id, h.scope_kind, h.scope, h.metric
),

together AS (
    SELECT
        *,
        sum(raw) OVER three / sqrt(count(*) OVER three) AS raw_of_three,
        count(*) OVER three AS hours,
        CAST(sum(events) OVER three AS BIGINT) AS events_of_three,
        sum(amount) OVER three AS amount_of_three,
        sum(usual) OVER three AS usual_of_three
    FROM incident_hours
    WINDOW three AS (
        PARTITION BY org_id, scope_kind, scope, metric ORDER BY hour RANGE BETWEEN INTERVAL 2 HOUR PRECEDING AND CURRENT ROW
    )
),

families AS (
    SELECT day, org_id, scope_kind, metric, count(DISTINCT scope) AS scopes
    FROM incident_hours
    GROUP BY day, org_id, scope_kind, metric
),

scores AS (
    SELECT
        t.*,
        f.scopes,
        t.raw / coalesce(s.spread, 1) AS z_of_hour,
        CASE WHEN t.hours > 1 THEN t.raw_of_three / coalesce(s.spread, 1) END AS z_of_three
    FROM together AS t
    INNER JOIN families AS f ON
        f.day = t.day AND f.org_id = t.org_id AND f.scope_kind = t.scope_kind AND f.metric = t.metric
    LEFT JOIN spreads AS s ON
        s.day = t.day AND s.org_id = t.org_id AND s.scope_kind = t.scope_kind AND s.scope = t.scope
        AND s.metric = t.metric
    WHERE t.day >= $first
)

SELECT
    hour, day, org_id, scope_kind, scope, metric, events, amount, usual, events_of_three, amount_of_three, usual_of_three,
    scopes, z_of_hour, z_of_three
FROM scores
WHERE greatest(z_of_hour, z_of_three) > 3
ORDER BY hour, org_id, scope_kind, scope, metric
