"""How busy an agent's workers are, and how much room the hour after leaves.

Belongs here: queueing arithmetic on the hours of one agent, all of them at once; what holds at the end of an hour is
made only from that hour and earlier ones. Does not belong here: how hours are counted from runs and calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray

HOUR_SECONDS = 3600
WEEK_HOURS = 7 * 24
WORKER_HOURS = 30 * 24
"""Hours whose greatest concurrency counts as the number of workers, and in which an agent's first run is looked for."""
WEEKS = 4
"""Weeks whose same hour tells how many runs arrive."""
HISTORY_HOURS = WORKER_HOURS + WEEK_HOURS
"""Hours before an hour that bear on what is said of it: what its estimate looks back on, for a week of back-tests."""
SATURATED = 0.95
"""Utilisation from which no wait can be told, and workers count as full."""
NEAR = 0.10
"""An estimate of the utilisation within so much of what came counts as right."""
RECENT_HOURS = 8
"""Hours that tell whether more or fewer runs arrive than in other weeks."""
_RATE_PRIOR = 10.0
"""Runs that are added to both sides of that ratio: of two or three it says nothing."""
_TINY = 1e-9
"""Put in place of what may be 0 and is divided by."""


@dataclass(frozen=True)
class Hours:
    """Consecutive hours of one agent; every array has the shape (hours,).

    Attributes:
        arrivals: Runs that were queued in the hour, or started where the log names no queue.
        completed: Runs that ended in the hour with a known duration.
        duration_us: Sum of their durations, whole microseconds.
        squares: Sum of the squares of their durations in whole tenths of a second.
        inside_us: Sum over them of what a run of that duration d, begun at any instant of an hour, spends in that hour:
            m - m^2 / 2 h with m = min(d, h), whole microseconds.
        remaining: Sum over them of the integral over the age of min(what is left, an hour): d^2 / 2 up to an hour, then
            h (d - h) + h^2 / 2, whole hundredths of a square second.
        busy_us: Time that runs spent in the hour, summed over runs, whole microseconds.
        running: Runs under way at the end of the hour.
        queued: Runs waiting at the end of the hour.
        peak: Greatest number of runs under way at once in the hour.
        known_seconds: Seconds of the hour that are known; 3600 but for an hour under way.
    """

    arrivals: Array
    completed: Array
    duration_us: Array
    squares: Array
    inside_us: Array
    remaining: Array
    busy_us: Array
    running: Array
    queued: Array
    peak: Array
    known_seconds: Array


@dataclass(frozen=True)
class Capacity:
    """What each hour says of itself and of the hour after; arrays of the shape (hours,), NaN where unknown.

    Attributes:
        workers: Declared workers, else the greatest concurrency of 30 days, at least 1.
        utilisation: Busy time / worker time of the hour, a ratio; above 1 where more ran than were declared.
        expected: Utilisation expected of the hour after, 0-1; 0 where nothing ended in 7 days.
        wait_seconds: Expected wait of a run that arrives in the hour after; NaN near saturation.
        confidence: Probability that `expected` is right within 0.10, from the back-tests of the 7 days before; NaN
            where nothing ended in 7 days.
    """

    workers: Array
    utilisation: Array
    expected: Array
    wait_seconds: Array
    confidence: Array


