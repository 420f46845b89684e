"""Findings: what of the last days deserves a look, made from the tables and kept in `insights`.

Belongs here: reading what the rules need, writing what came out. Does not belong here: the rules (rules.py), their
sentences (wording.py), what becomes of a finding over time (lifecycle.py).
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine, state
from analytics_pipeline.insights import lifecycle, rules

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.partitions import Clock
    from analytics_pipeline.settings import Thresholds

PERIODS = (7, 30)
"""Lengths, in days, of the periods whose findings are stored; others are made on request by `find`."""

_JSON_COLUMNS = ("data", "recommendations", "explanation")
_LATEST_NOW, _RESOLUTIONS = "insights_latest_now", "insights_resolved_at"


def find(
    connection: duckdb.DuckDBPyConnection, clock: Clock, days: int, thresholds: Thresholds, org_id: str | None = None
) -> list[rules.Insight]:
    """The findings of the window of so many days, of one org or of all; reads `runs` and writes nothing.

    Known is what started before now, although the window ends with the hour.

    Returns:
        The columns of `insights` but for those of the life cycle; `data`, `recommendations` as Python values.
    """
    window = rules.Window(days, *clock.window(days))
    parameters: engine.Parameters = {
        "previous_starts_at": window.previous_start,
        "starts_at": window.start,
        "ends_at": min(window.end, clock.naive),
        "org": org_id,
    }
    figures = (_rows(connection, name, parameters) for name in ("periods", "errors", "first_runs"))
    return rules.findings(rules.scopes(*figures), window, thresholds)


def make_insights(connection: duckdb.DuckDBPyConnection, clock: Clock, thresholds: Thresholds) -> dict[str, Any]:
    """Make the findings of the clock's now for every org and merge them into the table `insights`.

    Returns:
        How many were `found` now, and how many rows the table holds by status (`open`, `acknowledged`, `resolved`).
    """
    found = [insight for days in PERIODS for insight in find(connection, clock, days, thresholds)]
    latest = _instant(state.fact(connection, _LATEST_NOW))
    stored = _stored(connection)
    rows = lifecycle.merge(stored, found, _rows(connection, "decisions", {}), clock, latest)
    _store(connection, [row for row in rows if row not in stored])
    _keep_resolutions(connection, rows)
    if latest is None or clock.naive > latest:
        state.keep_fact(connection, _LATEST_NOW, clock.naive.isoformat())
    statuses = Counter(row["status"] for row in rows)
    return {"found": len(found)} | {status: statuses[status] for status in ("open", "acknowledged", "resolved")}


def _stored(connection: duckdb.DuckDBPyConnection) -> list[rules.Insight]:
    resolutions = json.loads(state.fact(connection, _RESOLUTIONS) or "{}")
    rows = _rows(connection, "stored", {})
    for row in rows:
        row.update({name: json.loads(row[name]) for name in _JSON_COLUMNS if row[name] is not None})
        row["resolved_at"] = _instant(resolutions.get(row["insight_id"]))
    return rows


def _store(connection: duckdb.DuckDBPyConnection, rows: list[rules.Insight]) -> None:
    engine.query(connection, "insight_forget", ids=[row["insight_id"] for row in rows])
    for row in rows:
        texts = {name: json.dumps(row[name]) for name in _JSON_COLUMNS if row[name] is not None}
        engine.query(connection, "insight_store", **(row | texts))


def _keep_resolutions(connection: duckdb.DuckDBPyConnection, rows: list[rules.Insight]) -> None:
    """Beside the table, for it has no column for when a finding that came back was resolved before."""
    resolved = {row["insight_id"]: row["resolved_at"].isoformat() for row in rows if row["resolved_at"]}
    state.keep_fact(connection, _RESOLUTIONS, json.dumps(resolved))


def _rows(connection: duckdb.DuckDBPyConnection, name: str, parameters: engine.Parameters) -> list[dict[str, Any]]:
    result = engine.query(connection, f"insight_{name}", **parameters)
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
