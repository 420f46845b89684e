-- What happened to the runs of each agent in each hour in which something did. What was under way before
-- $history_from begins there. Times that a run works in an hour follow from these sums: what runs under way at its
-- start would work, and what those that began work, less what those that ended do not.
-- Grain: org_id, agent_id, hour_us (start of the hour, microseconds since 1970).
-- Inputs: capacity_runs. Parameters: $history_from, $known_until.
-- Columns: started; names_queue (runs of which the log says when they were queued); arrivals; queue_change;
--   running_change; start_rest_us, end_rest_us (from the event to the end of the hour); peak (greatest number under way
--   just after an event, where what ends within 10 ms of a start made room for it, as logs round); completed and the sums over these: duration_us, squares (tenths of a second, squared),
--   inside_us and remaining (statistics/capacity.py).
-- engine: portable
WITH events AS (
    SELECT
        org_id,
        agent_id,
        greatest(coalesce(queued_us, started_us), unix_micros($history_from)) AS at_us,
        CASE WHEN coalesce(queued_us, started_us) >= unix_micros($history_from) THEN 1 ELSE 0 END AS arrived,
        CASE WHEN queued_us IS NOT NULL THEN 1 ELSE 0 END AS names_queue,
        0 AS started,
        CASE WHEN queued_us IS NOT NULL OR status = 'queued' THEN 1 ELSE 0 END AS queue_change,
        0 AS running_change,
        CAST(NULL AS BIGINT) AS duration_us
    FROM capacity_runs
    UNION ALL
    SELECT
        org_id,
        agent_id,
        greatest(started_us, unix_micros($history_from)) AS at_us,
        0 AS arrived,
        0 AS names_queue,
        CASE WHEN started_us >= unix_micros($history_from) AND status <> 'queued' THEN 1 ELSE 0 END AS started,
        CASE WHEN queued_us IS NOT NULL OR status = 'queued' THEN -1 ELSE 0 END AS queue_change,
        CASE WHEN ended_us IS NOT NULL THEN 1 ELSE 0 END AS running_change,
        CAST(NULL AS BIGINT) AS duration_us
    FROM capacity_runs
    UNION ALL
    SELECT
        org_id,
        agent_id,
        greatest(ended_us, unix_micros($history_from)) AS at_us,
        0 AS arrived,
        0 AS names_queue,
        0 AS started,
        0 AS queue_change,
        -1 AS running_change,
        CASE WHEN ended_us >= unix_micros($history_from) THEN duration_us END AS duration_us
    FROM capacity_runs
    WHERE ended_us IS NOT NULL
),

levels AS (
    SELECT
        e.*,
        e.at_us - e.at_us % 3600000000 AS hour_us,
        3600000000 - e.at_us % 3600000000 AS rest_us,
        sum(e.running_change) OVER (
            PARTITION BY e.org_id, e.agent_id
            ORDER BY
                e.at_us - CASE WHEN e.running_change = -1 THEN 10000 ELSE 0 END ASC NULLS LAST,
                e.running_change ASC NULLS LAST
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS level,
        CAST(e.duration_us AS DOUBLE) / 1000000 AS seconds,
        CASE WHEN e.duration_us IS NOT NULL THEN least(CAST(e.duration_us AS DOUBLE), 3600000000) END AS within_us
    FROM events AS e
    WHERE e.at_us < unix_micros($known_until)
)

SELECT
    org_id,
    agent_id,
    hour_us,
    CAST(sum(started) AS BIGINT) AS started,
    CAST(sum(names_queue) AS BIGINT) AS names_queue,
    CAST(sum(arrived) AS BIGINT) AS arrivals,
    CAST(sum(queue_change) AS BIGINT) AS queue_change,
    CAST(sum(CASE WHEN running_change = 1 THEN rest_us ELSE 0 END) AS BIGINT) AS start_rest_us,
    CAST(sum(CASE WHEN running_change = -1 THEN rest_us ELSE 0 END) AS BIGINT) AS end_rest_us,
    CAST(max(level) AS BIGINT) AS peak,
    count(duration_us) AS completed,
    CAST(coalesce(sum(duration_us), 0) AS BIGINT) AS duration_us,
    CAST(coalesce(sum(CAST(round(seconds * 10) AS BIGINT) * CAST(round(seconds * 10) AS BIGINT)), 0) AS BIGINT) AS squares,
    CAST(coalesce(sum(CAST(round(within_us - within_us * (within_us / 7200000000)) AS BIGINT)), 0) AS BIGINT)
        AS inside_us,
    CAST(
        coalesce(
            sum(
                CAST(
                    round(
                        CASE WHEN seconds <= 3600 THEN seconds * seconds / 2 ELSE 3600 * (seconds - 3600) + 6480000 END
                        * 100
                    ) AS BIGINT
                )
            ),
            0
        ) AS BIGINT
    ) AS remaining,
    CAST(sum(running_change) AS BIGINT) AS running_change
FROM levels
GROUP BY org_id, agent_id, hour_us
ORDER BY org_id ASC NULLS FIRST, agent_id ASC NULLS FIRST, hour_us ASC NULLS FIRST
