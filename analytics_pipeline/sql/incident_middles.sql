-- What is usual for each scope in the 7 days before each day: the mean score (sums of scores stray by it; measured on
-- simulated worlds it gives fewer false alarms than the median), and how much more the amounts of a day add up to than
-- what was expected of each (the sum of medians is less than that of means): on the middle one of the days, for a single
-- huge session makes a day.
-- Grain: day, org_id, scope_kind, scope, metric.
-- Inputs: incident_sums, window_days (7 days). Parameters: none.
-- engine: portable
WITH days AS (
    SELECT
        day,
        org_id,
        scope_kind,
        scope,
        metric,
        sum(events) AS events,
        sum(z) AS z,
        sum(amount) AS amount,
        sum(expected) AS expected
    FROM incident_sums
    GROUP BY day, org_id, scope_kind, scope, metric
)

SELECT
    w.day,
    s.org_id,
    s.scope_kind,
    s.scope,
    s.metric,
    CAST(sum(s.z) AS DOUBLE) / nullif(sum(s.events), 0) / 1000 AS middle,
    percentile(CAST(s.amount AS DOUBLE) / nullif(CAST(s.expected AS DOUBLE), 0), 0.5) AS usual_ratio
FROM days AS s
INNER JOIN window_days AS w ON w.member_day = s.day
GROUP BY w.day, s.org_id, s.scope_kind, s.scope, s.metric
