"""The rules: figures of two periods in, findings out.

Belongs here: when something counts as a finding, by which threshold, and what its data say. Pure: rows in, dicts out.
Does not belong here: reading tables (`insights/__init__.py`), sentences (wording.py), what becomes of a finding from
one day to the next (lifecycle.py). A better rule slots in as one more function in `RULES`.

No rule speaks of fewer than `MINIMUM_RUNS` runs in a period that it judges: three runs do not shout. Money is compared
only where the runs reach back to the first seventh of the earlier period: where the logs, or the pipeline, begin within
it, its sum is no yardstick; a pipeline that began after it rose from nothing. A change is a finding where it is large
enough and, over all tests of the org's report, no chance (statistics.md §3).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analytics_pipeline.insights import wording
from analytics_pipeline.statistics import change

if TYPE_CHECKING:
    from analytics_pipeline.settings import Thresholds
    from analytics_pipeline.transforms.changes import Comparison, Key

MINIMUM_RUNS = 10
"""Runs of a period below which no rule judges it."""

SIGNIFICANT_Q = 0.10
"""The share of false findings among those of a report that is put up with."""

LEAST_POINTS = 0.01
"""By how much a rate must have moved for the move to matter, however sure it is."""

_SURE_OF_WARNING, _SURE_OF_CRITICAL = 0.9, 0.8
"""How probable it must be that the failure rate is at or above its line."""

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
    cancelled_cost_usd: Decimal | None = None
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
            cancelled_cost_usd=_sum_known(self.cancelled_cost_usd, other.cancelled_cost_usd),
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
class Verdict:
    """What the report's tests say of one metric of one scope.

    Attributes:
        p: Of the change that the rule looks for, 0-1.
        q: The same over all tests of the org's report.
        test: The test itself.
    """

    p: float
    q: float
    test: Comparison

    @property
    def is_significant(self) -> bool:
        """Whether it counts, over all tests of the report."""
        return self.q < SIGNIFICANT_Q


@dataclass(frozen=True)
class Scope:
    """An org, or one pipeline of it, with its figures of both periods."""

    org_id: str
    pipeline_id: str | None
    previous: Figures
    current: Figures
    first_run: datetime | None
    errors: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    failure_q: float | None = None

    def significant(self, metric: str) -> Verdict | None:
        """What the tests say of a metric's change, where it is no chance."""
        verdict = self.verdicts.get(metric)
        return verdict if verdict is not None and verdict.is_significant else None

    @property
    def dims(self) -> dict[str, str]:
        """The scope as `data` names it: `{}` for the whole org."""
        return {} if self.pipeline_id is None else {"pipeline_id": self.pipeline_id}


Rule = Callable[[Scope, Window, "Thresholds"], Insight | None]


def scopes(
    periods: Iterable[Row],
    errors: Iterable[Row],
    first_runs: Iterable[Row],
    tests: Mapping[Key, Comparison] | None = None,
) -> list[Scope]:
    """Every org and every named pipeline, from the rows of `insight_periods`, `insight_errors`, `insight_first_runs`.

    Runs without a pipeline count for their org only. `tests` are those of `transforms.changes`.
    """
    judged = verdicts(tests or {})
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
            verdicts=judged.get((org_id, pipeline_id), {}),
        )
        for org_id, pipeline_id in keys
    ]


def verdicts(tests: Mapping[Key, Comparison]) -> dict[tuple[str, str | None], dict[str, Verdict]]:
    """The verdicts on each org (pipeline None) and each named pipeline; an org's tests are one report."""
    judged: dict[tuple[str, str | None], dict[str, Verdict]] = {}
    asked = {key: _P_VALUES[key[3]](test) for key, test in sorted(tests.items(), key=repr) if _is_asked(key)}
    for org_id in dict.fromkeys(key[0] for key in asked):
        report = {key: p for key, p in asked.items() if key[0] == org_id}
        q_values = change.benjamini_hochberg(list(report.values()))
        for key, q in zip(report, q_values.tolist(), strict=True):
            _, kind, scope, metric = key
            pipeline_id = scope if kind == "pipeline" else None
            judged.setdefault((org_id, pipeline_id), {})[metric] = Verdict(report[key], q, tests[key])
    return judged


