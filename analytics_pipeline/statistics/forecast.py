"""Totals of the steps ahead, by a weighted mix of simple forecasters that are tried on the series' own past.

Belongs here: series of consecutive totals in, the steps ahead with their intervals out. Does not belong here: which
series there are, and what the calendar makes of the steps ahead.

Every series is forecast again from where it stood 1, 2, 3 … seasons ago. What these back-tests missed weighs the
components, is the width of the intervals (conformal: quantiles of past misses, pooled over the series that are forecast
together) and the confidence. All series and all their pasts are rows of one array, so that a step of exponential
smoothing is one operation for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEASON = 7
TOTALS = (7, 30)
"""Numbers of steps whose sum gets an interval of its own: adding up the steps' would be wrong, for they miss alike."""
NEAR = 0.20
"""The confidence of a total is the chance that it lands within this fraction of its forecast."""

_ALPHAS = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.9)
"""Weights of the newest value that the smoothing is tried with."""
_INDEX_CYCLES, _SLOPE_CYCLES, _RECENT_CYCLES = 12, 8, 4
"""Seasons that say the shape of a season, the slope, and the present level."""
_SLOPE_SHARE, _DAMPING, _SLOPE_LIMIT = 0.5, 0.95, 0.01
"""Of a slope half is believed, less with every step (Gardner & McKenzie 1985), and at most 1 % of the level a step."""
_LEAST_INDEX = 0.02
"""What a position of the season stands at least at, for values are divided by it."""
_LEAST_OF_MEAN = 0.7
"""Where medians make less than this of the means, as where most days are empty, only smoothing is used: a forecast of
nothing misses by least on most days, and by all of the money in sum."""
_LARGEST_LEAP = 2.0
"""A value above so many times the second greatest that is known counts as that: one such day says nothing of the next,
and were else projected for weeks. What comes twice is believed."""
_LONG_SEASON = {24: 168}
"""Hours have a week beside the day."""

_ORIGINS = 8
"""Back-tests a series, a season apart."""
_WEIGHT_ORIGINS, _WEIGHT_POWER = 4, 3
"""Earlier origins whose errors weigh the components, and the power by which an error takes weight."""
_TINY = 1e-9
"""Of series scaled to a greatest value between 1 and 2: what is as good as nothing."""
_CHUNK = 256
"""Series whose pasts are held in memory at once."""

_WIDENING = 1.05
"""Intervals are this much wider than the back-tests' own: what comes differs more than the past from itself."""
_STEP_PSEUDO, _TOTAL_PSEUDO = 14, 5
"""Tries, of a step and of a total, as many as which the mean miss of all series counts beside a series' own."""
_MANY_TRIES = 20
"""Tries of seasoned series from which those of younger ones are not needed."""
_SHAPE_POINTS = 20
"""Points of the half-normal that stand beside the pooled misses, so that a few of them already have a tail."""
_LARGEST_RATIO = 10.0
"""No interval of a total reaches further: after a leap of orders of magnitude the tail would leave every measure."""
_FLOOR = 0.02
"""Share of the recent level added to both sides of a ratio of totals, which near zero says nothing."""


@dataclass(frozen=True)
class Interval:
    """An expected amount with the ends of its intervals, each None where there is nothing to tell them from."""

    expected: float
    lo80: float | None
    hi80: float | None
    lo95: float | None
    hi95: float | None


@dataclass(frozen=True)
class Total(Interval):
    """A sum of steps; `confidence` is the chance, 0-1, that it lands within 20 % of what is expected.

    It is None like the ends: below a season of history, after four seasons of nothing but zeros, and where no series
    forecast together is old enough to have been tried.
    """

    confidence: float | None


