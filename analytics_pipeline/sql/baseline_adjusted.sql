-- The logarithms of the sessions of each day's window as if every input of a pipeline had the median size, in
-- ten-thousandths: medians of whole numbers take half the time.
-- Grain: as_of_day, session.
-- Inputs: baseline_sessions, window_days, baseline_slopes. Parameters: none.
-- engine: portable
SELECT
    w.day AS as_of_day,
    f.genus_no,
    f.cluster_no,
    f.pipeline_no,
    f.org_no,
    CAST(round((f.cost - s.cost_slope * coalesce(f.size - s.size_centre, 0)) * 10000) AS INTEGER) AS cost,
    CAST(round((f.duration - s.duration_slope * coalesce(f.size - s.size_centre, 0)) * 10000) AS INTEGER) AS duration,
    CAST(round((f.tokens - s.tokens_slope * coalesce(f.size - s.size_centre, 0)) * 10000) AS INTEGER) AS tokens
FROM baseline_sessions AS f
INNER JOIN window_days AS w ON w.member_day = f.day
INNER JOIN baseline_slopes AS s ON s.as_of_day = w.day AND s.pipeline_no = f.pipeline_no
