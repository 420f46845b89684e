-- Counts and sums over the runs of each hour, each row with a number of its own; money and tokens stand at the run's
-- start. Durations are summed as whole microseconds, so that the order of the runs never shows in the last digit.
-- Grain: hour, org_id, project, pipeline_id, agent_id, mode.
-- Inputs: runs, run_verdicts. Parameters: $starts_at, $ends_at (half-open, of the runs' start).
-- engine: portable
SELECT
    row_number() OVER (
        ORDER BY hour ASC NULLS FIRST, org_id ASC NULLS FIRST, project ASC NULLS FIRST, pipeline_id ASC NULLS FIRST,
            agent_id ASC NULLS FIRST, mode ASC NULLS FIRST
    ) AS grain_id,
    hour,
    org_id,
    project,
    pipeline_id,
    agent_id,
    mode,
    runs,
    succeeded,
    failed,
    cancelled,
    qa_passed,
    qa_warning,
    qa_failed,
    qa_error,
    qa_not_run,
    effort_low,
    effort_medium,
    effort_high,
    cost_usd,
    unpriced_calls,
    total_tokens,
    duration_ms_sum
FROM (
    SELECT
        date_trunc('hour', r.started_at) AS hour,
        r.org_id,
        r.project,
        r.pipeline_id,
        r.agent_id,
        r.mode,
        count(*) AS runs,
        count(CASE WHEN r.status = 'succeeded' THEN 1 END) AS succeeded,
        count(CASE WHEN r.status = 'failed' THEN 1 END) AS failed,
        count(CASE WHEN r.status = 'cancelled' THEN 1 END) AS cancelled,
        count(CASE WHEN v.verdict = 'passed' THEN 1 END) AS qa_passed,
        count(CASE WHEN v.verdict = 'warning' THEN 1 END) AS qa_warning,
        count(CASE WHEN v.verdict = 'failed' THEN 1 END) AS qa_failed,
        count(CASE WHEN v.verdict = 'error' THEN 1 END) AS qa_error,
        count(CASE WHEN v.verdict = 'not_run' THEN 1 END) AS qa_not_run,
        count(CASE WHEN r.human_effort_level = 'LOW' THEN 1 END) AS effort_low,
        count(CASE WHEN r.human_effort_level = 'MEDIUM' THEN 1 END) AS effort_medium,
        count(CASE WHEN r.human_effort_level = 'HIGH' THEN 1 END) AS effort_high,
        CAST(sum(r.cost_usd) AS DECIMAL(18, 9)) AS cost_usd,
        CAST(coalesce(sum(r.unpriced_calls), 0) AS BIGINT) AS unpriced_calls,
        CAST(sum(r.total_tokens) AS BIGINT) AS total_tokens,
        CAST(CAST(sum(CAST(round(r.duration_ms * 1000) AS BIGINT)) AS BIGINT) AS DOUBLE) / 1000 AS duration_ms_sum
    FROM runs AS r
    INNER JOIN run_verdicts AS v ON v.run_id = r.run_id
    WHERE r.started_at >= $starts_at AND r.started_at < $ends_at
    GROUP BY date_trunc('hour', r.started_at), r.org_id, r.project, r.pipeline_id, r.agent_id, r.mode
) AS sums
