-- Facts of the sessions that are made again; a session's input, pipeline and genus are those of its first top-level run.
-- Grain: org_id, session_id.
-- Inputs: session_runs, session_calls.
-- engine: duckdb
WITH totals AS (
    SELECT
        org_id,
        session_id,
        count(*) AS runs,
        CAST(sum(cost_usd) AS DECIMAL(18, 9)) AS total_cost,
        CAST(sum(unpriced_calls) AS BIGINT) AS unpriced_calls,
        sum(CASE WHEN is_top = 1 THEN duration_ms END) AS total_duration_ms,
        CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
        CAST(sum(tokens_in) AS BIGINT) AS total_tokens_in,
        CAST(sum(tokens_out) AS BIGINT) AS total_tokens_out,
        CAST(sum(llm_calls) AS BIGINT) AS message_count,
        CAST(sum(error_calls) AS BIGINT) AS error_count
    FROM session_runs
    GROUP BY org_id, session_id
),

stages AS (
    SELECT org_id, session_id, count(DISTINCT stage) AS cell_count
    FROM session_calls
    GROUP BY org_id, session_id
),

models AS (
    SELECT org_id, session_id, coalesce(model, 'unknown') AS model, sum(cost_usd) AS cost_usd
    FROM session_calls
    WHERE cost_usd IS NOT NULL
    GROUP BY org_id, session_id, coalesce(model, 'unknown')
),

mixes AS (
    SELECT
        m.org_id,
        m.session_id,
        -- sorted after it is collected: ten times cheaper than an ordered aggregate over many small groups
        to_json(
            map_from_entries(
                list_sort(list(row(m.model, round(CAST(m.cost_usd AS DOUBLE) / CAST(t.total_cost AS DOUBLE), 6))))
            )
        ) AS model_mix
    FROM models AS m
    INNER JOIN totals AS t ON m.org_id = t.org_id AND m.session_id = t.session_id
    WHERE t.total_cost > 0
    GROUP BY m.org_id, m.session_id
)

SELECT
    f.org_id,
    f.session_id,
    f.project,
    f.pipeline_id,
    f.genus_hash,
    f.started_at AS created_at,
    f.local_started_at AS local_created_at,
    f.day,
    f.input_chars,
    f.input_complexity_score,
    f.input_category,
    f.input_fingerprint,
    t.runs,
    t.total_cost,
    t.unpriced_calls,
    t.total_duration_ms,
    t.total_tokens,
    t.total_tokens_in,
    t.total_tokens_out,
    t.message_count,
    coalesce(s.cell_count, 0) AS cell_count,
    t.error_count,
    x.model_mix
FROM session_runs AS f
INNER JOIN totals AS t ON f.org_id = t.org_id AND f.session_id = t.session_id
LEFT JOIN stages AS s ON f.org_id = s.org_id AND f.session_id = s.session_id
LEFT JOIN mixes AS x ON f.org_id = x.org_id AND f.session_id = x.session_id
WHERE f.place = 1
