-- Runs of a period by the hour of the day at which they started, in the configured time zone, and on how many days the org
-- had any.
-- Grain: org_id, pipeline_id, hour.
-- Inputs: runs. Parameters: $starts_at, $ends_at (UTC instants, half-open), $org (NULL: every org).
-- engine: portable
WITH placed AS (
    SELECT r.org_id, r.pipeline_id, r.day, coalesce(r.local_started_at, r.started_at) AS started
    FROM runs AS r
    WHERE
        r.started_at >= $starts_at AND r.started_at < $ends_at
        AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
),

orgs AS (
    SELECT org_id, count(DISTINCT day) AS days
    FROM placed
    GROUP BY org_id
)

SELECT
    p.org_id,
    p.pipeline_id,
    EXTRACT(HOUR FROM p.started) AS hour,
    max(o.days) AS days,
    count(*) AS runs
FROM placed AS p
INNER JOIN orgs AS o ON o.org_id = p.org_id
GROUP BY p.org_id, p.pipeline_id, EXTRACT(HOUR FROM p.started)
ORDER BY p.org_id NULLS FIRST, p.pipeline_id NULLS FIRST, hour NULLS FIRST