_P_VALUES: dict[str, Callable[[Comparison], float]] = {
    "cost": lambda test: test.p_rise,
    "cost_per_run": lambda test: test.p_rise,
    "duration": lambda test: test.p_value,
    "failure_rate": lambda test: test.p_rise,
    "qa_pass_rate": lambda test: 1 - test.p_rise,
}
"""Which change of a metric the rules look for: a rise, a fall, or either."""


def _is_asked(key: Key) -> bool:
    _, kind, scope, metric = key
    return metric in _P_VALUES and (kind == "org" or (kind == "pipeline" and scope is not None))


def findings(found: Sequence[Scope], window: Window, thresholds: Thresholds) -> list[Insight]:
    """What the rules find, as columns of `insights` but for those of the life cycle."""
    levels = _failure_levels(found, thresholds)
    made = []
    for scope in found:
        known = replace(scope, failure_q=levels.get((scope.org_id, scope.pipeline_id)))
        made += [insight for rule in RULES if (insight := rule(known, window, thresholds))]
    return made


def _failure_levels(found: Iterable[Scope], thresholds: Thresholds) -> dict[tuple[str, str | None], float]:
    """The q of "its failure rate is not below the line after all", by org and pipeline; an org's are one report."""
    p_values: dict[str, dict[tuple[str, str | None], float]] = {}
    for scope in found:
        if scope.current.finished >= MINIMUM_RUNS:
            p_values.setdefault(scope.org_id, {})[scope.org_id, scope.pipeline_id] = _p_of_level(scope, thresholds)
    return {
        key: q
        for report in p_values.values()
        for key, q in zip(report, change.benjamini_hochberg(list(report.values())).tolist(), strict=True)
    }


def _p_of_level(scope: Scope, thresholds: Thresholds) -> float:
    return 1 - change.rate_reaches(scope.current.failed, scope.current.finished, thresholds.failure_rate.warning)


