"""Which days of which daily table no longer show what the log tier holds.

A load marks the days on which its records bear, also days to come; making a day clears its mark in the same
transaction. So a crash between the two loses nothing, and late data reach every day they matter to.

Belongs here: how far a record bears for each daily asset, and which hours were touched. Does not belong here: when
stale days are made (automation.py).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span

if TYPE_CHECKING:
    import duckdb

FIRST_DAY_FILE = "first_day"
_TOUCHED = {"hour": "CAST(hour AS DATE)", "day": "day"}
BEARS = {
    "hourly_summaries": ("hour", 0, 0),
    "daily_series": ("day", 0, 0),
    "cluster_baselines": ("day", 1, HISTORY_DAYS),
    "session_analytics": ("day", 0, HISTORY_DAYS),
    # its hourly incidents: scores of 7 + 14 days that rest on baselines of 30, counts of 50; a profile reaches back 29
    "tool_profiles": ("day", 0, HISTORY_DAYS + 22),
}
"""Asset -> which of a touched hour's UTC day and its reporting day it goes by, from how many to how many days on."""


def mark(connection: duckdb.DuckDBPyConnection) -> None:
    """Mark every day on which the hours and days in the temporary table `touched(hour, day)` bear."""
    for asset, (by, first, last) in BEARS.items():
        connection.execute(
            f"INSERT INTO state.stale SELECT DISTINCT '{asset}', CAST(t.day + CAST(o.days AS INTEGER) AS DATE) "
            f"FROM (SELECT DISTINCT {_TOUCHED[by]} AS day FROM touched) t "
            f"CROSS JOIN (SELECT unnest(range({first}, {last + 1})) AS days) o WHERE t.day IS NOT NULL "
            "EXCEPT SELECT asset, day FROM state.stale"
        )
    connection.execute(
        "INSERT INTO state.touched_hours "
        "SELECT DISTINCT hour FROM touched WHERE hour IS NOT NULL EXCEPT SELECT hour FROM state.touched_hours"
    )


def clear(connection: duckdb.DuckDBPyConnection, asset: str, span: Span, clock: Clock) -> None:
    """Take back the marks of days that were just made; a day with records after now keeps its mark."""
    connection.execute(
        "DELETE FROM state.stale WHERE asset = $asset AND day BETWEEN $first AND $last AND (day < $today OR NOT EXISTS "
        "(SELECT 1 FROM sessions WHERE sessions.day >= $today AND created_at >= $now UNION ALL "
        "SELECT 1 FROM calls WHERE calls.day >= $today AND started_at >= $now))",
        {"asset": asset, "first": span.first, "last": span.last, "today": clock.today, "now": clock.naive},
    )


def clear_hours(connection: duckdb.DuckDBPyConnection, ends_at: datetime, clock: Clock) -> None:
    """Take back the marks of the hours before `ends_at` that are over; the one under way is made again when it is."""
    connection.execute(
        "DELETE FROM state.touched_hours WHERE hour < $ends_at AND hour <= $now - INTERVAL 1 HOUR",
        {"ends_at": ends_at, "now": clock.naive},
    )


def keep_untouched_days(connection: duckdb.DuckDBPyConnection, asset: str, span: Span) -> None:
    """Keep `untouched_days`: the days of the span that are not stale, and so are made for they were asked for."""
    waiting = set(pending(connection, span.last, (asset,)))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE untouched_days AS SELECT unnest(CAST($1 AS DATE[])) AS day",
        [[day for day in span if day not in waiting]],
    )


def last_day(asset: str, clock: Clock) -> date:
    """The last day that the asset can be made for now: today, in UTC or in the reporting zone, as it goes by."""
    if BEARS[asset][0] == "day":
        return clock.today
    return (clock.now.astimezone(UTC) - timedelta(microseconds=1)).date()  # at midnight nothing of the new day is known


def due(connection: duckdb.DuckDBPyConnection, clock: Clock, assets: tuple[str, ...]) -> list[date]:
    """Days on which any of the assets is stale and can be made for now, oldest first."""
    return sorted({day for asset in assets for day in pending(connection, last_day(asset, clock), (asset,))})


def pending(connection: duckdb.DuckDBPyConnection, last: date, assets: tuple[str, ...] = tuple(BEARS)) -> list[date]:
    """Days up to `last` on which any of the assets is stale, oldest first."""
    rows = connection.execute(
        "SELECT DISTINCT day FROM state.stale WHERE day <= ? AND list_contains(?, asset) ORDER BY day",
        [last, list(assets)],
    ).fetchall()
    return [day for (day,) in rows]


def keep_first_day(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Keep the oldest day of any record, by UTC or by the reporting zone, beside the warehouse.

    There the code location reads it without opening the database.

    It only moves back: a day that lost its last record still has to be made again.
    """
    row = connection.execute("SELECT least(min(day), CAST(min(hour) AS DATE)) FROM touched").fetchone()
    day, kept = row[0] if row else None, kept_first_day(home)
    if day is not None and (kept is None or day < kept):
        new = home / f".{FIRST_DAY_FILE}.new"
        new.write_text(day.isoformat() + "\n", encoding="utf-8")
        new.replace(home / FIRST_DAY_FILE)  # whoever reads it meanwhile sees the one or the other


def kept_first_day(home: Path) -> date | None:
    """The oldest day that was kept; None before anything was loaded."""
    try:
        return date.fromisoformat((home / FIRST_DAY_FILE).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None


def first_partition(home: Path, today: date) -> date:
    """The day that the partitions begin with: the oldest record's, today where there is none or where it is to come."""
    return min(kept_first_day(home) or today, today)
