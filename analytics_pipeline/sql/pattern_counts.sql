-- What became of the runs that show each pattern, by where they first show it and how many steps they have; and of all
-- runs (first_no 0, place 0), by how many steps they have. Patterns of fewer than $least runs are left out.
-- Grain: org_id, pipeline_id, kind, first_no, second_no, third_no, fourth_no, place, steps.
-- Inputs: pattern_runs, pattern_names, pattern_steps, pattern_first, pattern_excluded (run_no, kind: left out).
-- Parameters: $least.
-- Columns: runs; finished, failed, expected_failed (a sum of millionths); costs, cost_usd; excesses, excess_cost and
--   excess_squares (of the logarithm, ten-thousandths).
-- engine: duckdb
WITH lengths AS (
    SELECT s.run_no, s.kind, max(s.place) AS steps
    FROM pattern_steps AS s
    ANTI JOIN pattern_excluded AS e ON e.run_no = s.run_no AND e.kind = s.kind
    GROUP BY s.run_no, s.kind
),

shown AS (
    SELECT f.*, n.kind
    FROM pattern_first AS f
    INNER JOIN pattern_names AS n ON n.step_no = f.first_no
    UNION ALL BY NAME
    SELECT run_no, kind, 0 AS first_no, 0 AS second_no, 0 AS third_no, 0 AS fourth_no, 0 AS place FROM lengths
),

counted AS (
    SELECT
        r.org_id,
        r.pipeline_id,
        s.kind,
        s.first_no,
        s.second_no,
        s.third_no,
        s.fourth_no,
        s.place,
        l.steps,
        count(*) AS runs,
        count(r.failed) AS finished,
        CAST(coalesce(sum(r.failed), 0) AS BIGINT) AS failed,
        CAST(coalesce(sum(r.expected_failed), 0) AS BIGINT) AS expected_failed,
        count(r.cost_usd) AS costs,
        coalesce(sum(r.cost_usd), 0) AS cost_usd,
        count(r.excess_cost) AS excesses,
        CAST(coalesce(sum(r.excess_cost), 0) AS BIGINT) AS excess_cost,
        CAST(coalesce(sum(r.excess_cost * r.excess_cost), 0) AS BIGINT) AS excess_squares
    FROM shown AS s
    INNER JOIN lengths AS l ON l.run_no = s.run_no AND l.kind = s.kind
    INNER JOIN pattern_runs AS r ON r.run_no = s.run_no
    GROUP BY ALL
)

SELECT * REPLACE (CAST(cost_usd AS DOUBLE) AS cost_usd)
FROM counted
QUALIFY sum(runs) OVER (PARTITION BY org_id, pipeline_id, kind, first_no, second_no, third_no, fourth_no)
    >= $least OR first_no = 0
ORDER BY ALL
