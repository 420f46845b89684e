-- What the sessions of each day and genus sum up to, once for all windows that hold the day. The sums are exact (money
-- to the nanodollar, durations to the microsecond), so that the order of the sessions does not show in them. The squares
-- of small values, which most are, fit into 18 digits: they are summed apart, for that takes a quarter of the time.
-- Grain: day, genus_no.
-- Inputs: baseline_sessions. Parameters: none.
-- engine: portable
WITH known AS (
    SELECT
        day,
        genus_no,
        cluster_no,
        pipeline_no,
        total_cost,
        duration_us,
        total_tokens,
        CASE WHEN abs(total_cost) < 1 THEN CAST(total_cost AS DECIMAL(9, 9)) END AS small_cost,
        CASE WHEN abs(total_cost) >= 1 THEN total_cost END AS large_cost,
        CASE WHEN abs(duration_us) < 1000000000 THEN CAST(duration_us AS DECIMAL(9, 0)) END AS small_duration,
        CASE WHEN abs(duration_us) >= 1000000000 THEN CAST(duration_us AS DECIMAL(19, 0)) END AS large_duration,
        CASE WHEN abs(total_tokens) < 1000000000 THEN CAST(total_tokens AS DECIMAL(9, 0)) END AS small_tokens,
        CASE WHEN abs(total_tokens) >= 1000000000 THEN CAST(total_tokens AS DECIMAL(19, 0)) END AS large_tokens
    FROM baseline_sessions
)

SELECT
    day,
    genus_no,
    cluster_no,
    pipeline_no,
    count(*) AS run_count,
    count(total_cost) AS costs,
    count(duration_us) AS durations,
    count(total_tokens) AS token_counts,
    sum(total_cost) AS cost_sum,
    sum(duration_us) AS duration_sum,
    sum(total_tokens) AS token_sum,
    coalesce(sum(small_cost * small_cost), 0) + coalesce(sum(large_cost * large_cost), 0) AS cost_squares,
    coalesce(sum(small_duration * small_duration), 0) + coalesce(sum(large_duration * large_duration), 0)
        AS duration_squares,
    coalesce(sum(small_tokens * small_tokens), 0) + coalesce(sum(large_tokens * large_tokens), 0) AS token_squares,
    min(total_cost) AS least_cost,
    min(duration_us) AS least_duration,
    min(total_tokens) AS least_tokens,
    max(total_cost) AS most_cost,
    max(duration_us) AS most_duration,
    max(total_tokens) AS most_tokens
FROM known
GROUP BY day, genus_no, cluster_no, pipeline_no
