-- What quality assurance says of each run: the run's own status, else the worst of its QA records, else not_run.
-- Grain: run_id.
-- Inputs: runs, qa_results. Parameters: $starts_at, $ends_at (half-open, of the runs' start).
-- engine: portable
SELECT
    r.run_id,
    coalesce(
        r.qa_status,
        CASE q.worst WHEN 4 THEN 'error' WHEN 3 THEN 'failed' WHEN 2 THEN 'warning' WHEN 1 THEN 'passed' END,
        'not_run'
    ) AS verdict
FROM runs AS r
LEFT JOIN (
    SELECT
        run_id,
        max(CASE status WHEN 'error' THEN 4 WHEN 'failed' THEN 3 WHEN 'warning' THEN 2 WHEN 'passed' THEN 1 END) AS worst
    FROM qa_results
    GROUP BY run_id
) AS q ON q.run_id = r.run_id
WHERE r.started_at >= $starts_at AND r.started_at < $ends_at