@dataclass(frozen=True)
class Forecast:
    """What lies ahead of one series, in its unit.

    Attributes:
        days: Expected amount of each step ahead, shape (horizon,), never negative.
        halves: Half the width of the 80 % and the 95 % interval of a step; NaN where no series could be tried.
        totals: By number of steps, the sum of the first so many.
    """

    days: Array
    halves: tuple[float, float]
    totals: dict[int, Total]

    def day(self, ahead: int) -> Interval:
        """One step; `ahead` counts from 0."""
        expected = float(self.days[ahead])
        ends = [(max(expected - half, 0.0), expected + half) for half in self.halves]
        return Interval(expected, *_known(*ends[0], *ends[1]))


@dataclass(frozen=True)
class _Tests:
    """The series forecast from the end and from each origin before it; n series, origins 0 (now) to 8.

    Attributes:
        expected: What was forecast, shape (n, 9, horizon).
        actual: What came, same shape; NaN where it has not come yet.
        known: Number of values known at the origin, shape (n, 9).
        level: Mean of the four seasons before the origin, a lone leap limited, shape (n, 9).
        scale: Mean absolute difference of values a season apart, a lone leap limited, shape (n,).
    """

    expected: Array
    actual: Array
    known: Array
    level: Array
    scale: Array


@dataclass(frozen=True)
class _Misses:
    """Past misses of every series, relative to the series' own typical one.

    Attributes:
        typical: A series' mean miss, drawn to that of the pool, shape (n,).
        shape: Misses over the typical one of their series, sorted, those of the half-normal among them.
        shares: The share of misses up to each of `shape`, 0-1.
    """

    typical: Array
    shape: Array
    shares: Array

    def quantiles(self, *levels: float) -> Array:
        """Shape (levels, 1)."""
        return np.interp(levels, self.shares, self.shape)[:, None]

    def share_within(self, misses: Array) -> Array:
        """The share of misses that are at most as large."""
        return np.interp(misses, self.shape, self.shares, left=0.0, right=1.0)


def forecasts(
    histories: Sequence[Sequence[float] | Array],
    horizon: int,
    *,
    season: int = SEASON,
    totals: Sequence[int] = TOTALS,
) -> list[Forecast]:
    """Forecast series of one kind together: each by its own past, the intervals from the misses of all.

    Components (each needs two seasons): simple exponential smoothing of the deseasonalised series, with and without
    half a damped Theil-Sen slope; seasonal naive; the median shape of the last four seasons at the smoothed level; the
    median of the last four values of the same position. Hours (season 24) also get the first, third and fourth over
    the week. Their weights are the inverse cubes of their median absolute errors from four earlier origins. Where most
    steps are empty only smoothing is used; below two seasons, the mean of the last one. Intervals are conformal
    (Vovk, Gammerman & Shafer 2005): a series' own typical miss, drawn to that of all, times a quantile of the misses
    of all over their typical ones; a step's in units of the series, a total's as a ratio.

    Args:
        histories: Totals of consecutive steps, the newest last, each at least one; finite.
        horizon: Number of steps ahead.
        season: Steps of a season.
        totals: Numbers of steps, at most `horizon`, whose sums are wanted.

    Returns:
        One forecast a series, in order.

    Raises:
        ValueError: A history is empty or holds a value that is not finite.
    """
    if len(histories) == 0:
        return []
    series = [np.asarray(history, dtype=float) for history in histories]
    for values in series:
        if values.size == 0 or not np.isfinite(values).all():
            raise ValueError("a forecast needs at least one step of history and finite values: leave out other series")
    units = [_unit(float(np.abs(values).max())) for values in series]
    tests = _tests([values / unit for values, unit in zip(series, units, strict=True)], horizon, season)
    halves = _step_halves(tests, season)
    reaches = {count: _total_reaches(tests, count, season) for count in totals}
    return [
        Forecast(
            tests.expected[i, 0] * unit,
            (float(halves[0, i]) * unit, float(halves[1, i]) * unit),
            {count: _total(tests, i, unit, count, reach) for count, reach in reaches.items()},
        )
        for i, unit in enumerate(units)
    ]


def _unit(largest: float) -> float:
    """The power of two below an amount: dividing by it loses nothing."""
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0 else 1.0


