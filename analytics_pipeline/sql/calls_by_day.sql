-- How many calls started on each UTC day that has any.
-- Grain: day (its first instant).
-- Inputs: calls. Parameters: $starts_at, $ends_at (half-open, of the calls' start).
-- engine: portable
SELECT date_trunc('day', started_at) AS day, count(*) AS calls
FROM calls
WHERE started_at >= $starts_at AND started_at < $ends_at
GROUP BY date_trunc('day', started_at)
ORDER BY day ASC NULLS FIRST
