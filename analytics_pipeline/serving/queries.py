"""The one query layer: what API, dashboard, report and exports say, as plain dicts, from the published file.

Counts and sums of nothing are 0, averages and rates of nothing None; a cost of which nothing is known is None too, 0
only where there is no call. Money is USD; instants are text in UTC with a `Z`.

Belongs here: which rows answer a question, and the arithmetic between them. Does not belong here: opening the file
(published.py), sentences for people (report.py, insights/wording.py), HTTP (api.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine, insights
from analytics_pipeline.insights import wording
from analytics_pipeline.insights.rules import Window
from analytics_pipeline.partitions import Clock
from analytics_pipeline.pricing import DISPUTED_FACTOR, DISPUTED_LEAST
from analytics_pipeline.serving.published import Published
from analytics_pipeline.statistics import histogram

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.settings import Settings

Answer = dict[str, Any]
Row = Mapping[str, Any]

SEVERITIES = ("critical", "warning", "info")
MODEL_KINDS = ("llm", "embedding", "retrieval")
"""Kinds of calls whose cost ought to be known; that of a stage or tool call need not be."""

RECENT_DAYS = 7
"""A longer report also says what stands out in so many days: a month hides what began this week."""

DISPUTED: engine.Parameters = {"factor": DISPUTED_FACTOR, "least": float(DISPUTED_LEAST), "rows": 3}
"""When a reported cost is disputed, and how many of these calls are named."""

_JOB_STATES = ("completed", "failed", "cancelled", "running", "queued")
_FORECAST_FIELDS = (
    "current_daily_avg",
    "projected_daily",
    "projected_weekly",
    "projected_monthly",
    "trend",
    "confidence",
)
_OPPORTUNITY_FIELDS = (
    "type",
    "description",
    "current_cost",
    "potential_savings",
    "savings_percent",
    "recommendation",
    "difficulty",
)


class Queries:
    """Every question that can be asked of what is published; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.published = Published(settings.published_path)

    def summary(self, org_id: str = "default", days: int | None = None, project: str | None = None) -> Answer:
        """Totals of an org or of one of its projects, over a window of days or (None) over all time: seed 001's fields.

        `unpriced_calls` of `model_calls` stands beside the money; `current_month_cost` is of the reporting month.
        """
        clock = self._clock(None)
        starts_at, ends_at = clock.window(days) if days is not None else (None, None)
        scope: engine.Parameters = {"org": org_id, "project": project}
        bounds: engine.Parameters = scope | {
            "previous_starts_at": starts_at,
            "starts_at": starts_at,
            "ends_at": ends_at,
        }
        month: engine.Parameters = scope | {
            "first_day": clock.today.replace(day=1),
            "last_day": _month_end(clock.today),
        }
        with self.published.read() as cursor:
            runs = _total(engine.rows(cursor, "serve_runs", **bounds))
            call_rows = engine.rows(cursor, "serve_calls", **bounds)
            jobs = {row["state"]: row["jobs"] for row in engine.rows(cursor, "serve_jobs", **bounds)}
            month_cost = _number(engine.rows(cursor, "serve_month", **month)[0]["cost_usd"])
        cost = _money(runs["cost_usd"], sum(row["calls"] for row in call_rows))
        budget = self.settings.budget_for(org_id) if project is None else self.settings.budget.projects.get(project)
        return {
            "total_runs": runs["runs"],
            "total_jobs": sum(jobs.values()),
            "total_tokens": runs["total_tokens"],
            "total_cost": cost,
            "unpriced_calls": runs["unpriced_calls"],
            "model_calls": sum(row["calls"] for row in call_rows if row["kind"] in MODEL_KINDS),
            "avg_cost_per_run": _ratio(cost, runs["runs"]),
            "avg_duration_seconds": _ratio(_number(runs["duration_ms_sum"]), 1000 * runs["timed_runs"]),
            **{f"jobs_{state}": jobs.get(state, 0) for state in _JOB_STATES},
            "runs_2loop": runs["runs_2loop"],
            "runs_3loop": runs["runs_3loop"],
            "qa_summary": _qa_summary(runs),
            "monthly_budget": budget,
            "current_month_cost": month_cost,
            "budget_remaining": None if budget is None or month_cost is None else budget - month_cost,
            "generated_at": _text(clock.naive),
        }

    def insights_report(
        self,
        org_id: str = "default",
        days: int = 30,
        *,
        as_of: datetime | None = None,
        include_recommendations: bool = True,
        include_forecasts: bool = True,
    ) -> Answer:
        """The whole report of an org's window of days: seed 000's fields, and what contract-serving.md §5 adds.

        Args:
            org_id: The org.
            days: Length of the window; it is compared with the equal one before.
            as_of: The aware instant to take for now.
            include_recommendations: Without, findings carry none and opportunities are left out.
            include_forecasts: Without, `cost_forecast` is None.
        """
        clock = self._clock(as_of)
        window = Window(days, *clock.window(days))
        bounds = _bounds(org_id, window)
        day: engine.Parameters = {"org": org_id, "day": clock.today, "days": days}
        with self.published.read() as cursor:
            findings = self._findings(cursor, clock, org_id, days, include_recommendations)
            is_long = days > RECENT_DAYS
            recent = self._findings(cursor, clock, org_id, RECENT_DAYS, include_recommendations) if is_long else []
            runs = [_total(rows) for rows in _by_period(engine.rows(cursor, "serve_runs", **bounds))]
            call_rows = _by_period(engine.rows(cursor, "serve_calls", **bounds))
            buckets = {row["bucket"]: row["counted"] for row in engine.rows(cursor, "serve_run_buckets", **bounds)}
            stages = engine.rows(cursor, "serve_stages", **bounds)
            failures = engine.rows(cursor, "serve_failures", **bounds)
            first_hour = engine.rows(cursor, "serve_first_hour", **day)[0]["first_hour"]
            recovery = engine.rows(cursor, "serve_recoveries", **bounds)[0]
            tested = {row["metric"]: row for row in engine.rows(cursor, "serve_trends", **day)}
            forecast = engine.rows(cursor, "serve_forecast", **day)
            tools = engine.rows(cursor, "serve_tools", **day)
            opportunities = engine.rows(cursor, "serve_opportunities", **day)
            disputed = engine.rows(cursor, "disputed_calls", **(bounds | DISPUTED))
        calls = [_total(rows) for rows in call_rows]
        current = call_rows[1]
        savings = [row for row in opportunities if row["type"] != "experiment"] if include_recommendations else []
        return {
            "generated_at": _text(clock.naive),
            "org_id": org_id,
            "period_days": days,
            "period_start": _text(window.start),
            "period_end": _text(window.end),
            "is_comparable": window.is_comparable(first_hour),
            "insights": findings,
            "recent_insights": recent,
            **_trends(runs, calls, tested),
            "coverage": {
                "known_cost": _money(calls[1]["cost_usd"], calls[1]["calls"]),
                "unpriced_calls": calls[1]["unpriced_calls"],
                "calls": calls[1]["calls"],
                "model_calls": sum(row["calls"] for row in current if row["kind"] in MODEL_KINDS),
            },
            "cost_breakdown": {
                "by_provider": _breakdown(current, "provider"),
                "by_model": _breakdown(current, "model"),
                "by_pipeline": _breakdown(current, "pipeline_id"),
            },
            "performance_metrics": _performance(runs[1], buckets, stages),
            "failure_analysis": _failure_analysis(runs[1], failures, recovery),
            "cost_forecast": _forecast(forecast) if include_forecasts else None,
            "optimization_opportunities": [_opportunity(row) for row in savings],
            "experiments": [_opportunity(row) for row in opportunities if row["type"] == "experiment"],
            "estimated_savings": _sum_savings(opportunities),
            "model_efficiency": _model_efficiency(current),
            "tools_at_risk": [dict(row) for row in tools],
            "data_quality": _data_quality(disputed),
        }

    def insights_list(
        self,
        org_id: str = "default",
        days: int = 7,
        *,
        category: str | None = None,
        severity: str | None = None,
        pipeline_id: str | None = None,
        as_of: datetime | None = None,
        include_recommendations: bool = True,
    ) -> Answer:
        """`{"insights": [...]}`: the findings of the window, the gravest first, each filter narrowing them."""
        wanted = {"category": category, "severity": severity, "pipeline_id": pipeline_id}
        with self.published.read() as cursor:
            found = self._findings(cursor, self._clock(as_of), org_id, days, include_recommendations)
        return {
            "insights": [
                finding
                for finding in found
                if all(value is None or finding[name] == value for name, value in wanted.items())
            ]
        }

    def insights_summary(self, org_id: str = "default", days: int = 7, *, as_of: datetime | None = None) -> Answer:
        """Counts by severity, the first finding of each category, and how the window compares with the one before."""
        clock = self._clock(as_of)
        bounds = _bounds(org_id, Window(days, *clock.window(days)))
        with self.published.read() as cursor:
            found = self._findings(cursor, clock, org_id, days, include_recommendations=True)
            before, now = (_total(rows) for rows in _by_period(engine.rows(cursor, "serve_runs", **bounds)))
            opportunities = engine.rows(cursor, "serve_opportunities", org=org_id)
        counts = Counter(finding["severity"] for finding in found)
        first = {finding["category"]: finding for finding in reversed(found)}
        return {
            "generated_at": _text(clock.naive),
            "total_insights": len(found),
            **{f"{severity}_count": counts[severity] for severity in SEVERITIES},
            **{f"top_{name}_insight": first.get(name) for name in ("cost", "performance", "reliability")},
            "estimated_savings": _sum_savings(opportunities),
            "performance_change_percent": _change(_mean_duration(before), _mean_duration(now)),
            "reliability_change_percent": _change(_success_rate(before), _success_rate(now)),
        }

    def freshness(self) -> Answer:
        """Whether anything is published, since when, and how far it reaches; instants are None where there is none."""
        mark = self.published.mark()
        with self.published.read() as cursor:
            row = engine.rows(cursor, "serve_freshness")[0]
        published_at = None if mark is None else datetime.fromtimestamp(mark[1] / 1e9, UTC).replace(tzinfo=None)
        return {
            "is_published": mark is not None,
            "published_at": _text(published_at),
            "newest_run_at": _text(row["newest_run_at"]),
            "newest_insight_at": _text(row["newest_insight_at"]),
            "runs": row["runs"],
        }

    def latest(self) -> datetime | None:
        """The aware instant that `--as-of latest` means: a microsecond after the newest start; None without records."""
        with self.published.read() as cursor:
            newest = engine.rows(cursor, "latest_start")[0]["latest_start"]
        return None if newest is None else newest.replace(tzinfo=UTC) + timedelta(microseconds=1)

    def _clock(self, as_of: datetime | None) -> Clock:
        return Clock(as_of or datetime.now(UTC), self.settings.zone)

    def _findings(
        self, cursor: duckdb.DuckDBPyConnection, clock: Clock, org_id: str, days: int, include_recommendations: bool
    ) -> list[Answer]:
        """The findings of exactly this window, with what became of them so far where they are kept."""
        history = {row["insight_id"]: dict(row) for row in engine.rows(cursor, "serve_insight_history", org=org_id)}
        found = insights.find(cursor, clock, [days], self.settings, org_id)
        return sorted((_finding(row, history, include_recommendations) for row in found), key=_gravity)


