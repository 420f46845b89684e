"""Whether a period differs from the one before, by more than its days differ among themselves.

Runs of one day share what happened on that day, so that tests over single runs find a change in one of four quiet
weeks of a busy pipeline. Everything here tests days (or, for rates, runs with the spread of the days put in).

Belongs here: tests of totals, averages and rates, the false discovery rate of a report, the day on which a change
began. Does not belong here: which scopes there are, how large a change matters, and the residuals themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

WEEK = 7
MINIMUM_DAYS = 3
"""Days with runs that an average needs in both periods, and usable weekdays that a pair of weeks needs."""

_WEEK_DEGREES = 3.5
"""Degrees of freedom that a week of seven weekday variances is worth, each weekday having its own size."""

_LEAST_VARIANCE = 1e-6
"""Of ln(total): what never varied is still allowed a tenth of a percent."""

_CUSUM_SLACK, _CUSUM_LIMIT = 0.5, 5.0
"""In deviations of a day: one of five quiet periods of 26 days passes the limit, a shift is noticed in 3 or 4 days."""


@dataclass(frozen=True)
class Blocks:
    """How a period is cut for the test of its total: `earlier` blocks of `length` days, then the one tested.

    Attributes:
        length: Days of a block, a multiple of 7.
        earlier: Blocks before the tested one, at most.
    """

    length: int
    earlier: int

    @property
    def days(self) -> int:
        """Days that the test looks at."""
        return self.length * (self.earlier + 1)


def blocks_of(days: int, *, known: int = 90, most: int = 4) -> Blocks | None:
    """The blocks that test a period: its last whole weeks, and some earlier blocks as long, at least one.

    Args:
        days: Length of the period, days.
        known: Days within which all blocks have to lie, but for the one earlier block that there is at least.
        most: Earlier blocks at most.

    Returns:
        None for a period of less than a week, which is not tested.
    """
    length = days // WEEK * WEEK
    return Blocks(length, max(1, min(most, known // length - 1))) if length else None


def total_tests(totals: ArrayLike, length: int) -> Floats:
    """One-sided p of a rise of the last block's total over the mean of the blocks before it.

    With W >= 2 earlier blocks: t = ln(S1 / S0) / sqrt(V (1 + 1/W)) where V is the sum of the variances of each day of
    the block over the earlier blocks, over the squared mean total. With one, the jackknife over the weekdays
    (Efron 1982). Where either total is 0, Fisher's exact test of the days that are not 0.

    Args:
        totals: Daily totals of consecutive days, shape (series, days), the newest last; days a multiple of `length`,
            at least two blocks. What is not finite or is negative makes its series NaN.
        length: Days of a block, a multiple of 7.

    Returns:
        Shape (series,): near 0 for a rise, near 1 for a fall (1 - p tests that); NaN where nothing can be said.
        `two_sided` makes the p of either.

    Raises:
        ValueError: The days are not two or more whole blocks.
    """
    import numpy as np

    days = np.asarray(totals, dtype=float)
    if days.ndim != 2 or length < 1 or days.shape[1] % length or days.shape[1] < 2 * length:
        raise ValueError(f"expected (series, days) with two or more blocks of {length} days, got shape {days.shape}")
    blocks = days.reshape(days.shape[0], days.shape[1] // length, length)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = _over_blocks(blocks) if blocks.shape[1] > 2 else _over_weekdays(blocks)
    one_is_zero = (blocks[:, -1].sum(axis=1) == 0) | (blocks[:, :-1].sum(axis=(1, 2)) == 0)
    p[one_is_zero] = _of_counts(blocks[one_is_zero] > 0)
    p[~(np.isfinite(days) & (days >= 0)).all(axis=1)] = np.nan
    return p


def _over_blocks(blocks: Floats) -> Floats:
    import numpy as np
    from scipy.special import stdtr

    earlier, current = blocks[:, :-1], blocks[:, -1].sum(axis=1)
    count, length = earlier.shape[1:]
    mean = earlier.sum(axis=2).mean(axis=1)
    variance = earlier.var(axis=1, ddof=1).sum(axis=1) / mean**2
    t = np.log(current / mean) / np.sqrt(np.maximum(variance, _LEAST_VARIANCE) * (1 + 1 / count))
    return np.asarray(stdtr(_WEEK_DEGREES * (count - 1) * length / WEEK, -t))


def _over_weekdays(blocks: Floats) -> Floats:
    import numpy as np
    from scipy.special import stdtr

    weekdays = blocks.reshape(blocks.shape[0], 2, blocks.shape[2] // WEEK, WEEK).sum(axis=2)
    sums = weekdays.sum(axis=2, keepdims=True)
    usable = weekdays.sum(axis=1) > 0
    k = usable.sum(axis=1)
    left_out = np.log((sums - weekdays)[:, 1] / (sums - weekdays)[:, 0])
    left_out = np.where(usable, left_out, 0.0)
    mean = left_out.sum(axis=1) / k
    spread = (np.where(usable, left_out - mean[:, None], 0.0) ** 2).sum(axis=1)
    t = np.log(sums[:, 1, 0] / sums[:, 0, 0]) / np.sqrt(np.maximum((k - 1) / k * spread, 2 * _LEAST_VARIANCE))
    p = np.asarray(stdtr(np.maximum(k - 1, 1), -t))
    p[(k < MINIMUM_DAYS) | ~np.isfinite(left_out).all(axis=1)] = np.nan
    return p


def _of_counts(is_used: NDArray[np.bool_]) -> Floats:
    """Fisher's exact test: are more of the last block's days in use than of those before?"""
    import numpy as np
    from scipy.special import comb

    now, before = is_used[:, -1].sum(axis=1), is_used[:, :-1].sum(axis=(1, 2))
    days_now, days = is_used.shape[2], is_used.shape[1] * is_used.shape[2]
    used, k = (now + before)[:, None], np.arange(days_now + 1)
    probability = comb(used, k) * comb(days - used, days_now - k) / comb(days, days_now)
    up, down = (np.where(tail, probability, 0.0).sum(axis=1) for tail in (k >= now[:, None], k <= now[:, None]))
    p = np.where(now > 0, up, 1 - down)
    return np.asarray(np.where(now + before > 0, p, np.nan))


def two_sided(p: ArrayLike) -> Floats:
    """The p of a change in either direction, from the one-sided p of a rise; NaN stays."""
    import numpy as np

    one = np.asarray(p, dtype=float)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(one, 1 - one)))


@dataclass(frozen=True)
class Shift:
    """How an average moved: `change` relative (0.3 is +30 %), `p` one-sided for a rise; None where too few days."""

    change: float | None
    p: float | None


def mean_shift(before: ArrayLike, after: ArrayLike) -> Shift:
    """Welch's t test (1947) on the daily means of log residuals of two periods.

    Args:
        before: Mean residual of each day of the earlier period, shape (days,); days without runs are NaN.
        after: The same of the later period.

    Returns:
        exp(difference of the means) - 1, and the one-sided p of a rise; both None with fewer than 3 days in either.
    """
    import numpy as np
    from scipy.special import stdtr

    old, new = (values[np.isfinite(values)] for values in (np.asarray(v, dtype=float) for v in (before, after)))
    if min(old.size, new.size) < MINIMUM_DAYS:
        return Shift(None, None)
    difference = float(new.mean() - old.mean())
    parts = [max(float(v.var(ddof=1)), _LEAST_VARIANCE) / v.size for v in (old, new)]
    degrees = sum(parts) ** 2 / sum(part**2 / (v.size - 1) for part, v in zip(parts, (old, new), strict=True))
    return Shift(math.expm1(difference), float(stdtr(degrees, -difference / math.sqrt(sum(parts)))))


def rate_rises(before: ArrayLike, before_of: ArrayLike, after: ArrayLike, after_of: ArrayLike) -> Floats:
    """One-sided p of a rise of a rate, by the level at which Newcombe's interval (1998, method 10) begins at 0.

    Args:
        before: Hits of the earlier period, shape (series,).
        before_of: Trials of the earlier period; may be fractional, see `effective_share`.
        after: Hits of the later period.
        after_of: Trials of the later period.

    Returns:
        Shape (series,); NaN without trials in either period.
    """
    import numpy as np
    from scipy.special import ndtr

    x0, n0, x1, n1 = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (before, before_of, after, after_of))
    with np.errstate(divide="ignore", invalid="ignore"):
        p0, p1 = x0 / n0, x1 / n1
        sign = np.where(p1 >= p0, 1.0, -1.0)
        low, high = np.zeros_like(p0), np.full_like(p0, 40.0)
        for _ in range(60):
            z = (low + high) / 2
            near = _wilson(p1, n1, -sign * z)
            far = _wilson(p0, n0, sign * z)
            is_apart = np.hypot(p1 - near, far - p0) < np.abs(p1 - p0)
            low, high = np.where(is_apart, z, low), np.where(is_apart, high, z)
        p = ndtr(-sign * low)
    return np.where((n0 > 0) & (n1 > 0), p, np.nan)


def _wilson(rate: Floats, trials: Floats, z: Floats) -> Floats:
    """The end of Wilson's interval (1927) at z: the lower one where z is negative."""
    import numpy as np

    spread = z * np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    return np.asarray((rate + z**2 / (2 * trials) + spread) / (1 + z**2 / trials))


