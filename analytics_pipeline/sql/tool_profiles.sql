-- How each tool did in the 30 days that end with each day.
-- Grain: as_of_day, org_id, tool_name.
-- Inputs: tool_windows, tool_window_durations, tool_window_errors, tool_confidences.
-- Parameters: $low (the success rate below which a tool counts as bad).
-- engine: duckdb
SELECT
    w.as_of_day,
    w.org_id,
    w.tool_name,
    c.confidence_level,
    w.total_executions,
    w.successful_executions,
    w.successful_executions / nullif(w.total_executions, 0) AS success_rate,
    c.success_rate_lb,
    c.p_high,
    c.p_low,
    CASE WHEN w.total_executions > 0 THEN w.success_rate_ewma END AS success_rate_ewma,
    w.success_rate_ewma < $low AND w.successful_executions >= $low * w.total_executions AS is_degrading,
    w.cost_sum / nullif(w.costs, 0) AS avg_cost,
    w.duration_ms_sum / nullif(w.durations, 0) AS avg_duration_ms,
    d.p95_duration_ms,
    w.browser_used / nullif(w.browser_known, 0) AS browser_share,
    e.top_error_type,
    coalesce(e.risk_patterns, CAST('[]' AS JSON)) AS risk_patterns,
    w.last_execution_at
FROM tool_windows AS w
INNER JOIN tool_confidences AS c ON
    c.total_executions = w.total_executions AND c.successful_executions = w.successful_executions
LEFT JOIN tool_window_durations AS d ON d.profile_id = w.profile_id
LEFT JOIN tool_window_errors AS e ON e.profile_id = w.profile_id