def cost_spike(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """Known spending rose by at least the threshold; from nothing, to at least the amount that matters."""
    previous, current, verdict = scope.previous, scope.current, scope.significant("cost")
    is_yardstick = not previous.runs or (previous.runs >= MINIMUM_RUNS and window.is_comparable(scope.first_run))
    if verdict is None or current.runs < MINIMUM_RUNS or not is_yardstick:
        return None
    spent = previous.cost_usd if previous.runs else Decimal(0)
    if spent is None or current.cost_usd is None:
        return None
    before, after = float(spent), float(current.cost_usd)
    rise = float(current.cost_usd / spent) - 1 if spent else None
    if rise is None:
        severity = "warning" if after >= thresholds.minimum_amount else None
    else:
        severity = _severity(rise, thresholds.cost_spike.warning, thresholds.cost_spike.critical)
    if severity is None:
        return None
    percent = None if rise is None else 100 * rise
    return _insight(
        scope,
        window,
        type="cost_spike",
        category="cost",
        severity=severity,
        metric="cost",
        values=(before, after, percent),
        amount_usd=float(current.cost_usd - spent),
        verdict=verdict,
        fields={
            "previous_cost": before,
            "current_cost": after,
            "increase_percent": percent,
            "previous_unpriced_calls": previous.unpriced_calls,
            "unpriced_calls": current.unpriced_calls,
            "previous_runs": previous.runs,
            "current_runs": current.runs,
        },
    )


def performance_degradation(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """Runs of the same kind and size take longer by at least the threshold."""
    return _slower_or_faster(
        scope,
        window,
        lambda adjusted: adjusted >= thresholds.performance_degradation - _TOLERANCE,
        type="performance_degradation",
        severity="warning",
    )


def performance_improvement(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """Runs of the same kind and size take less time by at least the change that counts."""
    return _slower_or_faster(
        scope,
        window,
        lambda adjusted: adjusted <= -thresholds.significant_change + _TOLERANCE,
        type="performance_improvement",
        severity="info",
    )


def _slower_or_faster(
    scope: Scope, window: Window, is_enough: Callable[[float], bool], *, type: str, severity: str
) -> Insight | None:
    before, after = scope.previous.mean_duration_ms, scope.current.mean_duration_ms
    if min(scope.previous.timed_runs, scope.current.timed_runs) < MINIMUM_RUNS or not before or after is None:
        return None
    verdict = scope.significant("duration")
    if verdict is None or verdict.test.adjusted is None or not is_enough(verdict.test.adjusted):
        return None
    return _insight(
        scope,
        window,
        type=type,
        category="performance",
        severity=severity,
        metric="duration",
        values=(before, after, 100 * (after / before - 1)),
        amount_usd=None,
        verdict=verdict,
        fields={
            "previous_avg_ms": before,
            "current_avg_ms": after,
            "adjusted_change_percent": 100 * verdict.test.adjusted,
            "since": _day(verdict),
            "previous_runs": scope.previous.timed_runs,
            "current_runs": scope.current.timed_runs,
        },
    )


def failure_pattern(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """The share of failed among finished runs reaches the threshold, and not by bad luck."""
    before, after = scope.previous.failure_rate, scope.current.failure_rate
    severity = _failure_level(scope, thresholds)
    if severity is None or after is None:
        return None
    return _insight(
        scope,
        window,
        type="failure_pattern",
        category="reliability",
        severity=severity,
        metric="failure_rate",
        values=(before, after, 100 * (after / before - 1) if before else None),
        amount_usd=_cost_of_failures(scope),
        p_value=_p_of_level(scope, thresholds),
        q_value=scope.failure_q,
        fields=_failures(scope),
    )


def _failures(scope: Scope) -> dict[str, Any]:
    return {
        "failure_rate": scope.current.failure_rate,
        "total_failures": scope.current.failed,
        "total_runs": scope.current.finished,
        "previous_runs": scope.previous.finished,
        "by_error_type": dict(sorted(scope.errors.items(), key=lambda item: (-item[1], item[0]))),
    }


def _cost_of_failures(scope: Scope) -> float | None:
    lost = scope.current.failed_cost_usd
    return None if lost is None else float(lost)


def _failure_level(scope: Scope, thresholds: Thresholds) -> str | None:
    """The severity of the failure rate's level, where it is sure enough that the true one is over the line."""
    current = scope.current
    if current.finished < MINIMUM_RUNS or current.failure_rate is None:
        return None
    lines = thresholds.failure_rate
    for severity, line, sure in (
        ("critical", lines.critical, _SURE_OF_CRITICAL),
        ("warning", lines.warning, _SURE_OF_WARNING),
    ):
        probable = change.rate_reaches(current.failed, current.finished, line)
        if current.failure_rate >= line - _TOLERANCE and probable >= sure:
            return severity
    return None


def reliability_of_runs(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """The failure rate rose, and is still below the line from which it is a pattern."""
    before, after, verdict = scope.previous.failure_rate, scope.current.failure_rate, scope.significant("failure_rate")
    if verdict is None or before is None or after is None or _failure_level(scope, thresholds):
        return None
    if scope.current.finished < MINIMUM_RUNS or after - before < max(
        LEAST_POINTS, thresholds.significant_change * before
    ):
        return None
    return _insight(
        scope,
        window,
        type="reliability",
        category="reliability",
        severity="warning",
        metric="failure_rate",
        values=(before, after, 100 * (after / before - 1) if before else None),
        amount_usd=_cost_of_failures(scope),
        verdict=verdict,
        fields=_failures(scope),
    )


def reliability_of_answers(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """The QA pass rate fell, without the failure rate rising along, which would be told already."""
    verdict = scope.significant("qa_pass_rate")
    if verdict is None or scope.significant("failure_rate"):
        return None
    before, after, checked = verdict.test.previous, verdict.test.current, verdict.test.trials
    if before is None or after is None or checked < MINIMUM_RUNS:
        return None
    if before - after < max(LEAST_POINTS, thresholds.significant_change * before):
        return None
    return _insight(
        scope,
        window,
        type="reliability",
        category="reliability",
        severity="warning",
        metric="qa_pass_rate",
        values=(before, after, 100 * (after / before - 1)),
        amount_usd=None,
        verdict=verdict,
        fields={"qa_pass_rate": after, "previous_qa_pass_rate": before, "checked_runs": checked},
    )


def regression(scope: Scope, window: Window, thresholds: Thresholds) -> Insight | None:
    """A run of the same kind and size costs more by as much as would be slow, without that being a cost spike."""
    verdict = scope.significant("cost_per_run")
    if verdict is None or verdict.test.adjusted is None or cost_spike(scope, window, thresholds):
        return None
    if verdict.test.adjusted < thresholds.performance_degradation - _TOLERANCE:
        return None
    previous, current = scope.previous, scope.current
    if min(previous.runs, current.runs) < MINIMUM_RUNS or previous.cost_usd is None or current.cost_usd is None:
        return None
    before, after = float(previous.cost_usd) / previous.runs, float(current.cost_usd) / current.runs
    return _insight(
        scope,
        window,
        type="regression",
        category="cost",
        severity="warning",
        metric="cost_per_run",
        values=(before, after, 100 * (after / before - 1) if before else None),
        amount_usd=float(current.cost_usd) * verdict.test.adjusted / (1 + verdict.test.adjusted),
        verdict=verdict,
        fields={
            "previous_cost_per_run": before,
            "current_cost_per_run": after,
            "adjusted_change_percent": 100 * verdict.test.adjusted,
            "since": _day(verdict),
            "unpriced_calls": current.unpriced_calls,
            "previous_runs": previous.runs,
            "current_runs": current.runs,
        },
    )


RULES: list[Rule] = [
    cost_spike,
    regression,
    performance_degradation,
    performance_improvement,
    failure_pattern,
    reliability_of_runs,
    reliability_of_answers,
]


def identity(
    org_id: str, insight_type: str, grain: str, metric: str, scope: Mapping[str, str], period_days: int
) -> str:
    """The id of a finding: the same for as long as it is about the same thing, whatever its figures."""
    parts = json.dumps([org_id, insight_type, grain, metric, dict(scope), period_days], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _insight(scope: Scope, window: Window, *, verdict: Verdict | None = None, **known: Any) -> Insight:
    if verdict is not None:
        known |= {"p_value": verdict.p, "q_value": verdict.q}
    return finding(scope.org_id, scope.dims, window, **known)


def finding(
    org_id: str,
    dims: Mapping[str, str],
    window: Window,
    *,
    type: str,
    category: str,
    severity: str,
    metric: str,
    values: tuple[float | None, float | None, float | None],
    amount_usd: float | None,
    fields: Mapping[str, Any],
    p_value: float | None = None,
    q_value: float | None = None,
) -> Insight:
    """A finding with its words, as columns of `insights` but for those of the life cycle.

    Args:
        org_id: The org.
        dims: What it is about, as `data.scope` says it.
        window: The report's window.
        type: As all others, the column of that name.
        category: The column.
        severity: The column.
        metric: Of `data`.
        values: Previous, current and change in percent, of `data`.
        amount_usd: The column.
        fields: Of `data`: those of its type.
        p_value: The column.
        q_value: The column.
    """
    previous, current, change_percent = values
    data = {
        **fields,
        "grain": "period",
        "metric": metric,
        "scope": dict(dims),
        "period_days": window.days,
        "previous": previous,
        "current": current,
        "change_percent": change_percent,
    }
    insight = {
        "insight_id": identity(org_id, type, "period", metric, dims, window.days),
        "org_id": org_id,
        "type": type,
        "severity": severity,
        "category": category,
        "data": data,
        "pipeline_id": dims.get("pipeline_id"),
        "period_start": window.start,
        "period_end": window.end,
        "amount_usd": amount_usd,
        "p_value": p_value,
        "q_value": q_value,
        "explanation": None,
    }
    return insight | wording.words(insight)


def _day(verdict: Verdict) -> str | None:
    return None if verdict.test.since is None else verdict.test.since.isoformat()


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
