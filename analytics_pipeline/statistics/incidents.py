"""How rare an hour is.

Belongs here: the scores of few failures and of the many places that are looked at. Does not belong here: summing the
sessions' scores (sql/incident_*.sql), which hours make an incident (insights/anomalies.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_LEAST_P = 1e-300


def poisson_z(count: ArrayLike, expected: ArrayLike) -> Floats:
    """The standard normal score as rare as so many events or more, by the mid-p of a Poisson distribution.

    Mid-p (Lancaster 1961) counts half of what is exactly as many: without it few events never are as rare as they are.

    Args:
        count: Events, >= 0, shape (n,).
        expected: Their mean, >= 0, shape (n,).

    Returns:
        Scores up to 38, shape (n,); 0 where nothing was expected and nothing came.
    """
    import numpy as np
    from scipy.special import gammaln, ndtri, pdtrc, xlogy

    k, mean = np.asarray(count, dtype=float), np.asarray(expected, dtype=float)
    p = pdtrc(k, mean) + 0.5 * np.exp(xlogy(k, mean) - mean - gammaln(k + 1))
    z: Floats = -ndtri(np.clip(p, _LEAST_P, 1 - 1e-16))
    return z


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
