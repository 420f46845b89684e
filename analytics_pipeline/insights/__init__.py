"""Findings: what of the last days deserves a look, made from the tables and kept in `insights`.

Belongs here: reading what the rules need, writing what came out. Does not belong here: the rules (rules.py), their
sentences (wording.py), what becomes of a finding over time (lifecycle.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine, state
from analytics_pipeline.insights import anomalies, explanations, lifecycle, optimization, rules, standing, wording
from analytics_pipeline.transforms import changes

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.partitions import Clock
    from analytics_pipeline.settings import Settings

PERIODS = (7, 30)
"""Lengths, in days, of the periods whose findings are stored; others are made on request by `find`."""

_JSON_COLUMNS = ("data", "recommendations", "explanation")
_LATEST_NOW, _RESOLUTIONS = "insights_latest_now", "insights_resolved_at"


def find(
    connection: duckdb.DuckDBPyConnection,
    clock: Clock,
    periods: Sequence[int],
    settings: Settings,
    org_id: str | None = None,
) -> list[rules.Insight]:
    """The findings of the windows of so many days, of one org or of all; but for temporary tables it writes nothing.

    Known is what started before now, although the windows end with the hour.

    Returns:
        The columns of `insights` but for those of the life cycle; `data`, `recommendations` and `explanation` as
        Python values. An hour that strayed is there once, whatever windows hold it.
    """
    tests = changes.compare(connection, clock, periods, org_id=org_id, models=False)
    windows = [rules.Window(days, *clock.window(days)) for days in periods]
    found = [
        insight
        for window in windows
        for insight in _of_window(connection, clock, window, tests[window.days], settings, org_id)
    ]
    longest = _parameters(clock, max(windows, key=lambda window: window.days), org_id)
    strayed = anomalies.incidents(_rows(connection, "incidents", longest))
    return found + _incidents_explained(connection, clock, strayed)


def _parameters(clock: Clock, window: rules.Window, org_id: str | None) -> engine.Parameters:
    return {
        "previous_starts_at": window.previous_start,
        "starts_at": window.start,
        "ends_at": min(window.end, clock.naive),
        "known_until": clock.naive,
        "as_of_day": clock.today,
        "first_day": clock.today.replace(day=1),
        "org": org_id,
    }


def _of_window(
    connection: duckdb.DuckDBPyConnection,
    clock: Clock,
    window: rules.Window,
    tests: Mapping[changes.Key, changes.Comparison],
    settings: Settings,
    org_id: str | None,
) -> list[rules.Insight]:
    parameters = _parameters(clock, window, org_id)
    scopes = rules.scopes(
        _rows(connection, "periods", parameters),
        _rows(connection, "errors", parameters),
        _rows(connection, "first_runs", parameters),
        tests,
    )
    models = _rows(connection, "models", parameters)
    return [
        *_told_once(_explained(connection, clock, window, rules.findings(scopes, window, settings.thresholds))),
        *standing.budgets(_rows(connection, "budgets", parameters), window, settings),
        *standing.degrading_tools(_rows(connection, "tools", parameters), window),
        *standing.waste(scopes, window),
        *standing.concentration(models, window),
        *optimization.model_recommendations(_rows(connection, "downgrades", parameters), window),
        *standing.habits(_rows(connection, "hours", parameters), models, window),
        *anomalies.sessions(_rows(connection, "sessions", parameters), window),
        *anomalies.tails(_rows(connection, "durations", parameters), window),
    ]


_EXPLAINED: dict[str, explanations.Metric] = {
    "cost": "cost",
    "cost_per_run": "cost",
    "duration": "duration",
    "failure_rate": "failed",
}
"""What lies behind a metric's change."""

_ALL_OF_IT = 0.8
"""Share of an org's change from which it is one pipeline's."""