def _bounds(org_id: str, window: Window) -> engine.Parameters:
    """Parameters of a window and of the equal one before it, for every project."""
    return {
        "org": org_id,
        "project": None,
        "previous_starts_at": window.previous_start,
        "starts_at": window.start,
        "ends_at": window.end,
    }


def _finding(insight: Row, history: Mapping[str, Row], include_recommendations: bool) -> Answer:
    known: Answer = {"status": "open", "first_seen": None, "last_seen": None, "occurrences": 0, "notified_at": None}
    known |= history.get(insight["insight_id"], {})
    if known["status"] == "resolved":
        known["status"] = "open"  # it holds again, although no materialization has seen it yet
    found = {**insight, **known}
    if not include_recommendations:
        found["recommendations"] = []
    return {name: _text(value) if isinstance(value, datetime) else value for name, value in found.items()}


def _gravity(finding: Row) -> tuple[int, float, str, str]:
    return SEVERITIES.index(finding["severity"]), -(finding["amount_usd"] or 0), finding["title"], finding["insight_id"]


# Totals and trends


def _by_period(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of the period before, and those of the period itself."""
    kept: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        kept[row["is_current"]].append(row)
    return kept


class _Totals(dict[str, Any]):
    """Sums over rows: a count that no row holds is 0, money and durations of which nothing is known are None."""

    def __missing__(self, name: str) -> int | None:
        return None if name in ("cost_usd", "duration_ms_sum") else 0


def _total(rows: Iterable[Row]) -> _Totals:
    totals = _Totals()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float | Decimal):
                totals[name] = totals.get(name, 0) + value
    return totals


def _mean_duration(runs: _Totals) -> float | None:
    return _ratio(_number(runs["duration_ms_sum"]), runs["timed_runs"])


def _success_rate(runs: _Totals) -> float | None:
    return _ratio(runs["succeeded"], runs["succeeded"] + runs["failed"])


def _trends(runs: list[_Totals], calls: list[_Totals], tested: Mapping[str, Row]) -> Answer:
    """The four trends of a report; only what a test stored in `trends` says makes one significant."""

    def trend(name: str, metric: str, value: Callable[[int], float | None], *, inverted: bool = False) -> Answer:
        test = tested.get(metric, {})
        direction = test.get("direction") or "stable"
        if inverted:
            direction = {"up": "down", "down": "up"}.get(direction, direction)
        return {
            "metric_name": name,
            "current_value": value(1),
            "previous_value": value(0),
            "change_percent": _change(value(0), value(1)),
            "direction": direction,
            "is_significant": bool(test.get("is_significant")),
            "p_value": test.get("p_value"),
            "q_value": test.get("q_value"),
        }

    return {
        "cost_trend": trend("cost", "cost", lambda period: _money(calls[period]["cost_usd"], calls[period]["calls"])),
        "usage_trend": trend("runs", "runs", lambda period: runs[period]["runs"]),
        "performance_trend": trend("duration", "duration", lambda period: _mean_duration(runs[period])),
        "reliability_trend": trend(
            "success_rate", "failure_rate", lambda period: _success_rate(runs[period]), inverted=True
        ),
    }


def _qa_summary(runs: _Totals) -> Answer:
    passed, warning, failed, error = (runs[f"qa_{verdict}"] for verdict in ("passed", "warning", "failed", "error"))
    return {
        "total_qa_runs": passed + warning + failed + error,
        "qa_passed": passed,
        "qa_warning": warning,
        "qa_failed": failed,
        "qa_error": error,
        "qa_not_run": runs["qa_not_run"],
        "pass_rate": _ratio(passed, passed + warning + failed),
    }


# Parts of the report


def _breakdown(rows: Iterable[Row], column: str) -> list[Answer]:
    """Cost and calls by the values of a column, the dearest first; they add up to the totals of `coverage`."""
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    totals = {name: _total(group) for name, group in groups.items()}
    whole = sum((_number(total["cost_usd"]) or 0 for total in totals.values()), 0.0)
    parts = [
        {
            "name": name,
            "cost": _money(total["cost_usd"], total["calls"]),
            "share": _ratio(_number(total["cost_usd"]), whole),
            "calls": total["calls"],
            "unpriced_calls": total["unpriced_calls"],
            "model_calls": sum(row["calls"] for row in groups[name] if row["kind"] in MODEL_KINDS),
        }
        for name, total in totals.items()
    ]
    return sorted(parts, key=lambda part: (-(part["cost"] or 0), -part["calls"], part["name"] or ""))


def _performance(runs: _Totals, buckets: Mapping[int, int], stages: Sequence[Row]) -> Answer:
    def stage(row: Row) -> Answer:
        named = {name: row[name] for name in ("name", "kind", "pipeline_id", "calls", "avg_duration_ms")}
        return named | {"p95_duration_ms": histogram.percentile(row["duration_histogram"], 0.95)}

    return {
        "avg_duration_ms": _mean_duration(runs),
        "p50_duration_ms": histogram.percentile(buckets, 0.50),
        "p95_duration_ms": histogram.percentile(buckets, 0.95),
        "p99_duration_ms": histogram.percentile(buckets, 0.99),
        **{
            name: [stage(row) for row in sorted(stages, key=lambda row: row[rank]) if row[rank] <= 5]
            for name, rank in (("slowest_stages", "slow_rank"), ("fastest_stages", "fast_rank"))
        },
    }


def _failure_analysis(runs: _Totals, failures: Sequence[Row], recovery: Row) -> Answer:
    by_error_type: Counter[str] = Counter()
    by_pipeline: Counter[str] = Counter()
    for row in failures:
        by_error_type[row["error_type"]] += row["failed"]
        by_pipeline[row["pipeline_id"] or wording.UNKNOWN] += row["failed"]
    return {
        "total_failures": runs["failed"],
        "failure_rate": _ratio(runs["failed"], runs["succeeded"] + runs["failed"]),
        "by_error_type": dict(by_error_type.most_common()),
        "by_pipeline": dict(by_pipeline.most_common()),
        "common_patterns": wording.failure_patterns(by_error_type, by_pipeline),
        "mttr_minutes": recovery["mttr_minutes"],
        "open_failures": recovery["open_failures"],
    }


def _data_quality(disputed: Sequence[Row]) -> Answer:
    """How far the money can be trusted: calls that report another cost than their tokens have, the largest first."""
    named = ("call_id", "run_id", "provider", "model", "total_tokens")
    return {
        "disputed_calls": disputed[0]["disputed_calls"] if disputed else 0,
        "disputed": [
            {
                **{name: row[name] for name in named},
                "started_at": _text(row["started_at"]),
                "cost_reported": _number(row["cost_reported"]),
                "cost_computed": _number(row["cost_computed"]),
            }
            for row in disputed
        ],
    }


def _forecast(rows: Sequence[Row]) -> Answer:
    found = rows[0] if rows else dict.fromkeys(_FORECAST_FIELDS)
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in found.items()}


def _opportunity(row: Row) -> Answer:
    evidence = row["evidence"]
    return {name: row[name] for name in _OPPORTUNITY_FIELDS} | {"evidence": json.loads(evidence) if evidence else None}


def _sum_savings(opportunities: Iterable[Row]) -> float:
    return sum((row["potential_savings"] or 0.0 for row in opportunities if row["type"] != "experiment"), 0.0)


def _model_efficiency(rows: Iterable[Row]) -> list[Answer]:
    """One entry a provider and model, the most used first; a price per token leaves unpriced calls out of its money."""
    groups: dict[tuple[str | None, str], list[Row]] = {}
    for row in rows:
        if row["model"] is not None:
            groups.setdefault((row["provider"], row["model"]), []).append(row)
    made = []
    for (provider, model), group in groups.items():
        total = _total(group)
        made.append(
            {
                "provider": provider,
                "model": model,
                "avg_latency_ms": _ratio(_number(total["duration_ms_sum"]), total["timed_calls"]),
                "avg_tokens_per_request": _ratio(total["total_tokens"], total["calls"]),
                "cost_per_1k_tokens": _ratio(_number(total["cost_usd"]), total["total_tokens"] / 1000),
                "success_rate": _ratio(total["succeeded"], total["succeeded"] + total["failed"]),
                "usage_count": total["calls"],
                "unpriced_calls": total["unpriced_calls"],
            }
        )
    return sorted(made, key=lambda entry: (-entry["usage_count"], entry["provider"] or "", entry["model"]))


# Values


def _number(value: Decimal | float | None) -> float | None:
    return None if value is None else float(value)


def _money(cost: Decimal | float | None, calls: int) -> float | None:
    return 0.0 if cost is None and calls == 0 else _number(cost)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _change(previous: float | None, current: float | None) -> float | None:
    """Relative change in percent; None where there is nothing to compare with."""
    return None if not previous or current is None else 100 * (current / previous - 1)


def _text(instant: datetime | None) -> str | None:
    """A naive UTC instant as RFC 3339."""
    return None if instant is None else f"{instant.isoformat(timespec='milliseconds')}Z"


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
