"""What speaks about now: `agent_status`, `trends`, `cost_forecasts`, `cost_forecast_totals`, `storage_usage`.

All but `agent_status`, which is of the latest now, keep the rows of other days, so that what was said then can be held
to account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine, schema
from analytics_pipeline.partitions import Clock
from analytics_pipeline.statistics.forecast import Forecast, seasonal_mean

if TYPE_CHECKING:
    import duckdb

TREND_PERIODS = (7, 30)
DAYS_AHEAD = 31
DAYS_KNOWN = 56
"""Complete days that a forecast knows: two rounds of the 4 weeks that it averages. Holds a month with its last day."""

_ACTIVE = timedelta(minutes=5)
_RECENT = timedelta(hours=24)
_BYTES_PER_CELL = 8
_DAYS_OF_MONTH = 30

Row = dict[str, Any]


def make_agent_status(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Replace the whole of `agent_status` by what is known at now.

    Returns:
        Rows written per table.
    """
    written = engine.replace(
        connection,
        "agent_status",
        "agent_status",
        where="TRUE",
        now=clock.naive,
        day_starts_at=clock.day_bounds(clock.today)[0],
        recent_from=clock.naive - _RECENT,
        active_from=clock.naive - _ACTIVE,
    )
    return {"agent_status": written}


