-- The runs of each reporting day; money and tokens stand at the run's start, percentiles are exact.
-- Grain: day, org_id, project, pipeline_id.
-- Inputs: runs, run_verdicts, span_days. Parameters: none.
-- engine: portable
SELECT
    r.day,
    r.org_id,
    r.project,
    r.pipeline_id,
    count(*) AS runs,
    count(CASE WHEN r.status = 'failed' THEN 1 END) AS failed,
    CAST(sum(r.total_tokens) AS BIGINT) AS tokens,
    CAST(sum(r.cost_usd) AS DECIMAL(18, 9)) AS cost_usd,
    CAST(coalesce(sum(r.unpriced_calls), 0) AS BIGINT) AS unpriced_calls,
    count(CASE WHEN v.verdict = 'passed' THEN 1 END) AS qa_passed,
    count(CASE WHEN v.verdict = 'warning' THEN 1 END) AS qa_warning,
    count(CASE WHEN v.verdict = 'failed' THEN 1 END) AS qa_failed,
    percentile(r.duration_ms, 0.5) AS duration_p50_ms,
    percentile(r.duration_ms, 0.95) AS duration_p95_ms
FROM runs AS r
INNER JOIN span_days AS d ON d.day = r.day
INNER JOIN run_verdicts AS v ON v.run_id = r.run_id
GROUP BY r.day, r.org_id, r.project, r.pipeline_id