def effective_share(hits: ArrayLike, trials: ArrayLike) -> Floats:
    """What a trial is worth where the days differ by more than chance: 1 / dispersion (McCullagh & Nelder 1989).

    Args:
        hits: Hits a day, shape (series, periods, days); each period has a rate of its own.
        trials: Trials a day, same shape.

    Returns:
        Shape (series,), in (0, 1]: 1 where the days are as alike as chance makes them, or too few to say.
    """
    import numpy as np

    x, n = np.asarray(hits, dtype=float), np.asarray(trials, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = x.sum(axis=2, keepdims=True) / n.sum(axis=2, keepdims=True)
        surprise = np.where(n > 0, (x - n * rate) ** 2 / (n * rate * (1 - rate)), 0.0)
    surprise = np.where(np.isfinite(surprise), surprise, 0.0).sum(axis=(1, 2))
    degrees = (np.maximum((n > 0).sum(axis=2) - 1, 0) * ((rate > 0) & (rate < 1))[:, :, 0]).sum(axis=1)
    return np.asarray(1 / np.maximum(1.0, np.where(degrees > 1, surprise / np.maximum(degrees, 1), 1.0)))


def rate_reaches(hits: float, trials: float, line: float) -> float:
    """The probability that a rate is at or above a line, given Jeffreys' prior Beta(0.5, 0.5).

    Args:
        hits: How often it happened, 0 <= hits <= trials.
        trials: How often it could have.
        line: The line, 0-1.
    """
    from scipy.special import betaincc

    return float(betaincc(hits + 0.5, trials - hits + 0.5, min(max(line, 0.0), 1.0)))


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """The false discovery rate at which each test would just count (Benjamini & Hochberg 1995).

    Args:
        p: Of all tests of one report, shape (tests,); NaN is a test that was not made and counts for nothing.

    Returns:
        q, same shape; NaN stays.
    """
    import numpy as np

    values = np.asarray(p, dtype=float)
    q = np.full(values.shape, np.nan)
    made = np.flatnonzero(~np.isnan(values))
    order = made[np.argsort(values[made], kind="stable")]
    scaled = values[order] * made.size / np.arange(1, made.size + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def change_day(before: ArrayLike, after: ArrayLike) -> int | None:
    """The day on which a level began to shift, by a two-sided CUSUM (Page 1954; slack 0.5, limit 5).

    Args:
        before: Value of each day of a quiet period, shape (days,); NaN is a day without one.
        after: The days that follow, which are searched.

    Returns:
        Index into `after` of the day on which the sum that passed the limit last left 0; None where none passed it or
        the quiet period has fewer than 3 days.
    """
    import numpy as np

    quiet, days = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    quiet = quiet[np.isfinite(quiet)]
    if quiet.size < MINIMUM_DAYS:
        return None
    scores = (days - quiet.mean()) / math.sqrt(max(float(quiet.var(ddof=1)), _LEAST_VARIANCE))
    passed = [found for sign in (1, -1) if (found := _left_zero(sign * scores)) is not None]
    return min(passed) if passed else None


def _left_zero(scores: Floats) -> int | None:
    total, since = 0.0, 0
    for day, score in enumerate(scores.tolist()):
        if math.isnan(score):
            continue
        if total == 0.0:
            since = day
        total = max(0.0, total + score - _CUSUM_SLACK)
        if total > _CUSUM_LIMIT:
            return since
    return None
