"""Findings of type `anomaly`: sessions that are far off, hours that strayed, periods with long tails.

Belongs here: which hours make one incident, and which of several scopes an incident is told of. Pure: rows in, findings
out. Does not belong here: the scores (statistics/, transforms/), reading tables (`insights/__init__.py`), sentences
(wording.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from analytics_pipeline.insights import wording
from analytics_pipeline.insights.rules import Insight, Row, Window, finding, identity

CRITICAL_Z = 4.0
"""Score of an hour beyond which its incident is grave; every hour kept is beyond 3."""

TAIL_RATIO, TAIL_NEEDS_RUNS = 4.0, 50
"""p95 over p50 from which a period has a long tail, and the runs that it takes to say so."""

_HOUR = timedelta(hours=1)
_CATEGORIES = {
    "cost": "cost",
    "tokens": "cost",
    "duration": "performance",
    "runs": "reliability",
    "failure_rate": "reliability",
}
_DIMS = {"pipeline": "pipeline_id", "model": "model"}
_PREFERRED = ("pipeline", "org", "model")
"""Which of scopes with the same score is told: an only pipeline says more than its org, an only model says less."""


@dataclass(frozen=True)
class Incident:
    """Hours on end in which one scope strayed by one metric; the rows are of `hourly_incidents`."""

    rows: Sequence[Row]

    @property
    def start(self) -> datetime:
        """Start of its first hour."""
        start: datetime = min(row["hour"] - (row["hours"] - 1) * _HOUR for row in self.rows)
        return start

    @property
    def end(self) -> datetime:
        """End of its last hour."""
        last: datetime = self.rows[-1]["hour"]
        return last + _HOUR

    @property
    def score(self) -> float:
        """The greatest of its hours."""
        return max(float(row["score"]) for row in self.rows)

    @property
    def kind(self) -> str:
        """Whether it is of an org, a pipeline or a model."""
        return str(self.rows[0]["scope_kind"])

    def overlaps(self, other: Incident) -> bool:
        """Whether the two have an hour in common."""
        return self.start < other.end and other.start < self.end


def incidents(rows: Iterable[Row]) -> list[Insight]:
    """The incidents that hours make; `rows` are those of `insight_incidents`, in its order.

    Where the same hours strayed by the same metric for an org, a pipeline and a model, only the clearest is told.
    """
    found = []
    for _, group in groupby(rows, key=itemgetter("org_id", "metric")):
        told: list[Incident] = []
        for incident in sorted(_incidents(group), key=lambda one: (-one.score, one.start, _PREFERRED.index(one.kind))):
            if not any(incident.overlaps(other) and incident.kind != other.kind for other in told):
                told.append(incident)
        found += [_of_hours(incident) for incident in sorted(told, key=lambda one: (one.start, one.rows[0]["scope"]))]
    return found


def _incidents(rows: Iterable[Row]) -> list[Incident]:
    """The hours of each scope, cut where an hour between them did not stray."""
    found: list[list[Row]] = []
    for _, group in groupby(rows, key=itemgetter("scope_kind", "scope")):
        hours: list[Row] = []
        for row in group:
            if hours and row["hour"] - row["hours"] * _HOUR <= hours[-1]["hour"]:
                hours.append(row)
            else:
                hours = [row]
                found.append(hours)
    return [Incident(hours) for hours in found]


def _of_hours(incident: Incident) -> Insight:
    row, metric = incident.rows[0], str(incident.rows[0]["metric"])
    dims = {_DIMS[incident.kind]: row["scope"]} if incident.kind in _DIMS else {}
    before, after = _amounts(_once(incident.rows), metric)
    return _insight(
        row["org_id"],
        "hour",
        dims,
        key={**dims, "start": incident.start.isoformat()},
        period=(incident.start, incident.end),
        severity="critical" if incident.score > CRITICAL_Z else "warning",
        metric=metric,
        values=(before, after),
        amount_usd=after - before if metric == "cost" else None,
        p_value=0.5 * math.erfc(incident.score / math.sqrt(2)),
        fields={"robust_z": incident.score, "hours": round((incident.end - incident.start) / _HOUR)},
    )


def _once(rows: Sequence[Row]) -> list[Row]:
    """The rows from the last one back, without those whose hour is in a later one's three."""
    kept = [rows[-1]]
    for row in reversed(rows):
        if row["hour"] <= kept[-1]["hour"] - kept[-1]["hours"] * _HOUR:
            kept.append(row)
    return kept


