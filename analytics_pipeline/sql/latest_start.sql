-- The newest start of any record but a decision: what `--as-of latest` goes by.
-- Grain: one row.
-- Inputs: every log table but decisions.
-- engine: portable
SELECT MAX(s.started_at) AS latest_start
FROM (
    SELECT MAX(started_at) AS started_at FROM runs
    UNION ALL
    SELECT MAX(started_at) AS started_at FROM calls
    UNION ALL
    SELECT MAX(queued_at) AS started_at FROM jobs
    UNION ALL
    SELECT MAX(checked_at) AS started_at FROM qa_results
    UNION ALL
    SELECT MAX(created_at) AS started_at FROM support_sessions
    UNION ALL
    SELECT MAX(created_at) AS started_at FROM flows
    UNION ALL
    SELECT MAX(chosen_at) AS started_at FROM flow_choices
    UNION ALL
    SELECT MAX(created_at) AS started_at FROM flow_proposals
    UNION ALL
    SELECT MAX(posted_at) AS started_at FROM ticket_posts
) AS s
