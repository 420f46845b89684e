-- Every day that is made beside each day of its window, so that a window is an equality join.
-- Grain: day, member_day.
-- Inputs: span_days. Parameters: $oldest, $newest (days back from the day to the ends of its window, both included).
-- engine: duckdb
SELECT s.day, CAST(s.day - CAST(o.days_back AS INTEGER) AS DATE) AS member_day
FROM span_days AS s
CROSS JOIN range($newest, $oldest + 1) AS o (days_back)
