-- Sums over the runs of a period and of the one before.
-- Grain: org_id, project, pipeline_id, is_current.
-- Inputs: runs, run_verdicts. Parameters: $previous_from, $current_from, $known_until (half-open, of the runs' start).
-- engine: portable
SELECT
    r.org_id,
    r.project,
    r.pipeline_id,
    CASE WHEN r.started_at >= $current_from THEN 1 ELSE 0 END AS is_current,
    count(*) AS runs,
    count(CASE WHEN r.status = 'succeeded' THEN 1 END) AS succeeded,
    count(CASE WHEN r.status = 'failed' THEN 1 END) AS failed,
    CAST(sum(r.cost_usd) AS DECIMAL(18, 9)) AS cost_usd,
    CAST(sum(r.total_tokens) AS BIGINT) AS tokens,
    CAST(sum(CAST(round(r.duration_ms * 1000) AS BIGINT)) AS BIGINT) AS duration_us,
    count(r.duration_ms) AS durations,
    count(CASE WHEN v.verdict = 'passed' THEN 1 END) AS qa_passed,
    count(CASE WHEN v.verdict IN ('passed', 'warning', 'failed') THEN 1 END) AS qa_checked
FROM runs AS r
INNER JOIN run_verdicts AS v ON v.run_id = r.run_id
WHERE r.started_at >= $previous_from AND r.started_at < $known_until
GROUP BY r.org_id, r.project, r.pipeline_id, CASE WHEN r.started_at >= $current_from THEN 1 ELSE 0 END
