"""The rules: figures of two periods in, findings out.

Belongs here: when something counts as a finding, by which threshold, and what its data say. Pure: rows in, dicts out.
Does not belong here: reading tables (`insights/__init__.py`), sentences (wording.py), what becomes of a finding from
one day to the next (lifecycle.py). A better rule slots in as one more function in `RULES`.

No rule speaks of fewer than `MINIMUM_RUNS` runs in a period that it judges: three runs do not shout. Money is compared
only where the runs reach back to the first seventh of the earlier period: where the logs, or the pipeline, begin within
it, its sum is no yardstick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analytics_pipeline.insights import wording

if TYPE_CHECKING:
    from analytics_pipeline.settings import Thresholds

MINIMUM_RUNS = 10
"""Runs of a period below which no rule judges it."""

_TOLERANCE = 1e-9
"""Of a ratio: 0.3 / 0.2 is +50 % although floating point says a hair less."""

Row = Mapping[str, Any]
Insight = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What happened in one scope during one period: counts, USD (None: nothing known), microseconds."""

    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    cost_usd: Decimal | None = None
    failed_cost_usd: Decimal | None = None
    unpriced_calls: int = 0
    timed_runs: int = 0
    duration_us: int = 0

    def __add__(self, other: Figures) -> Figures:
        """Both together; unknown money stays unknown only where neither is known."""
        return Figures(
            runs=self.runs + other.runs,
            succeeded=self.succeeded + other.succeeded,
            failed=self.failed + other.failed,
            cost_usd=_sum_known(self.cost_usd, other.cost_usd),
            failed_cost_usd=_sum_known(self.failed_cost_usd, other.failed_cost_usd),
            unpriced_calls=self.unpriced_calls + other.unpriced_calls,
            timed_runs=self.timed_runs + other.timed_runs,
            duration_us=self.duration_us + other.duration_us,
        )

    @property
    def finished(self) -> int:
        """Runs that succeeded or failed: what a failure rate divides by."""
        return self.succeeded + self.failed

    @property
    def failure_rate(self) -> float | None:
        """Failed among finished runs, 0 to 1; None where none finished."""
        return self.failed / self.finished if self.finished else None

    @property
    def mean_duration_ms(self) -> float | None:
        """Mean over the runs whose duration is known; None where it is known of none."""
        return self.duration_us / 1000 / self.timed_runs if self.timed_runs else None


@dataclass(frozen=True)
class Window:
    """A period of N days, half-open and naive UTC, and with it the equal one before."""

    days: int
    start: datetime
    end: datetime

    @property
    def previous_start(self) -> datetime:
        """Where the earlier period begins."""
        return self.start - (self.end - self.start)

    def is_comparable(self, first_run: datetime | None) -> bool:
        """Whether the runs reach back to the first seventh of the earlier period, so that its sums are a yardstick."""
        grace = (self.end - self.start) / 7
        return first_run is not None and first_run < self.previous_start + grace


@dataclass(frozen=True)
class Scope:
    """An org, or one pipeline of it, with its figures of both periods."""

    org_id: str
    pipeline_id: str | None
    previous: Figures
    current: Figures
    first_run: datetime | None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def dims(self) -> dict[str, str]:
        """The scope as `data` names it: `{}` for the whole org."""
        return {} if self.pipeline_id is None else {"pipeline_id": self.pipeline_id}


Rule = Callable[[Scope, Window, "Thresholds"], Insight | None]


def scopes(periods: Iterable[Row], errors: Iterable[Row], first_runs: Iterable[Row]) -> list[Scope]:
    """Every org and every named pipeline, from the rows of `insight_periods`, `insight_errors`, `insight_first_runs`.

    Runs without a pipeline count for their org only.
    """
    figures: dict[tuple[str, str | None, int], Figures] = {}
    for row in periods:
        values = {name: row[name] for name in Figures.__dataclass_fields__}
        for key in _scope_keys(row):
            current = (*key, row["is_current"])
            figures[current] = figures.get(current, Figures()) + Figures(**values)
    by_error: dict[tuple[str, str | None], dict[str, int]] = {}
    for row in errors:
        for key in _scope_keys(row):
            counts = by_error.setdefault(key, {})
            name = row["error_type"] or wording.UNKNOWN
            counts[name] = counts.get(name, 0) + row["failed"]
    began: dict[tuple[str, str | None], datetime] = {}
    for row in first_runs:
        for key in _scope_keys(row):
            began[key] = min(began.get(key, row["first_run"]), row["first_run"])
    keys = sorted({key[:2] for key in figures}, key=lambda key: (key[0], key[1] is not None, key[1] or ""))
    return [
        Scope(
            org_id=org_id,
            pipeline_id=pipeline_id,
            previous=figures.get((org_id, pipeline_id, 0), Figures()),
            current=figures.get((org_id, pipeline_id, 1), Figures()),
            first_run=began.get((org_id, pipeline_id)),
            errors=by_error.get((org_id, pipeline_id), {}),
        )
        for org_id, pipeline_id in keys
    ]