# The forecasts of now and of the past


def _tests(series: Sequence[Array], horizon: int, season: int) -> _Tests:
    parts = [_tested(series[i : i + _CHUNK], horizon, season) for i in range(0, len(series), _CHUNK)]
    return _Tests(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Tests.__dataclass_fields__))


def _tested(series: Sequence[Array], horizon: int, season: int) -> _Tests:
    stride = max(1, horizon // (2 * season))
    looked_at = max(horizon, 2 * season)
    pasts = _pasts(series, _ORIGINS + _WEIGHT_ORIGINS * stride, season)
    actual = _futures(pasts[:, 0], pasts.shape[1], looked_at, season)
    pasts = _without_leap(pasts)
    components = _components(pasts, looked_at, season)
    errors = np.abs(components - actual)
    known = np.sum(~np.isnan(pasts), axis=-1)
    expected = np.stack(
        [
            _mixed(components[:, :, k], _errors_before(errors, k, stride, min(horizon, 2 * season), season))
            for k in range(_ORIGINS + 1)
        ],
        axis=1,
    )
    kept = slice(0, _ORIGINS + 1)
    young = known[:, kept] < 2 * season
    expected = np.where(young[..., None], _mean_of_last(pasts[:, kept], season)[..., None], expected)
    return _Tests(
        np.maximum(expected[..., :horizon], 0.0),
        actual[:, kept, :horizon],
        known[:, kept],
        np.maximum(_mean_of_last(pasts[:, kept], _RECENT_CYCLES * season), 0.0),
        _seasonal_differences(pasts[:, 0], season),
    )


def _pasts(series: Sequence[Array], origins: int, season: int) -> Array:
    """Every series as it stood k seasons before its end, right-aligned, shape (n, origins + 1, longest)."""
    longest = max(values.size for values in series)
    pasts = np.full((len(series), origins + 1, longest), np.nan)
    for i, values in enumerate(series):
        for k in range(origins + 1):
            past = values[: max(values.size - k * season, 0)]
            pasts[i, k, longest - past.size :] = past
    return pasts


def _without_leap(pasts: Array) -> Array:
    """The values, the greatest of each row limited by the second greatest, where that is anything."""
    ordered = np.sort(np.nan_to_num(pasts, nan=-np.inf), axis=-1)
    second = ordered[..., -2:-1]
    return np.where(second > _TINY, np.minimum(pasts, _LARGEST_LEAP * second), pasts) if second.size else pasts


def _futures(values: Array, origins: int, horizon: int, season: int) -> Array:
    """What came after each origin, shape (n, origins, horizon); NaN where it has not come yet."""
    futures = np.full((values.shape[0], origins, horizon), np.nan)
    for k in range(1, origins):
        first = values.shape[1] - k * season
        if first >= 0:
            came = values[:, first : first + min(horizon, k * season)]
            futures[:, k, : came.shape[1]] = came
    return futures


def _errors_before(errors: Array, k: int, stride: int, horizon: int, season: int) -> Iterator[Array]:
    """Mean absolute errors, shape (components, n), of forecasts made `stride` seasons apart before origin k."""
    for back in range(stride, (_WEIGHT_ORIGINS + 1) * stride, stride):
        yield errors[:, :, k + back, : min(horizon, back * season)].mean(axis=-1)


def _mixed(components: Array, errors: Iterator[Array]) -> Array:
    """The weighted mean of the components, shape (n, horizon); alike where nothing could be tested."""
    typical = _median(np.stack(list(errors)), axis=0)
    usable = ~np.isnan(components[..., 0])
    tried = usable & ~np.isnan(typical)
    weights = np.where(tried, np.maximum(typical, _TINY) ** -_WEIGHT_POWER, usable & ~tried.any(axis=0))
    shares = weights / np.maximum(weights.sum(axis=0), _TINY)
    mixed: Array = np.sum(shares[..., None] * np.nan_to_num(components), axis=0)
    return mixed


def _mean_of_last(values: Array, count: int) -> Array:
    """The mean of the last known values along the last axis; 0 where nothing is known."""
    last = values[..., -count:]
    mean: Array = np.nansum(last, axis=-1) / np.maximum(np.sum(~np.isnan(last), axis=-1), 1)
    return mean


def _seasonal_differences(values: Array, season: int) -> Array:
    """Mean absolute difference of values a season apart; of neighbours where there are less than a season of pairs."""
    known = np.sum(~np.isnan(values), axis=-1)
    apart = np.nansum(np.abs(values[:, season:] - values[:, :-season]), axis=-1) / np.maximum(known - season, 1)
    neighbours = np.nansum(np.abs(np.diff(values)), axis=-1) / np.maximum(known - 1, 1)
    scale: Array = np.where(known >= 2 * season, apart, neighbours)
    return scale


# Components


def _components(pasts: Array, horizon: int, season: int) -> Array:
    """The forecast of each component from each origin, shape (components, n, origins, horizon); NaN if too young."""
    rows = pasts.reshape(-1, pasts.shape[-1])
    found = _of_season(rows, horizon, season)
    if season in _LONG_SEASON:
        trended, _, naive, shaped, _ = _of_season(rows, horizon, _LONG_SEASON[season])
        found += [trended, naive, shaped]
    return np.maximum(np.stack(found), 0.0).reshape(len(found), *pasts.shape[:-1], horizon)


def _of_season(rows: Array, horizon: int, season: int) -> list[Array]:
    index = _season_index(rows, season)
    level, plain = _smoothed(rows, index)
    slope = _SLOPE_SHARE * _theil_sen(_cycles(plain, season, _SLOPE_CYCLES).mean(axis=-1)) / season
    slope = np.clip(slope, -_SLOPE_LIMIT * np.abs(level), _SLOPE_LIMIT * np.abs(level))
    damped = np.cumsum(_DAMPING ** np.arange(1, horizon + 1))
    recent = _cycles(rows, season, _RECENT_CYCLES)
    position = np.arange(horizon) % season
    middle = _median(recent, axis=-2)
    found = [
        (level[:, None] + slope[:, None] * damped) * index[:, position],
        level[:, None] * index[:, position],
        recent[:, -1][:, position],
        level[:, None] * _shape(recent)[:, position],
        middle[:, position],
    ]
    old_enough = np.sum(~np.isnan(rows), axis=-1) >= 2 * season
    told = old_enough & ~(middle.mean(axis=-1) < _LEAST_OF_MEAN * recent.mean(axis=(-1, -2)))
    return [np.where((old_enough if k < 2 else told)[:, None], values, np.nan) for k, values in enumerate(found)]


def _cycles(rows: Array, season: int, count: int) -> Array:
    """The last whole seasons, shape (rows, count, season), NaN before the first value."""
    missing = max(count * season - rows.shape[-1], 0)
    padded = np.pad(rows, ((0, 0), (missing, 0)), constant_values=np.nan)
    return padded[:, padded.shape[-1] - count * season :].reshape(-1, count, season)


def _season_index(rows: Array, season: int) -> Array:
    """What the positions of a season stand at, shape (rows, season), mean 1: medians of value over centred mean."""
    reversed_sums = np.cumsum(rows[:, ::-1], axis=-1)[:, ::-1]  # from the end, for the NaN stand at the beginning
    ends = np.pad(reversed_sums, ((0, 0), (0, 1)))
    means = (ends[:, :-season] - ends[:, season:]) / season if rows.shape[-1] >= season else ends[:, :0]
    if season % 2 == 0:
        means = (means[:, :-1] + means[:, 1:]) / 2
    ratios = np.full(rows.shape, np.nan)
    inner = slice(season // 2, season // 2 + means.shape[-1])
    np.divide(rows[:, inner], means, out=ratios[:, inner], where=means > _TINY)
    cycles = _cycles(ratios, season, _INDEX_CYCLES)
    count = np.sum(~np.isnan(cycles), axis=-2)
    index = (count * np.nan_to_num(_median(cycles, axis=-2)) + 1) / (count + 1)
    normalised: Array = index / np.maximum(index.mean(axis=-1, keepdims=True), _LEAST_INDEX)
    return np.maximum(normalised, _LEAST_INDEX)


def _smoothed(rows: Array, index: Array) -> tuple[Array, Array]:
    """The last level of exponential smoothing, shape (rows,), and the deseasonalised rows.

    The alpha of each row is the one with the smallest squared one-step error. A position below the mean moves the level
    less: of a weekend without work nothing can be learnt of the week.
    """
    season, length = index.shape[-1], rows.shape[-1]
    spread = index[:, (np.arange(length) - length) % season]
    known = ~np.isnan(rows)
    first = known & (np.cumsum(known, axis=-1) <= season)
    start = np.where(first, rows, 0.0).sum(axis=-1) / np.maximum(np.where(first, spread, 0.0).sum(axis=-1), _TINY)
    plain = rows / spread
    alphas = np.array(_ALPHAS)
    level = np.repeat(start[:, None], alphas.size, axis=1)
    error = np.zeros_like(level)
    values, learnt, judged = (
        np.ascontiguousarray(matrix.T)[..., None]
        for matrix in (np.nan_to_num(plain), np.where(known, np.minimum(spread, 1.0), 0.0), spread * (known & ~first))
    )
    for t in range(length):
        miss = values[t] - level
        error += judged[t] * miss * miss
        level += learnt[t] * alphas * miss
    return np.take_along_axis(level, error.argmin(axis=-1)[:, None], axis=-1)[:, 0], plain


def _theil_sen(values: Array) -> Array:
    """The median slope between any two values of a row, per step (Theil 1950, Sen 1968); 0 without a pair."""
    i, j = np.triu_indices(values.shape[-1], 1)
    return np.nan_to_num(_median((values[:, j] - values[:, i]) / (j - i), axis=-1))


def _shape(cycles: Array) -> Array:
    """The median of seasons over their means, shape (rows, season), mean 1; flat where all is zero."""
    means = cycles.mean(axis=-1, keepdims=True)
    over = np.full(cycles.shape, np.nan)
    np.divide(cycles, means, out=over, where=means > 0)
    shape = np.nan_to_num(_median(over, axis=-2), nan=1.0)
    mean = shape.mean(axis=-1, keepdims=True)
    return np.where(mean > 0, shape / np.where(mean > 0, mean, 1.0), 1.0)


def _median(values: Array, axis: int) -> Array:
    """The median without the NaN, which numpy's own finds row by row."""
    ordered = np.sort(values, axis=axis)
    count = np.sum(~np.isnan(values), axis=axis, keepdims=True)
    lower = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    upper = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.squeeze((lower + upper) / 2, axis)


# Intervals


def _step_halves(tests: _Tests, season: int) -> Array:
    """Half the width of a step's 80 % and 95 % interval, shape (2, n); NaN where there is none."""
    missed = np.abs(tests.expected - tests.actual)[:, 1:] / np.maximum(tests.scale, _TINY)[:, None, None]
    misses = _misses(missed, tests.known[:, 1:, None], season, _STEP_PSEUDO)
    if misses is None:
        return np.full((2, len(missed)), np.nan)
    halves = _WIDENING * misses.typical * tests.scale * misses.quantiles(0.80, 0.95)
    return np.where(tests.known[:, 0] >= season, halves, np.nan)


def _total_reaches(tests: _Tests, count: int, season: int) -> Array:
    """How many times larger or smaller a total may be at 80 % and 95 %, and its confidence, shape (3, n); NaN for none.

    Where no series is old enough to have tried so long a sum, the misses of one season's stand for it: of costs they
    are about as large (benchmarks/accuracy).
    """
    known = tests.known[:, 1:]
    misses = _misses(_total_misses(tests, count), known, season, _TOTAL_PSEUDO)
    if misses is None:
        misses = _misses(_total_misses(tests, season), known, season, _TOTAL_PSEUDO)
    if misses is None:
        return np.full((3, len(tests.known)), np.nan)
    reach = np.exp(np.minimum(_WIDENING * misses.typical * misses.quantiles(0.80, 0.95), math.log(_LARGEST_RATIO)))
    near = misses.share_within(math.log1p(NEAR) / np.maximum(misses.typical, _TINY))
    judged = (tests.known[:, 0] >= season) & (tests.level[:, 0] > 0)
    return np.where(judged, np.vstack([reach, near]), np.nan)


def _total(tests: _Tests, i: int, unit: float, count: int, reaches: Array) -> Total:
    expected = float(tests.expected[i, 0, :count].sum())
    floor = _FLOOR * float(tests.level[i, 0]) * count
    was_nothing = (tests.actual[i, 1:, :count].sum(axis=-1) <= 0).any()
    least = 0.0 if was_nothing else 1.0  # a ratio never comes down to nothing
    ends = [
        (least * max((expected + floor) / reach - floor, 0.0), (expected + floor) * reach - floor)
        for reach in reaches[:2, i]
    ]
    # the floor put on and taken off again may leave a rounding error on the wrong side
    lo80, hi80, lo95, hi95 = (f(end, expected) for pair in ends for f, end in zip((min, max), pair, strict=True))
    scaled = (float(end) * unit for end in (lo80, hi80, lo95, hi95))
    return Total(expected * unit, *_known(*scaled, float(reaches[2, i])))


def _known(*values: float) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else float(value) for value in values)


def _total_misses(tests: _Tests, count: int) -> Array:
    """|ln(actual / expected)| of sums of so many steps, shape (n, 8); NaN where they could not be tried."""
    floor = _FLOOR * tests.level[:, 1:] * count
    expected, actual = (values[:, 1:, :count].sum(axis=-1) for values in (tests.expected, tests.actual))
    tried = ~np.isnan(actual) & (floor > _TINY)
    ratio = np.divide(np.maximum(actual, 0.0) + floor, expected + floor, out=np.ones_like(floor), where=tried)
    return np.where(tried, np.abs(np.log(ratio)), np.nan)


def _misses(missed: Array, known: Array, season: int, pseudo: int) -> _Misses | None:
    """The typical miss of each series and the shape of all; None where nothing was tried.

    Tries from before two seasons missed by more than what is said now, and count only while there are few others.

    Args:
        missed: Absolute misses, shape (n, origins) or (n, origins, steps), NaN for none.
        known: Number of values known at each origin, to be broadcast to `missed`.
        season: Steps of a season.
        pseudo: Number of tries that the mean of all counts as beside a series' own.
    """
    seasoned, borderline = (np.where(known >= count * season, missed, np.nan) for count in (2, 1))
    missed = seasoned if np.sum(~np.isnan(seasoned)) >= _MANY_TRIES else borderline
    missed = missed.reshape(len(missed), -1)
    tries, sums = np.sum(~np.isnan(missed), axis=-1), np.nansum(missed, axis=-1)
    if not tries.any():
        return None
    typical = (pseudo * sums.sum() / tries.sum() + sums) / (pseudo + tries)
    relative = missed / np.maximum(typical, _TINY)[:, None]
    shape = np.sort(np.concatenate([relative[~np.isnan(relative)], _half_normal(_SHAPE_POINTS)]))
    return _Misses(typical, shape, (np.arange(shape.size) + 0.5) / shape.size)


def _half_normal(points: int) -> Array:
    """Evenly spread quantiles of |z| over their mean, ascending."""
    quantiles: Array = np.array([NormalDist().inv_cdf(0.5 + (i + 0.5) / (2 * points)) for i in range(points)])
    return quantiles / float(quantiles.mean())
