-- What was fitted, for each level of the sessions and each metric; a group of sessions goes by the least of its genera.
-- Grain: as_of_day, level, group_no, metric.
-- Inputs: baseline_genera, baseline_tails. Parameters: none.
-- engine: portable
WITH genera AS (
    SELECT f.*, t.tail
    FROM baseline_genera AS f
    INNER JOIN baseline_tails AS t ON t.as_of_day = f.as_of_day AND t.metric = f.metric AND t.org_no = f.org_no
)

SELECT as_of_day, 'genus' AS level, genus_no AS group_no, metric, genus_n AS n, genus_location AS location,
    cluster_scale AS scale, slope, size_centre, tail
FROM genera
UNION ALL
SELECT as_of_day, 'cluster' AS level, cluster_no AS group_no, metric, max(cluster_n) AS n,
    max(cluster_location) AS location, max(cluster_scale) AS scale, max(slope) AS slope,
    max(size_centre) AS size_centre, max(tail) AS tail
FROM genera
GROUP BY as_of_day, metric, cluster_no
UNION ALL
SELECT as_of_day, 'global' AS level, pipeline_no AS group_no, metric, max(pipeline_n) AS n,
    max(pipeline_location) AS location, max(pipeline_scale) AS scale, max(slope) AS slope,
    max(size_centre) AS size_centre, max(tail) AS tail
FROM genera
GROUP BY as_of_day, metric, pipeline_no