def _amounts(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """What was expected and what came: totals of money and counts, the mean of durations, the share of failures."""
    if metric == "failure_rate":
        return _mean(rows, "expected", weighted=True), _mean(rows, "value", weighted=True)
    if metric == "duration":
        return _mean(rows, "expected"), _mean(rows, "value")
    return math.fsum(row["expected"] for row in rows), math.fsum(row["value"] for row in rows)


def _mean(rows: Sequence[Row], name: str, *, weighted: bool = False) -> float:
    """The mean of hours over their events, of sums or, weighted, of means."""
    total = math.fsum(row[name] * (row["events"] if weighted else 1) for row in rows)
    return total / math.fsum(row["events"] for row in rows)


def sessions(rows: Iterable[Row], window: Window) -> list[Insight]:
    """Sessions that are far off, by cost or by duration, whichever is the farther; rows of `insight_sessions`."""
    return [_of_session(row, window) for row in rows]


def _of_session(row: Row, window: Window) -> Insight:
    z = {"cost": row["cost_robust_z"], "duration": row["duration_robust_z"]}
    metric = max((name for name in z if z[name] is not None), key=lambda name: abs(z[name]))
    column = {"cost": "cost", "duration": "duration_ms"}[metric]
    before, after = float(row[f"expected_{column}"]), float(row[f"total_{column}"])
    dims = {name: row[name] for name in ("project", "pipeline_id") if row[name] is not None}
    return _insight(
        row["org_id"],
        "session",
        dims,
        key={"session_id": row["session_id"]},
        period=(window.start, window.end),
        severity="info",
        metric=metric,
        values=(before, after),
        amount_usd=after - before if metric == "cost" else None,
        p_value=math.erfc(abs(z[metric]) / math.sqrt(2)),
        fields={
            "session_id": row["session_id"],
            "robust_z": z[metric],
            "anomaly_level": row["anomaly_level"],
            "baseline_level": row["baseline_level"],
            "baseline_n": row["baseline_n"],
        },
    )


def tails(rows: Iterable[Row], window: Window) -> list[Insight]:
    """Orgs and pipelines of which one run in twenty takes many times as long as half of them; `insight_durations`.

    An org whose runs are all one pipeline's is told of as that pipeline.
    """
    found = list(rows)
    of_pipelines = {(row["org_id"], row["runs"]) for row in found if row["pipeline_id"] is not None}
    return [
        finding(
            row["org_id"],
            {} if row["pipeline_id"] is None else {"pipeline_id": row["pipeline_id"]},
            window,
            type="anomaly",
            category="performance",
            severity="info",
            metric="duration",
            values=(None, row["p95_ms"], None),
            amount_usd=None,
            fields={"p50_ms": row["p50_ms"], "p95_ms": row["p95_ms"], "runs": row["runs"]},
        )
        for row in found
        if (row["pipeline_id"] is not None or (row["org_id"], row["runs"]) not in of_pipelines)
        and row["runs"] >= TAIL_NEEDS_RUNS
        and row["p50_ms"] > 0
        and row["p95_ms"] >= TAIL_RATIO * row["p50_ms"]
    ]


def _insight(
    org_id: str,
    grain: str,
    dims: dict[str, str],
    *,
    key: dict[str, str],
    period: tuple[datetime, datetime],
    severity: str,
    metric: str,
    values: tuple[float, float],
    amount_usd: float | None,
    p_value: float,
    fields: dict[str, Any],
) -> Insight:
    """A finding that is the same in every report that holds it: `key` tells it from others of its kind."""
    before, after = values
    insight = {
        "insight_id": identity(org_id, "anomaly", grain, metric if grain == "hour" else "", key, 0),
        "org_id": org_id,
        "type": "anomaly",
        "severity": severity,
        "category": _CATEGORIES[metric],
        "data": fields
        | {
            "grain": grain,
            "metric": metric,
            "scope": dims,
            "previous": before,
            "current": after,
            "change_percent": 100 * (after / before - 1) if before else None,
        },
        "pipeline_id": dims.get("pipeline_id"),
        "period_start": period[0],
        "period_end": period[1],
        "amount_usd": amount_usd,
        "p_value": p_value,
        "q_value": None,
        "explanation": None,
    }
    return insight | wording.words(insight)
