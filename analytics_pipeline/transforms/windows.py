"""Days and their windows as small temporary tables, so that the SQL joins windows by equality.

Belongs here: `span_days`, `window_days` and the cutting of long spans. Does not belong here: what days and windows are
(partitions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from analytics_pipeline import engine
from analytics_pipeline.partitions import Clock, Span

if TYPE_CHECKING:
    from datetime import date

    import duckdb


def keep_span_days(connection: duckdb.DuckDBPyConnection, days: Iterable[date], clock: Clock) -> None:
    """Keep `span_days`: each reporting day with its bounds and the instant up to which its snapshots know."""
    rows = []
    for day in sorted(set(days)):
        starts_at, ends_at = clock.day_bounds(day)
        rows.append({"day": day, "starts_at": starts_at, "ends_at": ends_at, "known_until": min(ends_at, clock.naive)})
    engine.make(connection, "span_days", "span_days", rows=rows)


def keep_window_days(connection: duckdb.DuckDBPyConnection, oldest: int, newest: int) -> None:
    """Keep `window_days`: beside each of `span_days` the days from `oldest` to `newest` days back, both included."""
    engine.make(connection, "window_days", "window_days", oldest=oldest, newest=newest)


def cut(span: Span, days: int) -> Iterator[Span]:
    """The span in pieces of at most so many days, so that what a piece keeps in memory is bounded."""
    first = span.first
    while first <= span.last:
        last = min(first + timedelta(days=days - 1), span.last)
        yield Span(first, last)
        first = last + timedelta(days=1)
