-- The runs of each agent as spans of waiting and working, microseconds since 1970. A run that is still running counts as
-- working until now, for as long as its agent's runs last at most (99th percentile; a day where that is unknown), one
-- that is still queued as waiting for a day. A finished run without an end has no known duration and works for none.
-- In a run of another agent, or of none, each call that names an agent is work of its own, but for calls within one.
-- Grain: run_id, or call_id where it is such a call.
-- Inputs: runs, calls, capacity_caps. Parameters: $oldest, $history_from, $known_until.
-- engine: portable
SELECT
    r.org_id,
    r.agent_id,
    r.status,
    unix_micros(r.queued_at) AS queued_us,
    CASE
        WHEN r.status = 'queued' THEN coalesce(unix_micros(r.queued_at), unix_micros(r.started_at)) + 86400000000
        ELSE unix_micros(r.started_at)
    END AS started_us,
    CASE
        WHEN r.status = 'queued' THEN NULL
        WHEN r.ended_at IS NOT NULL THEN unix_micros(r.ended_at)
        WHEN r.status = 'running' THEN unix_micros(r.started_at) + coalesce(c.cap_us, 86400000000)
    END AS ended_us,
    CASE
        WHEN r.status <> 'queued' AND r.ended_at IS NOT NULL THEN unix_micros(r.ended_at) - unix_micros(r.started_at)
    END AS duration_us
FROM runs AS r
LEFT JOIN capacity_caps AS c
    ON c.org_id = r.org_id AND c.agent_id = r.agent_id
    AND c.day_us = unix_micros(r.started_at) - unix_micros(r.started_at) % 86400000000
    AND r.ended_at IS NULL
WHERE
    r.agent_id IS NOT NULL AND (r.started_at < $known_until OR r.queued_at < $known_until)
    AND (r.ended_at >= $history_from OR (r.ended_at IS NULL AND r.started_at >= $oldest))
UNION ALL
SELECT
    c.org_id,
    c.agent_id,
    'succeeded' AS status,
    NULL AS queued_us,
    unix_micros(c.started_at) AS started_us,
    unix_micros(c.ended_at) AS ended_us,
    unix_micros(c.ended_at) - unix_micros(c.started_at) AS duration_us
FROM calls AS c
INNER JOIN runs AS r ON r.run_id = c.run_id
LEFT JOIN calls AS p
    ON p.call_id = c.parent_call_id AND p.run_id = c.run_id AND p.agent_id_stated = c.agent_id_stated
    AND p.started_at >= $oldest
WHERE
    c.agent_id_stated IS NOT NULL AND (r.agent_id IS NULL OR r.agent_id <> c.agent_id_stated) AND p.call_id IS NULL
    AND c.started_at >= $oldest AND c.started_at < $known_until
    AND (c.ended_at >= $history_from OR (c.ended_at IS NULL AND c.started_at >= $history_from))
