-- What people decided on findings, oldest first.
-- Grain: decision_id.
-- Inputs: decisions.
-- engine: portable
SELECT
    d.target_id,
    d.kind,
    d.decided_at
FROM decisions AS d
WHERE d.kind IN ('acknowledge', 'mute', 'unmute')
ORDER BY d.decided_at NULLS FIRST, d.decision_id NULLS FIRST
