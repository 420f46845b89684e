-- The runs of each hour: their sums with their durations and errors as maps to counts.
-- Grain: hour, org_id, project, pipeline_id, agent_id, mode.
-- Inputs: hourly_run_sums, hourly_run_buckets, hourly_run_errors. Parameters: none.
-- engine: duckdb
WITH histograms AS (
    SELECT grain_id, map_from_entries(list_sort(list(struct_pack(k := bucket, v := n)))) AS duration_histogram
    FROM hourly_run_buckets
    GROUP BY grain_id
),

errors AS (
    SELECT grain_id, map_from_entries(list_sort(list(struct_pack(k := error_type, v := n)))) AS errors_by_type
    FROM hourly_run_errors
    GROUP BY grain_id
)

SELECT
    s.* EXCLUDE (grain_id),
    coalesce(h.duration_histogram, CAST(MAP {} AS MAP(INTEGER, BIGINT))) AS duration_histogram,
    coalesce(e.errors_by_type, CAST(MAP {} AS MAP(VARCHAR, BIGINT))) AS errors_by_type
FROM hourly_run_sums AS s
LEFT JOIN histograms AS h ON h.grain_id = s.grain_id
LEFT JOIN errors AS e ON e.grain_id = s.grain_id
