-- The calls of each hour: their sums with their durations as one map of bucket to count.
-- Grain: hour, org_id, project, pipeline_id, agent_id, kind, name, provider, model.
-- Inputs: hourly_call_sums, hourly_call_buckets. Parameters: none.
-- engine: duckdb
WITH histograms AS (
    SELECT grain_id, map_from_entries(list_sort(list(struct_pack(k := bucket, v := n)))) AS duration_histogram
    FROM hourly_call_buckets
    GROUP BY grain_id
)

SELECT
    s.* EXCLUDE (grain_id),
    coalesce(h.duration_histogram, CAST(MAP {} AS MAP(INTEGER, BIGINT))) AS duration_histogram
FROM hourly_call_sums AS s
LEFT JOIN histograms AS h ON h.grain_id = s.grain_id
