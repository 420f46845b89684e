-- Each metric of each scope in a period against the one before, with what its test says. Significant is a change of at
-- least $significant_change, of an average also free of mix and size, with q below 0.10; from 0 any change is large. Of
-- a model only what its own calls tell. Without runs the totals of a period are 0.
-- Grain: as_of_day, org_id, scope_kind, scope, metric, period_days.
-- Inputs: trend_runs, trend_models, trend_tests. Parameters: $as_of_day, $period_days, $significant_change.
-- engine: duckdb
WITH scoped AS (
    SELECT 'org' AS scope_kind, org_id AS scope, * FROM trend_runs
    UNION ALL
    SELECT 'project' AS scope_kind, project AS scope, * FROM trend_runs
    UNION ALL
    SELECT 'pipeline' AS scope_kind, pipeline_id AS scope, * FROM trend_runs
    UNION ALL BY NAME
    SELECT 'model' AS scope_kind, model AS scope, * EXCLUDE (model) FROM trend_models
),

periods AS (
    SELECT
        org_id,
        scope_kind,
        scope,
        is_current,
        sum(cost_usd) AS cost,
        sum(tokens) AS tokens,
        sum(runs) AS runs,
        CAST(sum(duration_us) AS DOUBLE) / 1000 / nullif(sum(durations), 0) AS duration,
        CAST(sum(failed) AS DOUBLE) / nullif(sum(succeeded) + sum(failed), 0) AS failure_rate,
        CAST(sum(cost_usd) AS DOUBLE) / nullif(sum(runs), 0) AS cost_per_run,
        CAST(sum(qa_passed) AS DOUBLE) / nullif(sum(qa_checked), 0) AS qa_pass_rate
    FROM scoped
    GROUP BY org_id, scope_kind, scope, is_current
),

pairs AS (
    SELECT
        p.org_id,
        p.scope_kind,
        p.scope,
        m.metric,
        max(CASE WHEN p.is_current = 1 THEN m.value END) AS current_value,
        max(CASE WHEN p.is_current = 0 THEN m.value END) AS previous_value,
        count(CASE WHEN p.is_current = 1 THEN 1 END) AS current_rows,
        count(CASE WHEN p.is_current = 0 THEN 1 END) AS previous_rows
    FROM periods AS p
    CROSS JOIN LATERAL (
        VALUES
            ('cost', CAST(p.cost AS DOUBLE)),
            ('tokens', CAST(p.tokens AS DOUBLE)),
            ('runs', CAST(p.runs AS DOUBLE)),
            ('duration', p.duration),
            ('failure_rate', p.failure_rate),
            ('cost_per_run', p.cost_per_run),
            ('qa_pass_rate', p.qa_pass_rate)
    ) AS m (metric, value)
    WHERE p.scope_kind <> 'model' OR m.metric IN ('cost', 'tokens', 'runs', 'cost_per_run')
    GROUP BY p.org_id, p.scope_kind, p.scope, m.metric
),

known AS (
    SELECT * REPLACE (
        CASE WHEN metric IN ('cost', 'tokens', 'runs') AND current_rows = 0 THEN 0 ELSE current_value END
            AS current_value,
        CASE WHEN metric IN ('cost', 'tokens', 'runs') AND previous_rows = 0 THEN 0 ELSE previous_value END
            AS previous_value
    )
    FROM pairs
),

tested AS (
    SELECT
        k.*,
        100 * (k.current_value - k.previous_value) / nullif(k.previous_value, 0) AS change_percent,
        t.p_value,
        t.q_value,
        coalesce(
            t.q_value < 0.10
            AND abs(k.current_value - k.previous_value) >= ($significant_change - 1e-9) * abs(k.previous_value)
            AND (
                t.adjusted_change IS NULL
                OR (k.current_value - k.previous_value) * t.adjusted_change
                >= ($significant_change - 1e-9) * abs(k.current_value - k.previous_value)
            ),
            FALSE
        ) AS is_significant
    FROM known AS k
    LEFT JOIN trend_tests AS t ON
        t.org_id = k.org_id AND t.scope_kind = k.scope_kind AND t.scope IS NOT DISTINCT FROM k.scope
        AND t.metric = k.metric AND k.current_value IS NOT NULL AND k.previous_value IS NOT NULL
)

SELECT
    CAST($as_of_day AS DATE) AS as_of_day,
    org_id,
    scope_kind,
    scope,
    metric,
    $period_days AS period_days,
    current_value,
    previous_value,
    change_percent,
    CASE
        WHEN NOT is_significant THEN 'stable'
        WHEN current_value > previous_value THEN 'up'
        ELSE 'down'
    END AS direction,
    is_significant,
    p_value,
    q_value
FROM tested