def _explained(
    connection: duckdb.DuckDBPyConnection, clock: Clock, window: rules.Window, found: list[rules.Insight]
) -> list[rules.Insight]:
    """The findings with their explanations, and with the words that follow from them."""
    periods = explanations.Periods(window.previous_start, window.start, window.start, min(window.end, clock.naive))
    explainer = explanations.Explainer(connection, periods)
    made = []
    for insight in sorted(found, key=lambda insight: _EXPLAINED.get(insight["data"]["metric"], "")):
        data = insight["data"]
        if (metric := _EXPLAINED.get(data["metric"])) is not None:
            explanation = explainer.explain(insight["org_id"], metric, data["scope"], scale=_scale(data))
            insight = insight | {"explanation": explanation}
            insight |= wording.words(insight)
        made.append(insight)
    return made


_BEFORE_INCIDENT = timedelta(hours=48)
"""What an incident's hours are compared with, run by run."""


def _incidents_explained(
    connection: duckdb.DuckDBPyConnection, clock: Clock, found: list[rules.Insight]
) -> list[rules.Insight]:
    """Incidents of hours with what lies behind those that are about a metric of runs."""
    return [
        _incident_explained(connection, clock, one) if one["data"]["metric"] in _EXPLAINED else one for one in found
    ]


def _incident_explained(connection: duckdb.DuckDBPyConnection, clock: Clock, insight: rules.Insight) -> rules.Insight:
    start, org_id, scope = insight["period_start"], insight["org_id"], insight["data"]["scope"]
    periods = explanations.Periods(start - _BEFORE_INCIDENT, start, start, min(insight["period_end"], clock.naive))
    of_scope = {"org": org_id, "pipeline": scope.get("pipeline_id")}
    (runs,) = _rows(connection, "run_counts", vars(periods) | of_scope)
    if not runs["previous"]:
        return insight
    insight = insight | {
        "explanation": explanations.Explainer(connection, periods, org_id).explain(
            org_id, _EXPLAINED[insight["data"]["metric"]], scope, scale=runs["current"] / runs["previous"]
        )
    }
    return insight | wording.words(insight)


def _scale(data: Mapping[str, Any]) -> float:
    """What the earlier period's amounts are multiplied by: 1 for a total, the ratio of the runs for what is by run."""
    if data["metric"] == "cost":
        return 1.0
    before = data["previous_runs"]
    return _current_runs(data) / before if before else 1.0


def _current_runs(data: Mapping[str, Any]) -> int:
    """Those of the later period that the finding speaks of: of failures, the finished ones."""
    runs: int = data["total_runs"] if "total_runs" in data else data["current_runs"]
    return runs


def _told_once(found: list[rules.Insight]) -> list[rules.Insight]:
    """Without what is said of an org although it is one pipeline's, of which the same is said."""
    told = [row for row in found if row["pipeline_id"] is not None]
    of_pipelines = {(row["org_id"], row["data"]["metric"], row["pipeline_id"]) for row in told}
    alike = {_figures(row) for row in told}
    return [
        row
        for row in found
        if (row["org_id"], row["data"]["metric"], _only_pipeline(row)) not in of_pipelines
        and (row["pipeline_id"] is not None or _figures(row) not in alike)
    ]


def _figures(insight: rules.Insight) -> tuple[Any, ...]:
    """The same for an org and for the only pipeline that it has."""
    data = insight["data"]
    return insight["org_id"], insight["type"], data["metric"], _current_runs(data), data["previous"], data["current"]


def _only_pipeline(insight: rules.Insight) -> str | None:
    if insight["pipeline_id"] is not None or not insight["explanation"]:
        return None
    first = insight["explanation"]["causes"][0]
    return first["dims"].get("pipeline_id") if first["explained"] >= _ALL_OF_IT else None


def make_insights(connection: duckdb.DuckDBPyConnection, clock: Clock, settings: Settings) -> dict[str, Any]:
    """Make the findings of the clock's now for every org and merge them into the table `insights`.

    Returns:
        How many were `found` now, and how many rows the table holds by status (`open`, `acknowledged`, `resolved`).
    """
    found = find(connection, clock, PERIODS, settings)
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
    return engine.rows(connection, f"insight_{name}", **parameters)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