def capacity(hours: Hours, declared: int | None = None) -> Capacity:
    """Utilisation of each hour and of the one after it.

    The hour after is busy with the backlog, with what is left of the runs under way (renewal theory) and with the runs
    that arrive. After an hour without a free worker or a known backlog it is as busy: runs that waited for their start
    arrived unseen. The wait is that of Allen and Cunneen (1978) for Poisson arrivals.

    Args:
        hours: The agent's hours; what is said of one rests on the `HISTORY_HOURS` before it.
        declared: Workers of the agent, where they are configured.
    """
    import numpy as np

    peak = _rolling_max(hours.peak, WORKER_HOURS)
    workers = np.maximum(peak if declared is None else np.full(peak.shape, declared), 1).astype(float)
    utilisation = hours.busy_us / 1e6 / np.maximum(hours.known_seconds, _TINY) / workers
    completed = rolling_sum(hours.completed, WEEK_HOURS)
    mean, second, inside, left = _moments(hours, completed)
    work = hours.queued * mean + hours.running * left + expected_arrivals(hours.arrivals) * inside
    expected = np.where(completed > 0, np.minimum(work / (HOUR_SECONDS * workers), 1.0), 0.0)
    full = (utilisation >= SATURATED) & (hours.running >= workers) & (hours.queued == 0)
    expected = np.where(full, np.maximum(expected, np.minimum(utilisation, 1.0)), expected)
    variation = np.maximum(second / np.maximum(mean, _TINY) ** 2 - 1, 0.0)
    confidence = np.where(completed > 0, _confidence(expected, utilisation, hours.arrivals), np.nan)
    return Capacity(workers, utilisation, expected, waiting_seconds(expected, workers, mean, variation), confidence)


def expected_arrivals(arrivals: Array) -> Array:
    """Runs expected to arrive in the hour after each hour, shape (hours,).

    What the same hour of the last 4 weeks and its neighbours saw, times how the last 8 hours stand to the same ones of
    those weeks; without a week of history by days in place of weeks, without a day the mean so far. Only hours since
    the agent's first run of the last 30 days count.

    Args:
        arrivals: Runs that arrived in each of consecutive hours, shape (hours,).
    """
    import numpy as np

    arrivals = np.asarray(arrivals, dtype=float)
    first = _first_arrival(arrivals)
    hour = np.arange(arrivals.size)
    recent = rolling_sum(arrivals, RECENT_HOURS)
    rate = rolling_sum(arrivals, WORKER_HOURS) / np.maximum(hour - first + 1, 1)
    for season, times in ((24, 7), (WEEK_HOURS, WEEKS)):  # the longer one wins where there is any
        back = [season * time for time in range(1, times + 1)]
        same = _lagged_mean(arrivals, first, [lag - near for lag in back for near in (0, 1, 1, 2)])
        before = _lagged_mean(recent, first + RECENT_HOURS - 1, back)
        level = (recent + _RATE_PRIOR) / (np.where(np.isnan(before), recent, before) + _RATE_PRIOR)
        rate = np.where(np.isnan(same), rate, same * level)
    return np.where(first <= hour, rate, 0.0)


def waiting_seconds(utilisation: Array, workers: Array, mean: Array | float, variation: Array | float) -> Array:
    """Mean wait for a free worker (Allen & Cunneen 1978, with the exponent of Sakasegawa 1977).

    Args:
        utilisation: Of the workers, 0-1, shape (n,).
        workers: Their number, at least 1, shape (n,).
        mean: Mean duration of a run, seconds.
        variation: Squared coefficient of variation of the durations.

    Returns:
        Seconds, shape (n,); NaN from 0.95 on, where waits have no bound.
    """
    import numpy as np

    free = np.where(utilisation < SATURATED, 1 - utilisation, np.nan)
    poisson = utilisation ** (np.sqrt(2 * (workers + 1)) - 1) / (workers * free)
    return np.asarray((1 + variation) / 2 * poisson * mean)


