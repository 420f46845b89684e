-- Where each run first shows each pattern of 2 to 4 successive steps: the place of the pattern's last step. Steps of one
-- pattern are of one kind.
-- Grain: run_no, first_no, second_no, third_no, fourth_no (0 where the pattern is shorter).
-- Inputs: pattern_steps. Parameters: none.
-- engine: portable
WITH successions AS (
    SELECT
        a.run_no,
        a.step_no AS first_no,
        b.step_no AS second_no,
        coalesce(c.step_no, 0) AS third_no,
        coalesce(d.step_no, 0) AS fourth_no,
        a.place
    FROM pattern_steps AS a
    INNER JOIN pattern_steps AS b ON b.run_no = a.run_no AND b.kind = a.kind AND b.place = a.place + 1
    LEFT JOIN pattern_steps AS c ON c.run_no = a.run_no AND c.kind = a.kind AND c.place = a.place + 2
    LEFT JOIN pattern_steps AS d ON d.run_no = a.run_no AND d.kind = a.kind AND d.place = a.place + 3
)

SELECT run_no, first_no, second_no, 0 AS third_no, 0 AS fourth_no, min(place) + 1 AS place
FROM successions
GROUP BY run_no, first_no, second_no
UNION ALL
SELECT run_no, first_no, second_no, third_no, 0 AS fourth_no, min(place) + 2 AS place
FROM successions
WHERE third_no > 0
GROUP BY run_no, first_no, second_no, third_no
UNION ALL
SELECT run_no, first_no, second_no, third_no, fourth_no, min(place) + 3 AS place
FROM successions
WHERE fourth_no > 0
GROUP BY run_no, first_no, second_no, third_no, fourth_no
