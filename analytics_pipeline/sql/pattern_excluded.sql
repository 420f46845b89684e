-- The runs that show one of the patterns that are told already.
-- Grain: run_no, kind.
-- Inputs: pattern_first, pattern_runs, pattern_names. Parameters: $rows (list of the columns of `told` below).
-- engine: duckdb
WITH told AS (
    SELECT unnest(
        CAST(
            $rows AS STRUCT(
                org_id VARCHAR,
                pipeline_id VARCHAR,
                first_no BIGINT,
                second_no BIGINT,
                third_no BIGINT,
                fourth_no BIGINT
            )[]
        ),
        recursive := true
    )
)

SELECT DISTINCT f.run_no, n.kind
FROM pattern_first AS f
INNER JOIN pattern_names AS n ON n.step_no = f.first_no
INNER JOIN pattern_runs AS r ON r.run_no = f.run_no
INNER JOIN told AS t
    ON t.org_id = r.org_id AND t.pipeline_id IS NOT DISTINCT FROM r.pipeline_id
    AND t.first_no = f.first_no AND t.second_no = f.second_no AND t.third_no = f.third_no AND t.fourth_no = f.fourth_no
