-- Counts and sums over the calls of each hour, each row with a number of its own. Durations are summed as whole
-- microseconds, so that the order of the calls never shows in the last digit.
-- Grain: hour, org_id, project, pipeline_id, agent_id, kind, name, provider, model.
-- Inputs: calls. Parameters: $starts_at, $ends_at (half-open, of the calls' start).
-- engine: portable
SELECT
    row_number() OVER (
        ORDER BY hour ASC NULLS FIRST, org_id ASC NULLS FIRST, project ASC NULLS FIRST, pipeline_id ASC NULLS FIRST,
            agent_id ASC NULLS FIRST, kind ASC NULLS FIRST, name ASC NULLS FIRST, provider ASC NULLS FIRST,
            model ASC NULLS FIRST
    ) AS grain_id,
    hour,
    org_id,
    project,
    pipeline_id,
    agent_id,
    kind,
    name,
    provider,
    model,
    calls,
    succeeded,
    failed,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    output_tokens,
    reasoning_tokens,
    total_tokens,
    cost_usd,
    unpriced_calls,
    duration_ms_sum
FROM (
    SELECT
        date_trunc('hour', started_at) AS hour,
        org_id,
        project,
        pipeline_id,
        agent_id,
        kind,
        name,
        provider,
        model,
        count(*) AS calls,
        count(CASE WHEN status = 'ok' THEN 1 END) AS succeeded,
        count(CASE WHEN status = 'error' THEN 1 END) AS failed,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
        CAST(
            sum(
                CASE
                    WHEN cache_write_5m_tokens IS NOT NULL OR cache_write_1h_tokens IS NOT NULL
                        THEN coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0)
                END
            ) AS BIGINT
        ) AS cache_write_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        CAST(sum(cost_usd) AS DECIMAL(18, 9)) AS cost_usd,
        count(CASE WHEN cost_source = 'unpriced' THEN 1 END) AS unpriced_calls,
        CAST(CAST(sum(CAST(round(duration_ms * 1000) AS BIGINT)) AS BIGINT) AS DOUBLE) / 1000 AS duration_ms_sum
    FROM calls
    WHERE started_at >= $starts_at AND started_at < $ends_at
    GROUP BY
        date_trunc('hour', started_at), org_id, project, pipeline_id, agent_id, kind, name, provider, model
) AS sums
