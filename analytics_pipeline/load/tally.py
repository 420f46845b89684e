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
    """The temporary table in which the steps of a load count."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE counted (kind VARCHAR, source VARCHAR, org VARCHAR, records BIGINT, "
        "copies BIGINT, skewed BIGINT, late BIGINT)"
    )


def staged(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], int]:
    """Rows in the stages by kind and number of the file."""
    counts = " UNION ALL ".join(
        f"SELECT '{kind}', file_number, count(*) FROM {stage_table(kind)} GROUP BY file_number"
        for kind in schema.records()
    )
    return {(kind, number): count for kind, number, count in connection.execute(counts).fetchall()}


def count_staged(connection: duckdb.DuckDBPyConnection, kinds: Iterable[str]) -> None:
    """Count staged records, skewed clocks and late ones (whose hour was made before they came) by source and org."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE made_hours AS SELECT hour FROM hourly_run_summaries "
        "UNION SELECT hour FROM hourly_call_summaries"
    )
    connection.execute(
        """
CREATE OR REPLACE TEMP TABLE run_orgs AS
SELECT DISTINCT run_id, org_id_stated AS org FROM stage_run WHERE org_id_stated IS NOT NULL
UNION SELECT run_id, org_id FROM runs
WHERE org_id <> 'default' AND run_id IN (SELECT run_id FROM stage_call UNION ALL SELECT run_id FROM stage_qa)"""
    )
    for kind in kinds:
        rows = f"SELECT *, 1 AS times, CAST(clock_skew AS INTEGER) AS times_skewed FROM {stage_table(kind)}"
        _count(connection, kind, rows, records="times", copies="0")


def take_back(connection: duckdb.DuckDBPyConnection, kind: str, again: str) -> None:
    """Count records as copies that were counted as records: `again` gives them, how many `times`, `times_skewed`."""
    _count(connection, kind, again, records="-times", copies="times")


def _count(connection: duckdb.DuckDBPyConnection, kind: str, rows: str, *, records: str, copies: str) -> None:
    """Add up rows by source and the org under which they count: their run's, else the one they name."""
    stated = next((c.name for c in record_columns(kind) if log_field(c) == "org_id"), "NULL")
    org, runs = f"coalesce({stated}, 'default')", ""
    if kind in ("call", "qa"):
        org, runs = f"coalesce(o.org, {stated}, 'default')", "LEFT JOIN run_orgs o ON o.run_id = s.run_id"
    sign = "-" if records.startswith("-") else ""
    is_late = f"date_trunc('hour', {schema.records()[kind].start}) IN (SELECT hour FROM made_hours)"
    connection.execute(
        f"INSERT INTO counted SELECT '{kind}', source, {org}, sum({records}), sum({copies}), sum({sign}times_skewed), "
        f"coalesce(sum({records}) FILTER (WHERE {is_late}), 0) FROM ({rows}) s {runs} GROUP BY source, {org}"
    )


def write_rejections(
    connection: duckdb.DuckDBPyConnection, rejections: Iterable[Rejection], rejected_at: datetime
) -> None:
    """Keep each rejected line once, however often its file is read; those kept now are in `new_rejects`."""
    rows = [[r.source_file, r.line_number, r.reason, r.raw, rejected_at] for r in rejections]
    connection.execute("CREATE OR REPLACE TEMP TABLE new_rejects AS SELECT * FROM rejected_records LIMIT 0")
    for at in range(0, len(rows), 1000):
        chunk = rows[at : at + 1000]
        values = ", ".join("(?, ?, ?, ?, ?)" for _ in chunk)
        connection.execute(
            f"INSERT INTO new_rejects (source_file, line_number, reason, raw, rejected_at) VALUES {values}",
            [value for row in chunk for value in row],
        )
    connection.execute(
        "DELETE FROM new_rejects n WHERE EXISTS (SELECT 1 FROM rejected_records r WHERE r.source_file = n.source_file "
        "AND r.line_number = n.line_number AND r.reason = n.reason AND r.raw = n.raw)"
    )
    connection.execute("INSERT INTO rejected_records BY NAME SELECT * FROM new_rejects")


def write_quality(connection: duckdb.DuckDBPyConnection, read: dict[str, tuple[str, str]], loaded_at: datetime) -> None:
    """Add what this load counted to the row of its hour, org and source.

    Args:
        connection: The warehouse.
        read: Org and format of each file that was read, by its path.
        loaded_at: When.
    """
    hour = loaded_at.replace(minute=0, second=0, microsecond=0)
    rejected = connection.execute("SELECT source_file, count(*) FROM new_rejects GROUP BY source_file").fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE reject_counts (org VARCHAR, source VARCHAR, rejects BIGINT)")
    for path, count in rejected:
        connection.execute("INSERT INTO reject_counts VALUES (?, ?, ?)", [*read[path], count])
    connection.execute(
        """
CREATE OR REPLACE TEMP TABLE quality AS
SELECT CAST($hour AS TIMESTAMP) AS as_of_hour, org_id, source, sum(records) AS records, sum(rejects) AS rejects,
  sum(duplicates) AS duplicates, sum(unpriced_calls) AS unpriced_calls, sum(late_records) AS late_records,
  sum(clock_skew_records) AS clock_skew_records, sum(parent_usage_skipped) AS parent_usage_skipped
FROM (
  SELECT org AS org_id, source, records, 0 AS rejects, copies AS duplicates, 0 AS unpriced_calls,
    late AS late_records, skewed AS clock_skew_records, 0 AS parent_usage_skipped FROM counted
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


def forget_file(connection: duckdb.DuckDBPyConnection, entry: LedgerEntry) -> tuple[int, int]:
    """Take out the row of a file with this content; returns its records and rejects."""
    row = connection.execute(
        "DELETE FROM ingested_files WHERE path = ? AND sha256 = ? RETURNING records, rejects",
        [entry.path, entry.sha256],
    ).fetchone()
    return row or (0, 0)


def write_file(
    connection: duckdb.DuckDBPyConnection, entry: LedgerEntry, records: int, rejects: int, ingested_at: datetime
) -> None:
    """One row a path and content; content that was there before keeps its row."""
    connection.execute(
        "INSERT INTO ingested_files (path, format, size_bytes, sha256, records, rejects, ingested_at) "
        "SELECT $path, $format, $size_bytes, $sha256, $records, $rejects, $ingested_at WHERE NOT EXISTS "
        "(SELECT 1 FROM ingested_files WHERE path = $path AND sha256 = $sha256)",
        {
            "path": entry.path,
            "format": entry.format,
            "size_bytes": entry.size_bytes,
            "sha256": entry.sha256,
            "records": records,
            "rejects": rejects,
            "ingested_at": ingested_at,
        },
    )


def totals(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], int]:
    """Records that count for the first time, by kind, and copies."""
    rows = connection.execute("SELECT kind, sum(records) FROM counted GROUP BY kind ORDER BY kind").fetchall()
    copies = _one(connection, "SELECT coalesce(sum(copies), 0) FROM counted")
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
