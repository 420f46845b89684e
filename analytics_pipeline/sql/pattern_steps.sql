-- The first steps of each run, its tools and its stages apart, in the order in which they began.
-- Grain: run_no, kind (tool or stage), place (from 1).
-- Inputs: calls, pattern_runs, pattern_names. Parameters: $starts_at, $ends_at (half-open, of the call's start),
--   $most_steps.
-- engine: portable
SELECT run_no, kind, place, step_no
FROM (
    SELECT
        r.run_no,
        c.kind,
        n.step_no,
        row_number() OVER (
            PARTITION BY r.run_no, c.kind ORDER BY c.started_at ASC NULLS LAST, c.call_id ASC NULLS LAST
        ) AS place
    FROM calls AS c
    INNER JOIN pattern_runs AS r ON r.run_id = c.run_id
    INNER JOIN pattern_names AS n ON n.kind = c.kind AND n.name = coalesce(c.name, 'unknown')
    WHERE c.kind IN ('tool', 'stage') AND c.started_at >= $starts_at AND c.started_at < $ends_at
) AS steps
WHERE place <= $most_steps