def bottlenecks(
    tools: Sequence[str], busy_us: Array, completed: Array, asked: Sequence[int], most: int = 3
) -> list[tuple[list[str], float]]:
    """The tools that limit an agent, the tightest first, and the runs an hour that the tightest lets through.

    A run asks each tool for D seconds (operational analysis, Denning & Buzen 1978); a tool with s servers takes 3600 s
    / D runs an hour. As many servers count as its busiest hour of the 30 days proves, one where it proves none.

    Args:
        tools: Names, in ascending order.
        busy_us: Time of the calls that ended in each hour, whole microseconds, shape (tools, hours).
        completed: Runs that ended in each hour, shape (hours,).
        asked: Indices of the hours that are asked about.
        most: How many tools are named.

    Returns:
        For every hour asked the names and the runs an hour; ([], NaN) where no tool was used or no run ended in 7 days.
    """
    import numpy as np

    runs = rolling_sum(completed, WEEK_HOURS)[asked]
    demand = np.array([rolling_sum(row, WEEK_HOURS)[asked] for row in busy_us]) / 1e6 / np.maximum(runs, 1)
    hardest = np.array([_rolling_max(row, WORKER_HOURS)[asked] for row in busy_us]) / 1e6
    per_server = demand / np.maximum(np.ceil(hardest / HOUR_SECONDS), 1)
    order = np.argsort(-per_server, axis=0, kind="stable")[:most]
    found = []
    for hour, ranked in enumerate(order.T):
        used = [int(tool) for tool in ranked if runs[hour] > 0 and per_server[tool, hour] > 0]
        limit = HOUR_SECONDS / per_server[used[0], hour] if used else float("nan")
        found.append(([tools[tool] for tool in used], float(limit)))
    return found


def _moments(hours: Hours, completed: Array) -> tuple[Array, Array, Array, Array]:
    """Of the runs that ended in 7 days, 0 without any: mean duration (seconds), its mean square (seconds^2).

    And the seconds that one that arrives spends within the hour, and those that one under way still does.
    """
    import numpy as np

    runs = np.maximum(completed, 1)
    total = rolling_sum(hours.duration_us, WEEK_HOURS) / 1e6
    second = rolling_sum(hours.squares, WEEK_HOURS) / 100
    inside = rolling_sum(hours.inside_us, WEEK_HOURS) / 1e6
    left = rolling_sum(hours.remaining, WEEK_HOURS) / 100
    mean = total / runs
    return mean, np.maximum(second / runs, mean**2), inside / runs, left / np.maximum(total, _TINY)


def _confidence(expected: Array, utilisation: Array, arrivals: Array) -> Array:
    """Share of the estimates of the last 7 days that came right, by Laplace's rule (one more hit, one more miss)."""
    import numpy as np

    hour = np.arange(expected.size)
    tested = hour > _first_arrival(np.asarray(arrivals, dtype=float))
    right = np.zeros(expected.size, dtype=np.int64)
    right[1:] = np.abs(expected[:-1] - np.minimum(utilisation[1:], 1.0)) <= NEAR
    return np.asarray((rolling_sum(right * tested, WEEK_HOURS) + 1) / (rolling_sum(tested, WEEK_HOURS) + 2))


def _first_arrival(arrivals: Array) -> Array:
    """Index of the first hour with an arrival in the 30 days that end with each hour; the size where there is none."""
    import numpy as np

    with_arrival = np.append(np.flatnonzero(arrivals > 0), arrivals.size)
    hour = np.arange(arrivals.size)
    first = with_arrival[np.searchsorted(with_arrival, hour - WORKER_HOURS + 1)]
    return np.where(first <= hour, first, arrivals.size)


def _lagged_mean(values: Array, first: Array, lags: Sequence[int]) -> Array:
    """Mean of the values so many hours before each, of those not before `first`; NaN where none is."""
    import numpy as np

    hour = np.arange(values.size)
    index = hour[:, None] - np.asarray(lags)
    counted = (index >= first[:, None]) & (index >= 0)
    total = np.where(counted, values[np.maximum(index, 0)], 0.0).sum(axis=1)
    count = counted.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def rolling_sum(values: Array, hours: int) -> Array:
    """Sum over so many hours that end with each hour, shape as `values`; exact, for these are whole numbers."""
    import numpy as np

    total = np.concatenate(([0], np.cumsum(np.asarray(values).astype(np.int64))))
    end = np.arange(1, total.size)
    return total[end] - total[np.maximum(end - hours, 0)]


def _rolling_max(values: Array, hours: int) -> Array:
    """Maximum over the hours that end with each hour, by doubling (a window is the union of two half as long)."""
    import numpy as np

    found, width = np.array(values), 1
    while width < hours:
        step = min(width, hours - width)
        found = np.maximum(found, np.concatenate((found[:1].repeat(step)[: found.size], found[:-step])))
        width += step
    return found
