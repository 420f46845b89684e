-- The tools and stages that are steps of the runs, numbered in the order of their names: patterns are counted by numbers.
-- Grain: step_no (one per kind, name).
-- Inputs: calls. Parameters: $starts_at, $ends_at (half-open, of the call's start).
-- engine: portable
SELECT
    kind,
    name,
    row_number() OVER (ORDER BY kind ASC NULLS FIRST, name ASC NULLS FIRST) AS step_no
FROM (
    SELECT DISTINCT
        kind,
        coalesce(name, 'unknown') AS name
    FROM calls
    WHERE kind IN ('tool', 'stage') AND started_at >= $starts_at AND started_at < $ends_at
) AS named
