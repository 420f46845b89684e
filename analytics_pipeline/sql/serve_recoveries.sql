-- From the end of each failed run of a period to the end of its pipeline's next succeeded run.
-- Grain: one row.
-- Inputs: runs.
-- Parameters: $org, $starts_at, $ends_at (UTC instants, half-open; nothing that ended later is known).
-- engine: duckdb
WITH failures AS (
    SELECT
        pipeline_id IS NULL AS is_unnamed,
        coalesce(pipeline_id, '') AS pipeline,
        coalesce(ended_at, started_at) AS failed_at
    FROM runs
    WHERE org_id = $org AND started_at >= $starts_at AND started_at < $ends_at AND status = 'failed'
),

successes AS (
    SELECT pipeline_id IS NULL AS is_unnamed, coalesce(pipeline_id, '') AS pipeline, ended_at
    FROM runs
    WHERE org_id = $org AND ended_at >= $starts_at AND ended_at < $ends_at AND status = 'succeeded'
)

SELECT
    count(*) - count(s.ended_at) AS open_failures,
    avg((epoch_us(s.ended_at) - epoch_us(f.failed_at)) / 6e7) AS mttr_minutes
FROM failures AS f
ASOF LEFT JOIN successes AS s
    ON s.is_unnamed = f.is_unnamed AND s.pipeline = f.pipeline AND s.ended_at > f.failed_at
