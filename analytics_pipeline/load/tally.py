"""What a load counts and says of itself: rejected lines, files, data quality, touched hours.

Belongs here: writing `rejected_records`, `ingested_files`, `data_quality`. Does not belong here: deciding what is a
reject (records.py) or a copy (merge.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from analytics_pipeline import schema
from analytics_pipeline.load.files import LedgerEntry
from analytics_pipeline.load.stage import Rejection, log_field, record_columns, stage_table

if TYPE_CHECKING:
    import duckdb


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Temporary tables in which the steps of a load count."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE staged_counts "
        "(kind VARCHAR, source VARCHAR, org VARCHAR, records BIGINT, skewed BIGINT, late BIGINT)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE staged_copies (kind VARCHAR, source VARCHAR, org VARCHAR, copies BIGINT)"
    )


def staged(connection: duckdb.DuckDBPyConnection) -> int:
    """Rows in all stages."""
    counts = " + ".join(f"(SELECT count(*) FROM {stage_table(kind)})" for kind in schema.records())
    return int(_one(connection, f"SELECT {counts}"))


def next_rowid(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """The rowid that the next inserted row gets."""
    return int(_one(connection, f"SELECT coalesce(max(rowid) + 1, 0) FROM {table}"))


def count_staged(connection: duckdb.DuckDBPyConnection) -> None:
    """Count staged records, skewed clocks and late ones (whose hour was made before they came) by source and org."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE made_hours AS SELECT hour FROM hourly_run_summaries "
        "UNION SELECT hour FROM hourly_call_summaries"
    )
    for kind, table in schema.records().items():
        org = next((c.name for c in record_columns(kind) if log_field(c) == "org_id"), "NULL")
        connection.execute(
            f"INSERT INTO staged_counts SELECT '{kind}', source, {org}, count(*), count(*) FILTER (WHERE clock_skew), "
            f"count(*) FILTER (WHERE date_trunc('hour', {table.start}) IN (SELECT hour FROM made_hours)) "
            f"FROM {stage_table(kind)} GROUP BY ALL"
        )


def write_rejections(
    connection: duckdb.DuckDBPyConnection, rejections: Iterable[Rejection], rejected_at: datetime
) -> None:
    """Keep each rejected line once, however often its file is read."""
    rows = [[r.source_file, r.line_number, r.reason, r.raw, rejected_at] for r in rejections]
    if not rows:
        return
    connection.execute("CREATE OR REPLACE TEMP TABLE new_rejects AS SELECT * FROM rejected_records LIMIT 0")
    for at in range(0, len(rows), 1000):
        chunk = rows[at : at + 1000]
        values = ", ".join("(?, ?, ?, ?, ?)" for _ in chunk)
        connection.execute(
            f"INSERT INTO new_rejects (source_file, line_number, reason, raw, rejected_at) VALUES {values}",
            [value for row in chunk for value in row],
        )
    connection.execute(
        "INSERT INTO rejected_records BY NAME SELECT DISTINCT ON (source_file, line_number, reason, raw) * "
        "FROM new_rejects n WHERE NOT EXISTS (SELECT 1 FROM rejected_records r WHERE r.source_file = n.source_file "
        "AND r.line_number = n.line_number AND r.reason = n.reason AND r.raw = n.raw)"
    )


def write_quality(
    connection: duckdb.DuckDBPyConnection, rejects: dict[tuple[str, str], int], loaded_at: datetime
) -> None:
    """Add what this load counted to the row of its hour, org and source."""
    hour = loaded_at.replace(minute=0, second=0, microsecond=0)
    connection.execute("CREATE OR REPLACE TEMP TABLE reject_counts (org VARCHAR, source VARCHAR, rejects BIGINT)")
    for (org, source), count in rejects.items():
        connection.execute("INSERT INTO reject_counts VALUES (?, ?, ?)", [org, source, count])
    connection.execute(
        """
CREATE OR REPLACE TEMP TABLE quality AS
SELECT CAST($hour AS TIMESTAMP) AS as_of_hour, org_id, source, sum(records) AS records, sum(rejects) AS rejects,
  sum(duplicates) AS duplicates, sum(unpriced_calls) AS unpriced_calls, sum(late_records) AS late_records,
  sum(clock_skew_records) AS clock_skew_records, sum(parent_usage_skipped) AS parent_usage_skipped
FROM (
  SELECT coalesce(org, 'default') AS org_id, source, records, 0 AS rejects, 0 AS duplicates, 0 AS unpriced_calls,
    late AS late_records, skewed AS clock_skew_records, 0 AS parent_usage_skipped FROM staged_counts
  UNION ALL SELECT coalesce(org, 'default'), source, -copies, 0, copies, 0, 0, 0, 0 FROM staged_copies
  UNION ALL SELECT org, source, 0, rejects, 0, 0, 0, 0, 0 FROM reject_counts
  UNION ALL SELECT org_id, source, 0, 0, 0, count(*), 0, 0, 0 FROM calls
    WHERE cost_source = 'unpriced' AND call_id IN (SELECT call_id FROM stage_call) GROUP BY org_id, source
  UNION ALL SELECT org_id, source, records, rejects, duplicates, unpriced_calls, late_records, clock_skew_records,
    parent_usage_skipped FROM data_quality WHERE as_of_hour = $hour
) GROUP BY org_id, source""",
        {"hour": hour},
    )
    connection.execute("DELETE FROM data_quality WHERE as_of_hour = ?", [hour])
    connection.execute(
        """
INSERT INTO data_quality BY NAME
SELECT * REPLACE (CAST(records AS BIGINT) AS records), CASE WHEN records > 0
  THEN CAST(unpriced_calls AS DOUBLE) / CAST(records AS DOUBLE) END AS unpriced_share FROM quality"""
    )


def write_file(
    connection: duckdb.DuckDBPyConnection,
    entry: LedgerEntry,
    records: int,
    rejects: int,
    previous: LedgerEntry | None,
    ingested_at: datetime,
) -> None:
    """One row a path and content; a file that only grew keeps its row, with what was read on added."""
    if previous is not None:
        held = connection.execute(
            "SELECT records, rejects FROM ingested_files WHERE path = ? AND sha256 = ?", [previous.path, previous.sha256]
        ).fetchone()
        records, rejects = (records + held[0], rejects + held[1]) if held else (records, rejects)
        connection.execute(
            "DELETE FROM ingested_files WHERE path = ? AND sha256 = ?", [previous.path, previous.sha256]
        )
    connection.execute("DELETE FROM ingested_files WHERE path = ? AND sha256 = ?", [entry.path, entry.sha256])
    connection.execute(
        "INSERT INTO ingested_files (path, format, size_bytes, sha256, records, rejects, ingested_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [entry.path, entry.format, entry.size_bytes, entry.sha256, records, rejects, ingested_at],
    )


def totals(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], int]:
    """Records that count for the first time, by kind, and copies."""
    rows = connection.execute(
        "SELECT kind, sum(records) - coalesce((SELECT sum(copies) FROM staged_copies c WHERE c.kind = s.kind), 0) "
        "FROM staged_counts s GROUP BY kind ORDER BY kind"
    ).fetchall()
    copies = _one(connection, "SELECT coalesce(sum(copies), 0) FROM staged_copies")
    return {kind: int(count) for kind, count in rows if count}, int(copies)


def touched_hours(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """UTC hours that this load touched, oldest first."""
    return [
        hour
        for (hour,) in connection.execute(
            "SELECT DISTINCT hour FROM touched WHERE hour IS NOT NULL ORDER BY hour"
        ).fetchall()
    ]


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
