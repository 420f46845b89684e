"""`hourly_run_summaries` and `hourly_call_summaries`: the runs and calls that started in each UTC hour.

A key is the date of a UTC day; both tables hold whole hours, so that any zone's days can be read from them to the hour.
Belongs here: which hours are made, and how many at a time. Does not belong here: hours that stray (incidents.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_pipeline import engine
from analytics_pipeline.partitions import Span, day_start

if TYPE_CHECKING:
    import duckdb

MOST_CALLS = 2_000_000
"""Calls that are summarised at a time: their histograms are in memory at once (about 150 bytes a call)."""

_UTC = ZoneInfo("UTC")
_HOURS = "hour >= $starts_at AND hour < $ends_at"


def make_hourly_summaries(connection: duckdb.DuckDBPyConnection, span: Span) -> dict[str, int]:
    """Make every hour of the UTC days of `span` again in both hourly tables.

    Returns:
        Rows written per table.
    """
    written: Counter[str] = Counter(hourly_run_summaries=0, hourly_call_summaries=0)
    for part in _parts(connection, span):
        written.update(_make_part(connection, part))
    return dict(written)


def _make_part(connection: duckdb.DuckDBPyConnection, span: Span) -> dict[str, int]:
    starts_at, ends_at = _utc_bounds(span)
    for relation in (
        "run_verdicts",
        "hourly_run_sums",
        "hourly_run_buckets",
        "hourly_run_errors",
        "hourly_call_sums",
        "hourly_call_buckets",
    ):
        engine.make(connection, relation, relation, starts_at=starts_at, ends_at=ends_at)
    return {
        table: engine.replace(connection, table, table, where=_HOURS, starts_at=starts_at, ends_at=ends_at)
        for table in ("hourly_run_summaries", "hourly_call_summaries")
    }


def _parts(connection: duckdb.DuckDBPyConnection, span: Span) -> Iterator[Span]:
    """The span in pieces of whole days with at most `MOST_CALLS` calls each, where a day alone has not more."""
    starts_at, ends_at = _utc_bounds(span)
    days = engine.query(connection, "calls_by_day", starts_at=starts_at, ends_at=ends_at).fetchall()
    first, counted = span.first, 0
    for start, calls in days:
        day = date(start.year, start.month, start.day)
        if counted and counted + calls > MOST_CALLS:
            yield Span(first, day - timedelta(days=1))
            first, counted = day, 0
        counted += calls
    yield Span(first, span.last)


def _utc_bounds(span: Span) -> tuple[datetime, datetime]:
    """Half-open naive UTC bounds of the UTC days of a span."""
    return day_start(span.first, _UTC), day_start(span.last + timedelta(days=1), _UTC)
