-- Inserts one finding.
-- Grain: insight_id.
-- Inputs: none.
-- Parameters: one a column; data, recommendations and explanation as JSON text, instants in UTC.
-- engine: duckdb
INSERT INTO insights BY NAME
SELECT
    $insight_id AS insight_id,
    $org_id AS org_id,
    $type AS type,
    $severity AS severity,
    $category AS category,
    $title AS title,
    $description AS description,
    $data AS data,
    $recommendations AS recommendations,
    $pipeline_id AS pipeline_id,
    $period_start AS period_start,
    $period_end AS period_end,
    $amount_usd AS amount_usd,
    $p_value AS p_value,
    $q_value AS q_value,
    $explanation AS explanation,
    $status AS status,
    $first_seen AS first_seen,
    $last_seen AS last_seen,
    $occurrences AS occurrences,
    $notified_at AS notified_at
