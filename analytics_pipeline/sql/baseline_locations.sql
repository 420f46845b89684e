-- Where each genus lies: its median, drawn towards that of its category, that towards its pipeline's and that towards
-- the org's, as if the level above were 5, 1 and 1 sessions more; natural logarithms. Each level's own count stands
-- beside it.
-- Grain: as_of_day, metric, genus_no.
-- Inputs: baseline_adjusted, baseline_groups. Parameters: none.
-- engine: portable
WITH medians AS (
    SELECT
        as_of_day,
        org_no,
        pipeline_no,
        cluster_no,
        genus_no,
        count(cost) AS costs,
        count(duration) AS durations,
        count(tokens) AS token_counts,
        percentile(cost, 0.5) / 10000 AS cost,
        percentile(duration, 0.5) / 10000 AS duration,
        percentile(tokens, 0.5) / 10000 AS tokens
    FROM baseline_adjusted
    GROUP BY GROUPING SETS (
        (as_of_day, org_no), (as_of_day, pipeline_no), (as_of_day, cluster_no), (as_of_day, genus_no)
    )
),

-- a group has the number of its first genus; each row names the groups above it, so that none is looked for among all
levels AS (
    SELECT
        m.as_of_day,
        g.org_no,
        g.pipeline_no,
        g.cluster_no,
        g.genus_no,
        CASE
            WHEN m.genus_no IS NOT NULL THEN 'genus'
            WHEN m.cluster_no IS NOT NULL THEN 'cluster'
            WHEN m.pipeline_no IS NOT NULL THEN 'pipeline'
            ELSE 'org'
        END AS level,
        m.costs,
        m.durations,
        m.token_counts,
        m.cost,
        m.duration,
        m.tokens
    FROM medians AS m
    INNER JOIN baseline_groups AS g ON g.genus_no = coalesce(m.genus_no, m.cluster_no, m.pipeline_no, m.org_no)
),

by_metric AS (
    SELECT *, 'cost' AS metric, costs AS n, cost AS middle FROM levels
    UNION ALL
    SELECT *, 'duration' AS metric, durations AS n, duration AS middle FROM levels
    UNION ALL
    SELECT *, 'tokens' AS metric, token_counts AS n, tokens AS middle FROM levels
),

pipelines AS (
    SELECT
        p.as_of_day,
        p.metric,
        p.pipeline_no,
        p.n,
        (p.n * coalesce(p.middle, 0) + o.middle) / nullif(p.n + 1, 0) AS location
    FROM by_metric AS p
    INNER JOIN by_metric AS o ON
        o.as_of_day = p.as_of_day AND o.metric = p.metric AND o.org_no = p.org_no AND o.level = 'org'
    WHERE p.level = 'pipeline'
),

clusters AS (
    SELECT
        c.as_of_day,
        c.metric,
        c.cluster_no,
        c.n,
        p.n AS pipeline_n,
        p.location AS pipeline_location,
        (c.n * coalesce(c.middle, 0) + p.location) / nullif(c.n + 1, 0) AS location
    FROM by_metric AS c
    INNER JOIN pipelines AS p ON p.as_of_day = c.as_of_day AND p.metric = c.metric AND p.pipeline_no = c.pipeline_no
    WHERE c.level = 'cluster'
)

SELECT
    m.as_of_day,
    m.metric,
    m.genus_no,
    m.n AS genus_n,
    c.n AS cluster_n,
    c.pipeline_n,
    (m.n * coalesce(m.middle, 0) + 5 * c.location) / nullif(m.n + 5, 0) AS genus_location,
    c.location AS cluster_location,
    c.pipeline_location
FROM by_metric AS m
INNER JOIN clusters AS c ON c.as_of_day = m.as_of_day AND c.metric = m.metric AND c.cluster_no = m.cluster_no
WHERE m.level = 'genus'
