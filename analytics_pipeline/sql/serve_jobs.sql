-- Jobs of a period by state.
-- Grain: state.
-- Inputs: jobs.
-- Parameters: $org, $project (NULL: any), $starts_at, $ends_at (UTC instants of queued_at, half-open; NULL: no bound).
-- engine: duckdb
SELECT state, count(*) AS jobs
FROM jobs
WHERE org_id = $org
    AND ($project::VARCHAR IS NULL OR project = $project)
    AND ($starts_at::TIMESTAMP IS NULL OR queued_at >= $starts_at)
    AND ($ends_at::TIMESTAMP IS NULL OR queued_at < $ends_at)
GROUP BY state
