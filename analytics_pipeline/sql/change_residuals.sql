-- How far the log cost and duration of each 24 hours' runs are from what the earlier period would expect of runs of that
-- pipeline, structure and size: sums, so that any scope's daily mean can be made. Expected is the pooled median of
-- pipeline, then size category, then structure, after the effect of the input's size (statistics.md §1, its steps 1, 2).
-- Grain: org_id, model, project, pipeline_id, metric, block.
-- Inputs: change_items. Parameters: $days (length of a period: the blocks of the next $days are the earlier one).
-- Sums are of decimals, so that the order of the rows cannot change the last digit.
-- engine: portable
WITH measured AS (
    SELECT *, 'duration' AS metric, log_duration AS x FROM change_items
    WHERE log_duration IS NOT NULL AND block < 2 * $days
    UNION ALL
    SELECT *, 'cost_per_run' AS metric, log_cost AS x FROM change_items
    WHERE log_cost IS NOT NULL AND block < 2 * $days
),

moments AS (
    SELECT
        metric,
        org_id,
        model,
        pipeline_id,
        CAST(count(*) AS DOUBLE) AS n,
        CAST(sum(CAST(log_chars AS DECIMAL(18, 9))) AS DOUBLE) AS sx,
        CAST(sum(CAST(x AS DECIMAL(18, 9))) AS DOUBLE) AS sy,
        CAST(sum(CAST(log_chars * log_chars AS DECIMAL(18, 9))) AS DOUBLE) AS sxx,
        CAST(sum(CAST(log_chars * x AS DECIMAL(18, 9))) AS DOUBLE) AS sxy
    FROM measured
    WHERE block >= $days
    GROUP BY metric, org_id, model, pipeline_id
),

slopes AS (
    SELECT
        metric,
        org_id,
        model,
        pipeline_id,
        CASE
            WHEN n >= 20 AND n * sxx - sx * sx > 0.000001 * n * n
                THEN least(greatest((n * sxy - sx * sy) / (n * sxx - sx * sx), 0), 1.5)
            ELSE 0.5
        END AS slope
    FROM moments
),

adjusted AS (
    SELECT m.*, m.x - s.slope * m.log_chars AS y
    FROM measured AS m
    INNER JOIN slopes AS s ON
        s.metric = m.metric AND s.org_id = m.org_id
        AND s.model IS NOT DISTINCT FROM m.model
        AND s.pipeline_id IS NOT DISTINCT FROM m.pipeline_id
),

pipelines AS (
    SELECT metric, org_id, model, pipeline_id, percentile(y, 0.5) AS location
    FROM adjusted
    WHERE block >= $days
    GROUP BY metric, org_id, model, pipeline_id
),

clusters AS (
    SELECT metric, org_id, model, pipeline_id, input_category, count(*) AS n, percentile(y, 0.5) AS location
    FROM adjusted
    WHERE block >= $days
    GROUP BY metric, org_id, model, pipeline_id, input_category
),

genera AS (
    SELECT metric, org_id, model, pipeline_id, input_category, genus_hash, count(*) AS n, percentile(y, 0.5) AS location
    FROM adjusted
    WHERE block >= $days
    GROUP BY metric, org_id, model, pipeline_id, input_category, genus_hash
),

pooled AS (
    SELECT
        a.*,
        coalesce(g.n, 0) AS n3,
        g.location AS own,
        (coalesce(c.n * c.location, 0) + p.location) / nullif(coalesce(c.n, 0) + 1, 0) AS parent
    FROM adjusted AS a
    INNER JOIN pipelines AS p ON
        p.metric = a.metric AND p.org_id = a.org_id
        AND p.model IS NOT DISTINCT FROM a.model
        AND p.pipeline_id IS NOT DISTINCT FROM a.pipeline_id
    LEFT JOIN clusters AS c ON
        c.metric = a.metric AND c.org_id = a.org_id
        AND c.model IS NOT DISTINCT FROM a.model
        AND c.pipeline_id IS NOT DISTINCT FROM a.pipeline_id
        AND c.input_category IS NOT DISTINCT FROM a.input_category
    LEFT JOIN genera AS g ON
        g.metric = a.metric AND g.org_id = a.org_id
        AND g.model IS NOT DISTINCT FROM a.model
        AND g.pipeline_id IS NOT DISTINCT FROM a.pipeline_id
        AND g.input_category IS NOT DISTINCT FROM a.input_category
        AND g.genus_hash IS NOT DISTINCT FROM a.genus_hash
)

SELECT
    org_id,
    model,
    project,
    pipeline_id,
    metric,
    block,
    count(*) AS runs,
    CAST(
        sum(CAST(y - (n3 * coalesce(own, 0) + 5 * parent) / nullif(n3 + 5, 0) AS DECIMAL(18, 9))) AS DOUBLE
    ) AS residual
FROM pooled
GROUP BY org_id, model, project, pipeline_id, metric, block
ORDER BY
    org_id NULLS FIRST, model NULLS FIRST, project NULLS FIRST, pipeline_id NULLS FIRST, metric NULLS FIRST,
    block NULLS FIRST
