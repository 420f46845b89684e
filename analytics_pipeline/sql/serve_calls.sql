-- Calls by period and by what costs: counts, money, tokens, durations.
-- Grain: is_current (0: before $starts_at), pipeline_id, kind, provider, model (each NULL where there is none).
-- Inputs: hourly_call_summaries.
-- Parameters: $org, $project (NULL: any), $previous_starts_at, $starts_at, $ends_at (UTC hours, half-open; NULL: no bound).
-- engine: duckdb
SELECT
    CASE WHEN hour < $starts_at::TIMESTAMP THEN 0 ELSE 1 END AS is_current,
    pipeline_id,
    kind,
    provider,
    model,
    sum(calls)::BIGINT AS calls,
    sum(succeeded)::BIGINT AS succeeded,
    sum(failed)::BIGINT AS failed,
    sum(cost_usd) AS cost_usd,
    sum(unpriced_calls)::BIGINT AS unpriced_calls,
    sum(total_tokens)::BIGINT AS total_tokens,
    sum(duration_ms_sum) AS duration_ms_sum,
    coalesce(sum(list_sum(map_values(duration_histogram))), 0)::BIGINT AS timed_calls
FROM hourly_call_summaries
WHERE org_id = $org
    AND ($project::VARCHAR IS NULL OR project = $project)
    AND ($previous_starts_at::TIMESTAMP IS NULL OR hour >= $previous_starts_at)
    AND ($ends_at::TIMESTAMP IS NULL OR hour < $ends_at)
GROUP BY is_current, pipeline_id, kind, provider, model
ORDER BY is_current, pipeline_id, kind, provider, model
