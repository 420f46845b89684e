"""Daily cost ahead by the mean of the same weekday.

Belongs here: a series of daily totals in, the days ahead with their intervals out. Does not belong here: which series
there are, and what the calendar makes of the days ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

SEASON = 7
SEASONS = 4
"""Weeks whose same weekday is averaged."""

Z80 = 1.2815515655446004
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """What lies ahead: the expected amount with the ends of its intervals, each None where the series is too short."""

    expected: float
    lo80: float | None
    hi80: float | None
    lo95: float | None
    hi95: float | None


@dataclass(frozen=True)
class Forecast:
    """The days ahead.

    Attributes:
        days: Expected amount of each day ahead, shape (horizon,), never negative.
        deviation: Standard deviation of a day's error, in the unit of the series; None below a week of history.
    """

    days: np.ndarray
    deviation: float | None

    def day(self, ahead: int) -> Interval:
        """One day; `ahead` counts from 0."""
        return _interval(float(self.days[ahead]), self.deviation)

    def total(self, count: int) -> Interval:
        """The first `count` days together, their errors taken as independent."""
        deviation = None if self.deviation is None else self.deviation * count**0.5
        return _interval(float(self.days[:count].sum()), deviation)


def seasonal_mean(history: Sequence[float], horizon: int) -> Forecast:
    """Expect of each day the mean of its weekday over the last 4 weeks; below a week of history, the overall mean.

    Args:
        history: Daily totals of consecutive days, the newest last; at least one.
        horizon: Number of days ahead.

    Raises:
        ValueError: The history is empty.
    """
    import numpy as np

    values = np.asarray(history, dtype=float)
    if values.size == 0:
        raise ValueError("a forecast needs at least one day of history: leave out series without any")
    if values.size < SEASON:
        return Forecast(np.full(horizon, max(values.mean(), 0.0)), None)
    week = [_same_weekdays(values, values.size + ahead) for ahead in range(SEASON)]
    return Forecast(np.maximum(np.resize(week, horizon), 0.0), _deviation(values))


def _same_weekdays(values: np.ndarray, position: int) -> float:
    """Mean of the up to 4 values that lie whole weeks before a position."""
    return float(values[max(position - SEASONS * SEASON, position % SEASON) : position : SEASON].mean())


def _deviation(values: np.ndarray) -> float:
    """Root mean square of the rule's own errors in the last 4 weeks; within the first two weeks, of the mean's."""
    import numpy as np

    if values.size < 2 * SEASON:
        return float(values.std(ddof=1))
    tested = range(max(SEASON, values.size - SEASONS * SEASON), values.size)
    errors = [values[position] - _same_weekdays(values, position) for position in tested]
    return float(np.sqrt(np.mean(np.square(errors))))


def _interval(expected: float, deviation: float | None) -> Interval:
    if deviation is None:
        return Interval(expected, None, None, None, None)
    return Interval(
        expected,
        max(expected - Z80 * deviation, 0.0),
        expected + Z80 * deviation,
        max(expected - Z95 * deviation, 0.0),
        expected + Z95 * deviation,
    )
