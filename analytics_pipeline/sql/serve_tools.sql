-- Tools that need a look: of low confidence, or doing worse of late.
-- Grain: tool_name.
-- Inputs: tool_profiles.
-- Parameters: $org, $day (the last as_of_day that counts).
-- engine: duckdb
SELECT
    tool_name,
    confidence_level,
    total_executions,
    success_rate,
    success_rate_ewma,
    is_degrading,
    top_error_type
FROM tool_profiles
WHERE org_id = $org
    AND as_of_day = (SELECT max(as_of_day) FROM tool_profiles WHERE org_id = $org AND as_of_day <= $day)
    AND (confidence_level = 'LOW' OR is_degrading)
ORDER BY is_degrading DESC NULLS LAST, success_rate ASC NULLS LAST, tool_name
