"""How rare an hour is, as a score scaled like a standard normal one.

Belongs here: the scores of few failures, of counts against those of earlier weeks, and of the many places that are
looked at. Does not belong here: summing the sessions' scores (sql/incident_*.sql), amounts by the tail of their own
past (anomalies.py), which hours make an incident (insights/anomalies.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_LEAST_P = 1e-300
"""Probability below which scores stop growing (at 37), for beyond it floats end."""

WEEKLY_MEMORY = 49 * 24
"""Hours (49 days) that a score by earlier weeks can depend on."""

_WEEK, _DAY = 168, 24
_USUAL = 648
"""Hours (27 days) that say how far counts stray from those of earlier weeks."""
_NEEDED = 72
"""Busy hours among these without which nothing is judged."""
_FAR = 0.98
"""Share of the usual hours that stray less than what counts as straying far."""
_BUSY = 1.0
"""Runs expected an hour from which it says how far counts stray: at night there is nothing to stray."""
_FEW_RUNS = 30.0
"""Runs an hour from which the hour itself says more than its neighbours, which smear where a day begins and ends."""
_MANY_RUNS = 70.0
"""Runs expected above which they count as so many, more or less in proportion."""
_LEVEL_RUNS = 10.0
"""Runs by which the level of the last day is drawn to that of the weeks before."""


def count_z(count: ArrayLike, expected: ArrayLike, shape: ArrayLike) -> Floats:
    """The standard normal score as rare as a count, where what is expected is known no better than the past tells it.

    By the mid-p (Lancaster 1961) of a negative binomial distribution: a Poisson one whose mean is a gamma variable.
    Mid-p counts half of what is exactly as many: without it few events never are as rare as they are.

    Args:
        count: Events, >= 0, shape (n,).
        expected: Their mean, >= 0, shape (n,).
        shape: Of the gamma distribution, > 0, shape (n,): the number of events that the mean was told from.

    Returns:
        Scores between -38 and 38, negative for fewer, shape (n,); 0 where nothing was expected and nothing came.
    """
    import numpy as np
    from scipy.special import betainc, ndtri

    k, mean, events = np.broadcast_arrays(*(np.asarray(values, dtype=float) for values in (count, expected, shape)))
    share, rest = mean / (mean + events), events / (mean + events)
    some, one_less = k > 0, np.maximum(k, 1)
    more = (betainc(k + 1, events, share) + np.where(some, betainc(one_less, events, share), 1.0)) / 2
    fewer = (betainc(events, k + 1, rest) + np.where(some, betainc(events, one_less, rest), 0.0)) / 2
    z: Floats = np.where(more < fewer, -1, 1) * ndtri(np.maximum(np.fmin(more, fewer), _LEAST_P))
    return np.where(np.isfinite(k) & (k >= 0), z, np.nan)


def binomial_z(failed: ArrayLike, expected: ArrayLike, variance: ArrayLike) -> Floats:
    """How many deviations more failed than expected, each with a probability of its own.

    Args:
        failed: Failures, shape (n,).
        expected: Sum of the probabilities, shape (n,).
        variance: Sum of p (1 - p), shape (n,).

    Returns:
        Scores, shape (n,); 0 where the variance is 0.
    """
    import numpy as np

    k, mean, spread = (np.asarray(values, dtype=float) for values in (failed, expected, variance))
    z: Floats = np.divide(k - mean, np.sqrt(spread), out=np.zeros_like(k), where=spread > 0)
    return z


def among(scores: ArrayLike, looks: ArrayLike) -> Floats:
    """The score of the greatest of several: as rare as one of so many independent looks reaching it (Sidak 1967).

    Args:
        scores: Shape (n,).
        looks: At how many places one like it was looked for, >= 1, shape (n,).

    Returns:
        Scores up to 38, shape (n,), never greater than what was given.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    found, count = np.asarray(scores, dtype=float), np.asarray(looks, dtype=float)
    p = -np.expm1(count * np.log1p(-np.clip(ndtr(-found), _LEAST_P, 1 - 1e-16)))
    z: Floats = -ndtri(np.clip(p, _LEAST_P, 1 - 1e-16))
    return z


def weekly_scores(counts: ArrayLike, hours: int = 1) -> tuple[Floats, Floats]:
    """How far the count of each hour, or of it and those before it, is off that of the same hours of two weeks.

    Each of the two weeks before expects what it had in these hours and their neighbours, by the level of the last 24
    hours. An hour strays from both, or not at all: what was odd a week ago makes nothing odd now. The score is that of
    a negative binomial distribution (a Poisson one whose mean is known from the counts of three hours), mid-p, in
    units of how far the 27 days before strayed (at least 1), by the middle of them and by the far ones.

    Args:
        counts: Whole numbers >= 0 of consecutive hours, shape (n,).
        hours: How many hours are counted together.

    Returns:
        Scores, negative for fewer, and what was expected by the mean of both weeks; shape (n,). An hour knows the
        `WEEKLY_MEMORY` hours before it and no more; the first of so many are of no use.
    """
    import numpy as np
    import pandas as pd
    from scipy.special import ndtri

    values = np.asarray(counts, dtype=float)
    came = _together(values, hours)
    weeks = [_together(_of_week(values, back), hours) for back in (1, 2)]
    one, other = (_z_of_week(came, expected) for expected in weeks)
    nearer = np.where(np.abs(one) < np.abs(other), one, other)
    z = np.where(one * other > 0, nearer, 0.0)
    has_begun = pd.Series(values).shift(2 * _WEEK).rolling(_WEEK, min_periods=1).sum().to_numpy() > 0
    is_busy = np.maximum(*weeks) >= _BUSY * hours
    past = pd.Series(np.where(has_begun & is_busy, np.abs(z), np.nan)).shift(1).rolling(_USUAL, min_periods=_NEEDED)
    middle, far = past.quantile(0.6827), past.quantile(_FAR) / ndtri((1 + _FAR) / 2)
    spread = np.fmax(1.0, np.fmax(middle.to_numpy(), far.to_numpy()))
    return z / spread, (weeks[0] + weeks[1]) / 2


def _together(values: Floats, hours: int) -> Floats:
    """The sum of each hour and those before it, always added up in the same order."""
    import numpy as np

    padded = np.concatenate([np.zeros(hours - 1), values])
    return np.asarray(sum(padded[hours - 1 - back : padded.size - back] for back in range(hours)))


def _of_week(counts: Floats, back: int) -> Floats:
    """What the same hour, with its neighbours, so many weeks before lets expect at the present level; 0: not known."""
    import numpy as np
    import pandas as pd

    own = pd.Series(counts)
    three = own.rolling(3, center=True, min_periods=1).mean()
    usual = (own + (three - own) * _FEW_RUNS / (three + _FEW_RUNS)).shift(back * _WEEK).fillna(0)
    level = own.shift(1).rolling(_DAY).sum() + _LEVEL_RUNS
    return np.asarray(np.nan_to_num((usual * level / level.shift(back * _WEEK)).to_numpy()))


def _z_of_week(counts: Floats, expected: Floats) -> Floats:
    """The score of counts by what one week expects, which was told from the counts of three hours."""
    import numpy as np

    unit = np.maximum(expected / _MANY_RUNS, 1.0)  # many runs are no surer than so few: people and batches are no dice
    events = 3 * expected / unit + 0.5  # Jeffreys' prior
    return count_z(counts / unit, events / 3, events)
