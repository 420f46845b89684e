"""`cost_forecasts`, `cost_forecast_totals`, `forecast_accuracy`: what each scope will cost, and how that came true.

A day that has passed keeps what was said then; that is what the accuracy is made from. Does not belong here: how a
series is forecast (statistics/forecast.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.partitions import Clock
    from analytics_pipeline.statistics.forecast import Forecast, Interval, Total

DAYS_AHEAD = 31
DAYS_KNOWN = 84
"""Complete days that a forecast knows and that older ones are judged on: the 12 weeks of its season index, and less
than calls are kept. Holds a month with its last day."""
FORECASTS_JUDGED = 60

Row = dict[str, Any]


@dataclass(frozen=True)
class _Scope:
    """A series to forecast.

    Attributes:
        key: org_id, scope_kind and scope.
        costs: Known cost by day, USD; the day of now may be among them.
        history: Cost of each complete day since the first with a run, USD.
    """

    key: dict[str, str | None]
    costs: dict[date, float]
    history: list[float]


def make_cost_forecasts(
    connection: duckdb.DuckDBPyConnection,
    clock: Clock,
    *,
    significant_change: float,
    budgets: Mapping[tuple[str, str], float],
) -> dict[str, int]:
    """Make the day's forecasts again, 31 days after the last complete one, and how those of passed days came true.

    The series of an org are forecast together, so that what one org does changes nothing for another.

    Args:
        connection: The warehouse, within a transaction.
        clock: Now; its day is the first forecast unless it is over.
        significant_change: Change against the last 28 days from which the trend is not stable, as a fraction.
        budgets: USD a reporting month by (scope_kind, scope), where there is one.

    Returns:
        Rows written per table.
    """
    from analytics_pipeline.statistics.forecast import forecasts

    day = clock.today
    first_ahead = day if clock.naive < clock.day_bounds(day)[1] else day + timedelta(days=1)
    oldest = first_ahead - timedelta(days=DAYS_KNOWN)
    engine.make(connection, "scope_days", "scope_costs", oldest=oldest, known_until=clock.naive)
    days: list[Row] = []
    totals: list[Row] = []
    for _, of_org in groupby(_scopes(connection, first_ahead), key=lambda scope: scope.key["org_id"]):
        scopes = list(of_org)
        for scope, forecast in zip(scopes, forecasts([one.history for one in scopes], DAYS_AHEAD), strict=True):
            key = {"as_of_day": day, **scope.key}
            budget = budgets.get((str(scope.key["scope_kind"]), str(scope.key["scope"])))
            days += [key | row for row in _day_rows(first_ahead, forecast)]
            totals.append(
                key
                | _totals(scope.history, forecast, significant_change)
                | _of_month(_month(day, first_ahead, scope.costs, forecast), budget)
            )
    written = {
        table: engine.replace(connection, table, table, where="as_of_day = $as_of_day", as_of_day=day, rows=rows)
        for table, rows in (("cost_forecasts", days), ("cost_forecast_totals", totals))
    }
    judged = engine.replace(
        connection,
        "forecast_accuracy",
        "forecast_accuracy",
        where="as_of_day = $as_of_day",
        as_of_day=day,
        oldest=oldest,
        first_ahead=first_ahead,
        forecasts=FORECASTS_JUDGED,
    )
    return {**written, "forecast_accuracy": judged}


def _scopes(connection: duckdb.DuckDBPyConnection, first_ahead: date) -> Iterator[_Scope]:
    """Every scope with a complete day, those of an org together."""
    rows = connection.execute("SELECT org_id, scope_kind, scope, day, cost_usd FROM scope_days ORDER BY ALL").fetchall()
    for (org_id, kind, name), group in groupby(rows, key=lambda row: row[:3]):
        costs = {row[3]: row[4] for row in group}
        first = min(costs)
        history = [costs.get(first + timedelta(days=i), 0.0) for i in range((first_ahead - first).days)]
        if history:
            yield _Scope({"org_id": org_id, "scope_kind": kind, "scope": name}, costs, history)


def _day_rows(first_ahead: date, forecast: Forecast) -> Iterator[Row]:
    for ahead in range(DAYS_AHEAD):
        step = forecast.day(ahead)
        yield {"day": first_ahead + timedelta(days=ahead), "forecast": step.expected, **_ends(step)}


def _totals(history: Sequence[float], forecast: Forecast, significant_change: float) -> Row:
    week, month = forecast.totals[7], forecast.totals[30]
    return {
        "current_daily_avg": _mean(history[-30:]),
        "projected_daily": week.expected / 7,
        "projected_weekly": week.expected,
        "projected_monthly": month.expected,
        **_ends(week, "weekly_"),
        **_ends(month, "monthly_"),
        "trend": _trend(_mean(history[-28:]) * 7, week, significant_change),
        "confidence": month.confidence,
        "confidence_weekly": week.confidence,
    }


def _ends(interval: Interval, prefix: str = "") -> Row:
    return {f"{prefix}{end}": getattr(interval, end) for end in ("lo80", "hi80", "lo95", "hi95")}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _trend(before: float, week: Total, significant_change: float) -> str:
    """The direction from a usual week to the next one; stable where that is too small to matter or may be chance."""
    if week.lo80 is None or week.hi80 is None or week.lo80 <= before <= week.hi80:
        return "stable"
    if abs(week.expected - before) < significant_change * before:
        return "stable"
    return "up" if week.expected > before else "down"


def _month(day: date, first_ahead: date, costs: Mapping[date, float], forecast: Forecast) -> dict[date, float]:
    """Cost of each day of the day's month: spent where the day is complete, expected where it is not.

    Of the day of now the greater of both stands: what is spent cannot become less.
    """
    start = day.replace(day=1)
    end = (start + timedelta(days=31)).replace(day=1)
    month = {}
    for i in range((end - start).days):
        current = start + timedelta(days=i)
        ahead = (current - first_ahead).days
        expected = float(forecast.days[ahead]) if ahead >= 0 else 0.0
        month[current] = max(costs.get(current, 0.0), expected)
    return month


def _of_month(month: Mapping[date, float], budget: float | None) -> Row:
    """The month's sum, and the first day on which the cost so far reaches the budget."""
    spent, exhausted_on = 0.0, None
    for day, cost in month.items():
        spent += cost
        if budget is not None and exhausted_on is None and spent >= budget:
            exhausted_on = day
    return {"month_end_projection": spent, "budget_exhausted_on": exhausted_on}