def findings(found: Iterable[Scope], window: Window, thresholds: Thresholds) -> list[Insight]:
    """What the rules find, as columns of `insights` but for those of the life cycle."""
    return [insight for scope in found for rule in RULES if (insight := rule(scope, window, thresholds))]


def cost_spike(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """Known spending rose by at least the threshold over a period in which something was spent."""
    previous, current = scope.previous, scope.current
    if min(previous.runs, current.runs) < MINIMUM_RUNS or not window.is_comparable(scope.first_run):
        return None
    if not previous.cost_usd or current.cost_usd is None:
        return None
    change = float(current.cost_usd / previous.cost_usd) - 1
    severity = _severity(change, thresholds.cost_spike.warning, thresholds.cost_spike.critical)
    if severity is None:
        return None
    before, after = float(previous.cost_usd), float(current.cost_usd)
    return _insight(
        scope,
        window,
        type="cost_spike",
        category="cost",
        severity=severity,
        metric="cost",
        values=(before, after, 100 * change),
        amount_usd=float(current.cost_usd - previous.cost_usd),
        fields={
            "previous_cost": before,
            "current_cost": after,
            "increase_percent": 100 * change,
            "previous_unpriced_calls": previous.unpriced_calls,
            "unpriced_calls": current.unpriced_calls,
            "previous_runs": previous.runs,
            "current_runs": current.runs,
        },
    )


def performance_degradation(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """The mean run takes longer by at least the threshold."""
    before, after = scope.previous.mean_duration_ms, scope.current.mean_duration_ms
    if min(scope.previous.timed_runs, scope.current.timed_runs) < MINIMUM_RUNS or not before or after is None:
        return None
    change = after / before - 1
    if change < thresholds.performance_degradation - _TOLERANCE:
        return None
    return _insight(
        scope,
        window,
        type="performance_degradation",
        category="performance",
        severity="warning",
        metric="duration",
        values=(before, after, 100 * change),
        amount_usd=None,
        fields={
            "previous_avg_ms": before,
            "current_avg_ms": after,
            "previous_runs": scope.previous.timed_runs,
            "current_runs": scope.current.timed_runs,
        },
    )


def failure_pattern(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """The share of failed among finished runs reaches the threshold."""
    before, after = scope.previous.failure_rate, scope.current.failure_rate
    if scope.current.finished < MINIMUM_RUNS or after is None:
        return None
    severity = _severity(after, thresholds.failure_rate.warning, thresholds.failure_rate.critical)
    if severity is None:
        return None
    lost = scope.current.failed_cost_usd
    return _insight(
        scope,
        window,
        type="failure_pattern",
        category="reliability",
        severity=severity,
        metric="failure_rate",
        values=(before, after, 100 * (after / before - 1) if before else None),
        amount_usd=None if lost is None else float(lost),
        fields={
            "failure_rate": after,
            "total_failures": scope.current.failed,
            "total_runs": scope.current.finished,
            "by_error_type": dict(sorted(scope.errors.items(), key=lambda item: (-item[1], item[0]))),
        },
    )


RULES: list[Rule] = [cost_spike, performance_degradation, failure_pattern]


def identity(
    org_id: str, insight_type: str, grain: str, metric: str, scope: Mapping[str, str], period_days: int
) -> str:
    """The id of a finding: the same for as long as it is about the same thing, whatever its figures."""
    parts = json.dumps([org_id, insight_type, grain, metric, dict(scope), period_days], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _insight(
    scope: Scope,
    window: Window,
    *,
    type: str,
    category: str,
    severity: str,
    metric: str,
    values: tuple[float | None, float, float | None],
    amount_usd: float | None,
    fields: dict[str, Any],
) -> Insight:
    previous, current, change_percent = values
    data = fields | {
        "grain": "period",
        "metric": metric,
        "scope": scope.dims,
        "period_days": window.days,
        "previous": previous,
        "current": current,
        "change_percent": change_percent,
    }
    insight = {
        "insight_id": identity(scope.org_id, type, "period", metric, scope.dims, window.days),
        "org_id": scope.org_id,
        "type": type,
        "severity": severity,
        "category": category,
        "data": data,
        "pipeline_id": scope.pipeline_id,
        "period_start": window.start,
        "period_end": window.end,
        "amount_usd": amount_usd,
        "p_value": None,
        "q_value": None,
        "explanation": None,
    }
    return insight | wording.words(insight)


def _severity(value: float, warning: float, critical: float) -> str | None:
    if value >= critical - _TOLERANCE:
        return "critical"
    return "warning" if value >= warning - _TOLERANCE else None


def _scope_keys(row: Row) -> list[tuple[str, str | None]]:
    whole = (row["org_id"], None)
    return [whole] if row["pipeline_id"] is None else [whole, (row["org_id"], row["pipeline_id"])]


def _sum_known(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    known = [amount for amount in (one, other) if amount is not None]
    return sum(known, Decimal(0)) if known else None
