-- What was fitted to the sessions of each genus and of the levels above it, and the spread that says how heavy its
-- org's tails are; of pipelines that have any session whose metric is known.
-- Grain: as_of_day, metric, genus_no.
-- Inputs: baseline_groups, baseline_locations, baseline_scales, baseline_slopes, baseline_spreads. Parameters: none.
-- engine: portable
SELECT
    l.as_of_day,
    l.metric,
    l.genus_no,
    g.cluster_no,
    g.pipeline_no,
    g.org_no,
    l.genus_n,
    l.cluster_n,
    l.pipeline_n,
    l.genus_location,
    l.cluster_location,
    l.pipeline_location,
    s.cluster_scale,
    s.pipeline_scale,
    b.size_centre,
    CASE l.metric WHEN 'cost' THEN b.cost_slope WHEN 'duration' THEN b.duration_slope ELSE b.tokens_slope END AS slope,
    r.spread
FROM baseline_locations AS l
INNER JOIN baseline_groups AS g ON g.genus_no = l.genus_no
INNER JOIN baseline_scales AS s ON s.as_of_day = l.as_of_day AND s.metric = l.metric AND s.cluster_no = g.cluster_no
INNER JOIN baseline_slopes AS b ON b.as_of_day = l.as_of_day AND b.pipeline_no = g.pipeline_no
INNER JOIN baseline_spreads AS r ON r.as_of_day = l.as_of_day AND r.metric = l.metric AND r.org_no = g.org_no
WHERE l.pipeline_n > 0
