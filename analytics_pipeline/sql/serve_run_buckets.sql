-- Durations of the runs of a period, counted by bucket (statistics/histogram.py).
-- Grain: bucket.
-- Inputs: hourly_run_summaries.
-- Parameters: $org, $starts_at, $ends_at (UTC hours, half-open).
-- engine: duckdb
SELECT entry.key AS bucket, sum(entry.value)::BIGINT AS counted
FROM (
    SELECT unnest(map_entries(duration_histogram)) AS entry
    FROM hourly_run_summaries
    WHERE org_id = $org AND hour >= $starts_at AND hour < $ends_at
) AS hours
GROUP BY bucket