def make_trends(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Make the day's `trends` again: periods of 7 and 30 days that end with the hour of now, against those before.

    Returns:
        Rows written per table.
    """
    written = 0
    for period in TREND_PERIODS:
        current_from, ends_at = clock.window(period)
        bounds = {
            "previous_from": current_from - timedelta(days=period),
            "current_from": current_from,
            "known_until": min(ends_at, clock.naive),
        }
        engine.make(
            connection,
            "run_verdicts",
            "run_verdicts",
            starts_at=bounds["previous_from"],
            ends_at=bounds["known_until"],
        )
        engine.make(connection, "trend_runs", "trend_runs", **bounds)
        engine.make(connection, "trend_models", "trend_models", **bounds)
        written += engine.replace(
            connection,
            "trends",
            "trends",
            where="as_of_day = $as_of_day AND period_days = $period_days",
            as_of_day=clock.today,
            period_days=period,
        )
    return {"trends": written}


def make_cost_forecasts(
    connection: duckdb.DuckDBPyConnection,
    clock: Clock,
    *,
    significant_change: float,
    budgets: Mapping[tuple[str, str], float],
) -> dict[str, int]:
    """Make the day's forecasts again: 31 days after the last complete one, by day and in total.

    Args:
        connection: The warehouse, within a transaction; the complete days of `daily_series` must be made.
        clock: Now; its day is the first forecast unless it is over.
        significant_change: Change against the last 28 days from which the trend is not stable, as a fraction.
        budgets: USD a reporting month by (scope_kind, scope), where there is one.

    Returns:
        Rows written per table.
    """
    day = clock.today
    first_ahead = day if clock.naive < clock.day_bounds(day)[1] else day + timedelta(days=1)
    days: list[Row] = []
    totals: list[Row] = []
    for key, costs in _scope_costs(connection, clock, first_ahead):
        history = _history(costs, first_ahead)
        if not history:
            continue
        forecast = seasonal_mean(history, DAYS_AHEAD)
        scope = {"as_of_day": day, **key}
        month = _month(day, first_ahead, costs, forecast)
        budget = budgets.get((key["scope_kind"], key["scope"]))
        days += [scope | row for row in _day_rows(first_ahead, forecast)]
        totals.append(
            scope
            | _totals(history, forecast, significant_change)
            | {
                "month_end_projection": sum(month.values()),
                "budget_exhausted_on": None if budget is None else _exhausted_on(month, budget),
            }
        )
    return {
        table: engine.replace(connection, table, table, where="as_of_day = $as_of_day", as_of_day=day, rows=rows)
        for table, rows in (("cost_forecasts", days), ("cost_forecast_totals", totals))
    }


def _scope_costs(
    connection: duckdb.DuckDBPyConnection, clock: Clock, first_ahead: date
) -> Iterator[tuple[dict[str, str], dict[date, float]]]:
    """Every scope with its known cost by day, in USD."""
    rows = engine.query(
        connection,
        "scope_costs",
        oldest=first_ahead - timedelta(days=DAYS_KNOWN),
        first_ahead=first_ahead,
        known_until=clock.naive,
    ).fetchall()
    for (org_id, scope_kind, scope), group in groupby(rows, key=lambda row: row[:3]):
        yield {"org_id": org_id, "scope_kind": scope_kind, "scope": scope}, {row[3]: row[4] for row in group}


def _history(costs: dict[date, float], first_ahead: date) -> list[float]:
    """The cost of each complete day since the scope's first, 0 where it had no run."""
    first = min(costs)
    return [costs.get(first + timedelta(days=i), 0.0) for i in range((first_ahead - first).days)]


def _day_rows(first_ahead: date, forecast: Forecast) -> Iterator[Row]:
    for ahead in range(DAYS_AHEAD):
        interval = asdict(forecast.day(ahead))
        yield {"day": first_ahead + timedelta(days=ahead), "forecast": interval.pop("expected"), **interval}


def _totals(history: list[float], forecast: Forecast, significant_change: float) -> Row:
    weekly, monthly = asdict(forecast.total(7)), asdict(forecast.total(30))
    projected = weekly.pop("expected")
    return {
        "current_daily_avg": _mean(history[-30:]),
        "projected_daily": projected / 7,
        "projected_weekly": projected,
        "projected_monthly": monthly.pop("expected"),
        **{f"weekly_{end}": value for end, value in weekly.items()},
        **{f"monthly_{end}": value for end, value in monthly.items()},
        "trend": _trend(_mean(history[-28:]), projected / 7, significant_change),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _trend(before: float, ahead: float, significant_change: float) -> str:
    """The direction from one daily mean to another; stable where the change is too small to matter."""
    if abs(ahead - before) < significant_change * before or ahead == before:
        return "stable"
    return "up" if ahead > before else "down"


def _month(day: date, first_ahead: date, costs: dict[date, float], forecast: Forecast) -> dict[date, float]:
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


def _exhausted_on(month: dict[date, float], budget: float) -> date | None:
    """The first day of the month whose cumulative cost reaches the budget."""
    spent = 0.0
    for day, cost in month.items():
        spent += cost
        if spent >= budget:
            return day
    return None


def make_storage_usage(
    connection: duckdb.DuckDBPyConnection, clock: Clock, *, usd_per_gb_month: float
) -> dict[str, int]:
    """Make the day's `storage_usage` again.

    DuckDB packs tables into shared blocks and compresses each column its own way; walking them costs more than the
    answer is worth. So the file's size is shared out by cells (rows x columns); where nothing is on disk yet, a cell
    counts as 8 bytes.

    Args:
        connection: The warehouse, within a transaction.
        clock: Now, whose day the rows are of.
        usd_per_gb_month: Price of 10^9 bytes for 30 days, USD.

    Returns:
        Rows written per table.
    """
    rows = {name: _count(connection, name) for name in schema.TABLES}
    cells = {name: count * len(schema.columns(name)) for name, count in rows.items()}
    all_cells = sum(cells.values())
    size = _file_size(connection) or all_cells * _BYTES_PER_CELL
    written = engine.replace(
        connection,
        "storage_usage",
        "storage_usage",
        where="as_of_day = $as_of_day",
        as_of_day=clock.today,
        rows=[
            _usage(clock.today, name, count, size * cells[name] // max(all_cells, 1), usd_per_gb_month)
            for name, count in rows.items()
        ],
    )
    return {"storage_usage": written}


def _usage(day: date, table: str, rows: int, size: int, usd_per_gb_month: float) -> Row:
    return {
        "as_of_day": day,
        "table_name": table,
        "rows": rows,
        "bytes": size,
        "cost_usd_per_day": size / 1e9 * usd_per_gb_month / _DAYS_OF_MONTH,
    }


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    return int(row[0]) if row else 0


def _file_size(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes of the file's blocks; 0 while it has none."""
    row = connection.execute(
        "SELECT block_size * total_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    ).fetchone()
    return int(row[0]) if row else 0
