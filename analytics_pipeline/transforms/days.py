"""`daily_series`: the runs that started on each reporting day.

Belongs here: which days are made again. Does not belong here: what is counted (sql/daily_series.sql), and the hours
(hourly.py).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from analytics_pipeline import engine
from analytics_pipeline.partitions import Clock
from analytics_pipeline.transforms.windows import keep_span_days

if TYPE_CHECKING:
    from datetime import date

    import duckdb


def make_daily_series(connection: duckdb.DuckDBPyConnection, days: Collection[date], clock: Clock) -> dict[str, int]:
    """Make the given reporting days of `daily_series` again; they need not be consecutive.

    Returns:
        Rows written per table.
    """
    if not days:
        return {"daily_series": 0}
    keep_span_days(connection, days, clock)
    starts_at, ends_at = clock.day_bounds(min(days))[0], clock.day_bounds(max(days))[1]
    engine.make(connection, "run_verdicts", "run_verdicts", starts_at=starts_at, ends_at=ends_at)
    written = engine.replace(connection, "daily_series", "daily_series", where="day IN (SELECT day FROM span_days)")
    return {"daily_series": written}
