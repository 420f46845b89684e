-- Failed runs of a period by what ended them.
-- Grain: pipeline_id (NULL: runs that name none), error_type.
-- Inputs: hourly_run_summaries.
-- Parameters: $org, $starts_at, $ends_at (UTC hours, half-open).
-- engine: duckdb
SELECT pipeline_id, entry.key AS error_type, sum(entry.value)::BIGINT AS failed
FROM (
    SELECT pipeline_id, unnest(map_entries(errors_by_type)) AS entry
    FROM hourly_run_summaries
    WHERE org_id = $org AND hour >= $starts_at AND hour < $ends_at
) AS hours
GROUP BY pipeline_id, error_type
ORDER BY failed DESC, error_type, pipeline_id NULLS LAST
