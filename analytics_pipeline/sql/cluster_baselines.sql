-- What sessions of the 30 days before each day were like, by pipeline, by its input category and by its genus. A
-- session with unpriced calls is in no baseline; every other is, whatever its status, with the figures that it knows.
-- The sums are exact and each day's are made once (money to the nanodollar, durations to the microsecond), so that
-- neither the order of the sessions nor the other days made with it show in a mean or a deviation.
-- Grain: as_of_day, org_id, level, pipeline_id, input_category, genus_hash.
-- Inputs: sessions, window_days. Parameters: $first_member, $last_member (days that the windows reach, both included).
-- engine: portable
WITH known AS (
    SELECT
        day,
        org_id,
        pipeline_id,
        input_category,
        genus_hash,
        total_cost,
        CAST(round(total_duration_ms * 1000) AS DECIMAL(19, 0)) AS duration_us,
        CAST(total_tokens AS DECIMAL(19, 0)) AS tokens
    FROM sessions
    WHERE day >= $first_member AND day <= $last_member AND coalesce(unpriced_calls, 0) = 0
),

days AS (
    SELECT
        day,
        org_id,
        pipeline_id,
        input_category,
        genus_hash,
        count(*) AS run_count,
        count(total_cost) AS costs,
        count(duration_us) AS durations,
        count(tokens) AS token_counts,
        sum(total_cost) AS cost_sum,
        sum(duration_us) AS duration_sum,
        sum(tokens) AS token_sum,
        sum(total_cost * total_cost) AS cost_squares,
        sum(duration_us * duration_us) AS duration_squares,
        sum(tokens * tokens) AS token_squares,
        min(total_cost) AS least_cost,
        min(duration_us) AS least_duration,
        min(tokens) AS least_tokens,
        max(total_cost) AS most_cost,
        max(duration_us) AS most_duration,
        max(tokens) AS most_tokens
    FROM known
    GROUP BY day, org_id, pipeline_id, input_category, genus_hash
),

sums AS (
    SELECT
        w.day AS as_of_day,
        d.org_id,
        CASE
            WHEN grouping(d.genus_hash) = 0 THEN 'genus'
            WHEN grouping(d.input_category) = 0 THEN 'cluster'
            ELSE 'global'
        END AS level,
        d.pipeline_id,
        d.input_category,
        d.genus_hash,
        CAST(sum(d.run_count) AS BIGINT) AS run_count,
        CAST(sum(d.costs) AS DOUBLE) AS costs,
        CAST(sum(d.durations) AS DOUBLE) AS durations,
        CAST(sum(d.token_counts) AS DOUBLE) AS token_counts,
        CAST(sum(d.cost_sum) AS DOUBLE) AS cost_sum,
        CAST(sum(d.duration_sum) AS DOUBLE) / 1000 AS duration_sum,
        CAST(sum(d.token_sum) AS DOUBLE) AS token_sum,
        CAST(sum(d.cost_squares) AS DOUBLE) AS cost_squares,
        CAST(sum(d.duration_squares) AS DOUBLE) / 1000000 AS duration_squares,
        CAST(sum(d.token_squares) AS DOUBLE) AS token_squares,
        CASE WHEN min(d.least_cost) < max(d.most_cost) THEN 1 ELSE 0 END AS costs_differ,
        CASE WHEN min(d.least_duration) < max(d.most_duration) THEN 1 ELSE 0 END AS durations_differ,
        CASE WHEN min(d.least_tokens) < max(d.most_tokens) THEN 1 ELSE 0 END AS tokens_differ
    FROM days AS d
    INNER JOIN window_days AS w ON w.member_day = d.day
    GROUP BY GROUPING SETS (
        (w.day, d.org_id, d.pipeline_id),
        (w.day, d.org_id, d.pipeline_id, d.input_category),
        (w.day, d.org_id, d.pipeline_id, d.input_category, d.genus_hash)
    )
),

quantiles AS (
    SELECT
        w.day AS as_of_day,
        k.org_id,
        CASE
            WHEN grouping(k.genus_hash) = 0 THEN 'genus'
            WHEN grouping(k.input_category) = 0 THEN 'cluster'
            ELSE 'global'
        END AS level,
        k.pipeline_id,
        k.input_category,
        k.genus_hash,
        percentile(CAST(k.total_cost AS DOUBLE), 0.5) AS median_cost,
        percentile(CAST(k.total_cost AS DOUBLE), 0.95) AS p95_cost
    FROM known AS k
    INNER JOIN window_days AS w ON w.member_day = k.day
    GROUP BY GROUPING SETS (
        (w.day, k.org_id, k.pipeline_id),
        (w.day, k.org_id, k.pipeline_id, k.input_category),
        (w.day, k.org_id, k.pipeline_id, k.input_category, k.genus_hash)
    )
)

SELECT
    s.as_of_day,
    s.org_id,
    s.level,
    s.pipeline_id,
    s.input_category,
    s.genus_hash,
    s.run_count,
    CASE WHEN s.costs > 0 THEN s.cost_sum / s.costs END AS avg_cost,
    CASE
        WHEN s.costs > 1 AND s.costs_differ = 0 THEN 0
        WHEN s.costs > 1 THEN sqrt(greatest(s.cost_squares - s.cost_sum * s.cost_sum / s.costs, 0) / (s.costs - 1))
    END AS stddev_cost,
    q.median_cost,
    q.p95_cost,
    CASE WHEN s.durations > 0 THEN s.duration_sum / s.durations END AS avg_duration_ms,
    CASE
        WHEN s.durations > 1 AND s.durations_differ = 0 THEN 0
        WHEN s.durations > 1
            THEN sqrt(
                greatest(s.duration_squares - s.duration_sum * s.duration_sum / s.durations, 0) / (s.durations - 1)
            )
    END AS stddev_duration_ms,
    CASE WHEN s.token_counts > 0 THEN s.token_sum / s.token_counts END AS avg_tokens,
    CASE
        WHEN s.token_counts > 1 AND s.tokens_differ = 0 THEN 0
        WHEN s.token_counts > 1
            THEN sqrt(greatest(s.token_squares - s.token_sum * s.token_sum / s.token_counts, 0) / (s.token_counts - 1))
    END AS stddev_tokens
FROM sums AS s
INNER JOIN quantiles AS q ON
    q.as_of_day = s.as_of_day
    AND q.org_id = s.org_id
    AND q.level = s.level
    AND q.pipeline_id IS NOT DISTINCT FROM s.pipeline_id
    AND q.input_category IS NOT DISTINCT FROM s.input_category
    AND q.genus_hash IS NOT DISTINCT FROM s.genus_hash
