-- The runs in which patterns are looked for, each with what is expected of a run of its pipeline, input category and
-- genus (whose mean is shrunk as if 5 runs said what those of the category do): whether it fails (millionths) and the
-- logarithm of its cost (ten-thousandths), whole numbers, so that the order of the rows cannot change a sum.
-- Grain: run_no (one per run_id).
-- Inputs: runs. Parameters: $starts_at, $ends_at (half-open, of the start).
-- engine: portable
WITH outcomes AS (
    SELECT
        run_id,
        org_id,
        pipeline_id,
        input_category,
        genus_hash,
        CASE WHEN status = 'failed' THEN 1 WHEN status = 'succeeded' THEN 0 END AS failed,
        CASE
            WHEN unpriced_calls = 0 AND cost_usd > 0 THEN CAST(round(ln(CAST(cost_usd AS DOUBLE)) * 10000) AS BIGINT)
        END AS log_cost,
        CASE WHEN unpriced_calls = 0 THEN cost_usd END AS cost_usd
    FROM runs
    WHERE started_at >= $starts_at AND started_at < $ends_at
),

by_size AS (
    SELECT
        org_id,
        pipeline_id,
        input_category,
        CAST(sum(failed) AS DOUBLE) / nullif(count(failed), 0) AS failed,
        CAST(sum(log_cost) AS DOUBLE) / nullif(count(log_cost), 0) AS log_cost
    FROM outcomes
    GROUP BY org_id, pipeline_id, input_category
),

by_genus AS (
    SELECT
        org_id,
        pipeline_id,
        input_category,
        genus_hash,
        count(failed) AS finished,
        CAST(coalesce(sum(failed), 0) AS DOUBLE) AS failed,
        count(log_cost) AS costs,
        CAST(coalesce(sum(log_cost), 0) AS DOUBLE) AS log_cost
    FROM outcomes
    GROUP BY org_id, pipeline_id, input_category, genus_hash
),

expected AS (
    SELECT
        g.org_id,
        g.pipeline_id,
        g.input_category,
        g.genus_hash,
        CAST(round((g.failed + 5 * s.failed) / nullif(g.finished + 5, 0) * 1000000) AS BIGINT) AS failed,
        CAST(round((g.log_cost + 5 * s.log_cost) / nullif(g.costs + 5, 0)) AS BIGINT) AS log_cost
    FROM by_genus AS g
    INNER JOIN by_size AS s
        ON s.org_id = g.org_id AND s.pipeline_id IS NOT DISTINCT FROM g.pipeline_id
        AND s.input_category IS NOT DISTINCT FROM g.input_category
)

SELECT
    row_number() OVER (ORDER BY o.run_id ASC NULLS FIRST) AS run_no,
    o.run_id,
    o.org_id,
    o.pipeline_id,
    o.failed,
    CASE WHEN o.failed IS NOT NULL THEN e.failed END AS expected_failed,
    o.cost_usd,
    o.log_cost - e.log_cost AS excess_cost
FROM outcomes AS o
INNER JOIN expected AS e
    ON e.org_id = o.org_id AND e.pipeline_id IS NOT DISTINCT FROM o.pipeline_id
    AND e.input_category IS NOT DISTINCT FROM o.input_category AND e.genus_hash IS NOT DISTINCT FROM o.genus_hash
