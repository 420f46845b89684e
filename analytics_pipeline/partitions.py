"""Days, windows and spans: what a partition key means in instants, for every table.

Belongs here: calendar arithmetic on reporting days, UTC days and windows, free of Dagster and DuckDB.
Does not belong here: what is made when (automation.py) and what was touched (load/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

HISTORY_DAYS = 30
"""Days of history that a baseline or a profile looks back on, and so the days on which a record still bears."""


@dataclass(frozen=True, order=True)
class Span:
    """Consecutive days, both ends included."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        """Every day of the span, in order."""
        return (self.first + timedelta(days=i) for i in range((self.last - self.first).days + 1))

    def __len__(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Clock:
    """The one instant that a run calls now, and the zone of its reporting days.

    Attributes:
        now: The instant, aware.
        zone: The zone of reporting days.
        passed_day: The day whose end now is, where a day that has passed is made again.
    """

    now: datetime
    zone: ZoneInfo
    passed_day: date | None = None

    @classmethod
    def at_end_of(cls, day: date, zone: ZoneInfo) -> Clock:
        """The clock for a day that has passed: now is its end."""
        return cls(day_start(day + timedelta(days=1), zone).replace(tzinfo=UTC), zone, day)

    @property
    def naive(self) -> datetime:
        """Now as the naive UTC instant that the tables hold."""
        return to_naive_utc(self.now)

    @property
    def today(self) -> date:
        """The reporting day in which now lies, or which it ends."""
        return self.passed_day or self.now.astimezone(self.zone).date()

    def window(self, days: int) -> tuple[datetime, datetime]:
        """Half-open naive UTC bounds of the N x 24 h that end with the hour in which now lies."""
        hour = self.naive.replace(minute=0, second=0, microsecond=0)
        end = hour if hour == self.naive else hour + timedelta(hours=1)
        return end - timedelta(days=days), end

    def day_bounds(self, day: date) -> tuple[datetime, datetime]:
        """Half-open naive UTC bounds of a reporting day (23 to 25 hours long)."""
        return day_start(day, self.zone), day_start(day + timedelta(days=1), self.zone)


def to_naive_utc(instant: datetime) -> datetime:
    """An aware instant as the naive UTC timestamp that DuckDB holds."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The naive UTC instant at which a reporting day begins."""
    return to_naive_utc(datetime.combine(day, time(), tzinfo=zone))


def spans(days: Iterable[date]) -> list[Span]:
    """Unbroken spans over the days, oldest first."""
    found: list[Span] = []
    for day in sorted(set(days)):
        if found and found[-1].last + timedelta(days=1) == day:
            found[-1] = Span(found[-1].first, day)
        else:
            found.append(Span(day, day))
    return found
