-- The five slowest and the five fastest stages and tools of a period, by mean duration, among those with 10 calls or more.
-- Grain: kind, name, pipeline_id; slow_rank and fast_rank count from 1.
-- Inputs: hourly_call_summaries.
-- Parameters: $org, $starts_at, $ends_at (UTC hours, half-open).
-- engine: duckdb
WITH hours AS (
    SELECT kind, name, pipeline_id, calls, duration_ms_sum, duration_histogram
    FROM hourly_call_summaries
    WHERE org_id = $org AND hour >= $starts_at AND hour < $ends_at AND kind IN ('stage', 'tool') AND name IS NOT NULL
),

stages AS (
    SELECT
        kind,
        name,
        pipeline_id,
        sum(calls)::BIGINT AS calls,
        sum(duration_ms_sum) / sum(list_sum(map_values(duration_histogram))) AS avg_duration_ms
    FROM hours
    GROUP BY kind, name, pipeline_id
    HAVING sum(calls) >= 10 AND sum(list_sum(map_values(duration_histogram))) > 0
),

ranked AS (
    SELECT
        *,
        row_number() OVER (ORDER BY avg_duration_ms DESC, kind, name, pipeline_id NULLS FIRST) AS slow_rank,
        row_number() OVER (ORDER BY avg_duration_ms ASC, kind, name, pipeline_id NULLS FIRST) AS fast_rank
    FROM stages
),

buckets AS (
    SELECT kind, name, pipeline_id, entry.key AS bucket, sum(entry.value)::BIGINT AS counted
    FROM (SELECT kind, name, pipeline_id, unnest(map_entries(duration_histogram)) AS entry FROM hours) AS entries
    GROUP BY kind, name, pipeline_id, bucket
)

SELECT
    r.kind,
    r.name,
    r.pipeline_id,
    r.calls,
    r.avg_duration_ms,
    r.slow_rank,
    r.fast_rank,
    map_from_entries(list(struct_pack(k := b.bucket, v := b.counted))) AS duration_histogram
FROM ranked AS r
JOIN buckets AS b ON b.kind = r.kind AND b.name = r.name AND b.pipeline_id IS NOT DISTINCT FROM r.pipeline_id
WHERE r.slow_rank <= 5 OR r.fast_rank <= 5
GROUP BY r.kind, r.name, r.pipeline_id, r.calls, r.avg_duration_ms, r.slow_rank, r.fast_rank
ORDER BY r.slow_rank
