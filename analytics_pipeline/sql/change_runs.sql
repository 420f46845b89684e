-- Sums over the runs of each 24 hours back from an instant: block 0 holds the last 24 hours, and the last block tells how
-- many are older.
-- Grain: org_id, project, pipeline_id, block.
-- Inputs: runs, qa_results.
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
        r.qa_status,
        CAST(floor((unix_micros(CAST($ends_at AS TIMESTAMP)) - unix_micros(r.started_at) - 1) / 86400000000) AS BIGINT)
            AS block
    FROM runs AS r
    WHERE
        r.started_at >= $starts_at AND r.started_at < $known_until
        AND (CAST($org AS VARCHAR) IS NULL OR r.org_id = $org)
),

checks AS (
    SELECT
        q.run_id,
        max(CASE q.status WHEN 'error' THEN 4 WHEN 'failed' THEN 3 WHEN 'warning' THEN 2 WHEN 'passed' THEN 1 END)
            AS worst
    FROM qa_results AS q
    INNER JOIN placed AS p ON p.run_id = q.run_id
    GROUP BY q.run_id
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
    count(CASE WHEN p.qa_status = 'passed' OR (p.qa_status IS NULL AND c.worst = 1) THEN 1 END) AS qa_passed,
    count(
        CASE WHEN p.qa_status IN ('passed', 'warning', 'failed') OR (p.qa_status IS NULL AND c.worst <= 3) THEN 1 END
    ) AS qa_checked
FROM placed AS p
LEFT JOIN checks AS c ON c.run_id = p.run_id
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
