-- What each agent is doing now: its latest known start or end, what it completed today, how it did in the last 24
-- hours.
-- Grain: org_id, agent_id.
-- Inputs: runs, calls.
-- Parameters: $now, $day_starts_at (start of the reporting day), $recent_from (24 hours before now), $active_from
-- (5 minutes before now).
-- engine: portable
WITH activity AS (
    SELECT
        org_id,
        agent_id,
        max(started_at) AS last_start,
        max(CASE WHEN ended_at <= $now THEN ended_at END) AS last_end
    FROM runs
    WHERE agent_id IS NOT NULL AND started_at < $now
    GROUP BY org_id, agent_id
    UNION ALL
    SELECT
        org_id,
        agent_id,
        max(started_at) AS last_start,
        max(CASE WHEN ended_at <= $now THEN ended_at END) AS last_end
    FROM calls
    WHERE agent_id IS NOT NULL AND started_at < $now
    GROUP BY org_id, agent_id
),

agents AS (
    SELECT org_id, agent_id, greatest(max(last_start), max(last_end)) AS last_activity
    FROM activity
    GROUP BY org_id, agent_id
),

work AS (
    SELECT
        org_id,
        agent_id,
        count(CASE WHEN ended_at >= $day_starts_at AND ended_at <= $now THEN 1 END) AS tasks_completed_today,
        CAST(sum(CASE WHEN started_at >= $recent_from THEN CAST(round(duration_ms * 1000) AS BIGINT) END) AS DOUBLE)
            AS duration_us,
        count(CASE WHEN started_at >= $recent_from THEN duration_ms END) AS durations,
        count(CASE WHEN started_at >= $recent_from AND status = 'succeeded' THEN 1 END) AS succeeded,
        count(CASE WHEN started_at >= $recent_from AND status IN ('succeeded', 'failed') THEN 1 END) AS finished
    FROM runs
    WHERE agent_id IS NOT NULL AND started_at < $now AND (started_at >= $recent_from OR ended_at >= $day_starts_at)
    GROUP BY org_id, agent_id
)

SELECT
    a.org_id,
    a.agent_id,
    CASE
        WHEN a.last_activity >= $active_from THEN 'active'
        WHEN a.last_activity >= $recent_from THEN 'idle'
        ELSE 'offline'
    END AS status,
    coalesce(w.tasks_completed_today, 0) AS tasks_completed_today,
    CASE WHEN w.durations > 0 THEN w.duration_us / 1000 / w.durations END AS avg_response_time_ms,
    CASE WHEN w.finished > 0 THEN CAST(w.succeeded AS DOUBLE) / w.finished END AS success_rate,
    a.last_activity
FROM agents AS a
LEFT JOIN work AS w ON w.org_id = a.org_id AND w.agent_id = a.agent_id
