-- The 95th percentile of each profile's durations from their buckets, interpolated between the two durations next to
-- its rank as quantile_cont does, each taken as the geometric middle of its bucket: within 1 % of the exact one.
-- Grain: profile_id.
-- Inputs: tool_windows, tool_day_buckets, window_days. Parameters: none.
-- engine: duckdb
WITH numbered AS (
    SELECT w.profile_id, t.bucket, CAST(sum(t.n) AS BIGINT) AS n
    FROM tool_day_buckets AS t
    INNER JOIN window_days AS d ON d.member_day = t.day
    INNER JOIN tool_windows AS w ON
        w.as_of_day = d.day AND w.org_id = t.org_id AND w.tool_name IS NOT DISTINCT FROM t.tool_name
    GROUP BY w.profile_id, t.bucket
),

ranked AS (
    SELECT
        profile_id,
        pow(1.02, bucket + 0.5) AS middle_ms,
        sum(n) OVER (PARTITION BY profile_id ORDER BY bucket) AS passed,
        0.95 * (sum(n) OVER (PARTITION BY profile_id) - 1) AS rank
    FROM numbered
),

neighbours AS (
    SELECT
        profile_id,
        any_value(rank) - floor(any_value(rank)) AS part,
        min(middle_ms) FILTER (WHERE passed > floor(rank)) AS below_ms,
        min(middle_ms) FILTER (WHERE passed > ceil(rank)) AS above_ms
    FROM ranked
    GROUP BY profile_id
)

SELECT profile_id, below_ms + (above_ms - below_ms) * part AS p95_duration_ms
FROM neighbours
