-- Sums over the runs of each 24 hours back from an instant: block 0 holds the last 24 hours, and the last block tells how
-- many are older.
-- Grain: org_id, project, pipeline_id, block.
-- Inputs: runs, run_verdicts.
-- Parameters: $ends_at (UTC instant), $known_until (UTC instant, excluded), $blocks (blocks of 24 hours before the one of
--   all that is older), $starts_at (where block $blocks ends), $org (NULL: every org).
-- engine: portable
WITH placed AS (
    SELECT
        r.run_id,
        r.org_id,
        r.project,
        r.pipeline_id,
        r.status,
        r.cost_usd,
        r.total_tokens,
        CAST(floor((unix_micros(CAST($ends_at AS TIMESTAMP)) - unix_micros(r.started_at) - 1) / 86400000000) AS BIGINT)
            AS block
    FROM runs AS r
    WHERE
        r.started_at >= $starts_at AND r.started_at < $known_until
        AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
)

SELECT
    p.org_id,
    p.project,
    p.pipeline_id,
    p.block,
    count(*) AS runs,
    count(CASE WHEN p.status = 'succeeded' THEN 1 END) AS succeeded,
    count(CASE WHEN p.status = 'failed' THEN 1 END) AS failed,
    CAST(coalesce(sum(p.cost_usd), 0) AS DOUBLE) AS cost,
    CAST(coalesce(sum(p.total_tokens), 0) AS DOUBLE) AS tokens,
    count(CASE WHEN v.verdict = 'passed' THEN 1 END) AS qa_passed,
    count(CASE WHEN v.verdict IN ('passed', 'warning', 'failed') THEN 1 END) AS qa_checked
FROM placed AS p
INNER JOIN run_verdicts AS v ON v.run_id = p.run_id
GROUP BY p.org_id, p.project, p.pipeline_id, p.block
UNION ALL
SELECT
    r.org_id,
    r.project,
    r.pipeline_id,
    $blocks AS block,
    count(*) AS runs,
    0 AS succeeded,
    0 AS failed,
    0 AS cost,
    0 AS tokens,
    0 AS qa_passed,
    0 AS qa_checked
FROM runs AS r
WHERE r.started_at < $starts_at AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
GROUP BY r.org_id, r.project, r.pipeline_id
ORDER BY org_id NULLS FIRST, project NULLS FIRST, pipeline_id NULLS FIRST, block NULLS FIRST
