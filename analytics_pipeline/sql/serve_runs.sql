-- Runs by period: counts, verdicts, modes, money, tokens, durations.
-- Grain: is_current (0: before $starts_at); no row for a period without runs.
-- Inputs: hourly_run_summaries.
-- Parameters: $org, $project (NULL: any), $previous_starts_at, $starts_at, $ends_at (UTC hours, half-open; NULL: no bound).
-- engine: duckdb
SELECT
    CASE WHEN hour < $starts_at::TIMESTAMP THEN 0 ELSE 1 END AS is_current,
    sum(runs)::BIGINT AS runs,
    sum(succeeded)::BIGINT AS succeeded,
    sum(failed)::BIGINT AS failed,
    sum(qa_passed)::BIGINT AS qa_passed,
    sum(qa_warning)::BIGINT AS qa_warning,
    sum(qa_failed)::BIGINT AS qa_failed,
    sum(qa_error)::BIGINT AS qa_error,
    sum(qa_not_run)::BIGINT AS qa_not_run,
    coalesce(sum(runs) FILTER (mode = '2loop'), 0)::BIGINT AS runs_2loop,
    coalesce(sum(runs) FILTER (mode = '3loop'), 0)::BIGINT AS runs_3loop,
    sum(cost_usd) AS cost_usd,
    sum(unpriced_calls)::BIGINT AS unpriced_calls,
    coalesce(sum(total_tokens), 0)::BIGINT AS total_tokens,
    sum(duration_ms_sum) AS duration_ms_sum,
    coalesce(sum(list_sum(map_values(duration_histogram))), 0)::BIGINT AS timed_runs
FROM hourly_run_summaries
WHERE org_id = $org
    AND ($project::VARCHAR IS NULL OR project = $project)
    AND ($previous_starts_at::TIMESTAMP IS NULL OR hour >= $previous_starts_at)
    AND ($ends_at::TIMESTAMP IS NULL OR hour < $ends_at)
GROUP BY is_current
