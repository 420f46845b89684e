"""Whether runs fail more, or cost more, after a succession of steps.

A run that shows a pattern has come at least so far; longer runs show more patterns, and cost more. So it is compared,
at the place where it first shows the pattern, with the runs of its pipeline that came as far and had not shown it by
then (a landmark analysis, Anderson, Cain & Gelber 1983), given what is expected of inputs of its size. Belongs here:
that comparison. Does not belong here: finding the patterns, and correction for how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray

LEAST_RUNS = 20
"""Runs that show a pattern, and runs like them that do not, below which it is not tested."""


@dataclass(frozen=True)
class Outcomes:
    """What became of groups of runs, which add up; every array has the shape (places, steps) or (steps,).

    The first index is the place (from 0) where runs of the group first show a pattern, the last how many steps they
    have, less one.

    Attributes:
        finished: Runs that failed or succeeded.
        failed: Those that failed.
        expected: How many of the finished ones fail on average, given pipeline and input size.
        costs: Runs of known cost.
        excess: Sum over these of ln(cost) less its mean, given pipeline and input size.
        squares: Sum of the squares of the same.
    """

    finished: Array
    failed: Array
    expected: Array
    costs: Array
    excess: Array
    squares: Array


@dataclass(frozen=True)
class Trouble:
    """How runs fare after a pattern, against runs that came as far without it.

    Attributes:
        p_value: Probability that chance does it, the smaller of both tests, doubled.
        failure_ratio: Failures / failures expected; NaN where it cannot be tested.
        cost_ratio: Typical cost / that of the others; NaN where it cannot be tested.
    """

    p_value: float
    failure_ratio: float
    cost_ratio: float


def trouble(pattern: Outcomes, everyone: Outcomes) -> Trouble | None:
    """Test whether runs that show a pattern fail more or cost more; None where too few do, or too few do not.

    Failures by the beta-binomial tail, so that the rate of the others counts as no surer than it is; costs by Welch's t
    on logarithms. One-sided: what fails less or costs less is no trouble.

    Args:
        pattern: The runs that show it, shape (places, steps).
        everyone: All runs of the pipeline with steps of that kind, shape (steps,).

    Returns:
        The test; its p is not corrected for how many patterns are tested.
    """
    import numpy as np

    finished = _Landmarks(pattern.finished, everyone.finished)
    costs = _Landmarks(pattern.costs, everyone.costs)
    p_values, failure_ratio, cost_ratio = [], np.nan, np.nan
    if min(finished.shown.sum(), finished.effective) >= LEAST_RUNS:
        p_failed, failure_ratio = _failures(finished, pattern, everyone)
        p_values.append(p_failed)
    if min(costs.shown.sum(), costs.effective) >= LEAST_RUNS:
        p_cost, cost_ratio = _costs(costs, pattern, everyone)
        p_values.append(p_cost)
    if not p_values:
        return None
    return Trouble(min(2 * min(p_values), 1.0), float(failure_ratio), float(cost_ratio))


class _Landmarks:
    """How many runs first show the pattern at each place, and how many came as far without it.

    Args:
        pattern: Counts of the runs that show it, shape (places, steps).
        everyone: Counts of all runs, shape (steps,).

    Attributes:
        shown: Runs that first show it at a place where others did not, shape (places,).
        others: Runs that came as far and had not shown it by then, shape (places,).
        effective: How many independent runs the others are worth: the same ones are others at many places.
    """

    def __init__(self, pattern: Array, everyone: Array) -> None:
        import numpy as np

        self.others = _came_without(pattern, everyone)
        self.usable = self.others > 0
        self.shown = np.where(self.usable, pattern.sum(axis=1), 0)
        larger = np.maximum.outer(self.others, self.others)
        weight = np.outer(self.shown, self.shown)[np.ix_(self.usable, self.usable)]
        shared = float((weight / larger[np.ix_(self.usable, self.usable)]).sum())
        self.effective = float(self.shown.sum()) ** 2 / shared if shared > 0 else 0.0


def _came_without(pattern: Array, everyone: Array) -> Array:
    """Sum over the runs that have at least so many steps and do not show the pattern up to that place."""
    import numpy as np

    came = np.cumsum(everyone[::-1])[::-1][: pattern.shape[0]]
    shown_before = np.cumsum(pattern, axis=0)  # by any place up to each
    still = np.cumsum(shown_before[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(came - np.diagonal(still)[: came.size])


def _failures(landmarks: _Landmarks, pattern: Outcomes, everyone: Outcomes) -> tuple[float, float]:
    import numpy as np

    use = landmarks.usable
    failed = _came_without(pattern.failed, everyone.failed)[use]
    expected = _came_without(pattern.expected, everyone.expected)[use]
    factor = np.where(expected > 0, failed / np.maximum(expected, 1e-12), 0.0)
    runs = int(landmarks.shown.sum())
    seen = int(pattern.failed.sum(axis=1)[use].sum())
    due = float((pattern.expected.sum(axis=1)[use] * factor).sum())
    others, rate = landmarks.effective, min(due / runs, 1.0)
    p_value = _mid_p(seen, runs, others * rate + 0.5, others * (1 - rate) + 0.5)
    return p_value, seen / due if due > 0 else (np.inf if seen else 1.0)


def _mid_p(seen: int, runs: int, a: float, b: float) -> float:
    """Probability of more than `seen` of so many runs under a beta-binomial, and half that of just as many.

    By its own sum, which is ten times as fast as the distribution object of scipy, and true in the far tail.
    """
    import numpy as np
    from scipy.special import betaln

    k = np.arange(seen, runs + 1)
    p = np.exp(betaln(a + k, b + runs - k) - betaln(a, b) - betaln(runs - k + 1, k + 1)) / (runs + 1)
    return min(float(p.sum() - 0.5 * p[0]), 1.0)


def _costs(landmarks: _Landmarks, pattern: Outcomes, everyone: Outcomes) -> tuple[float, float]:
    import numpy as np
    from scipy.special import stdtr

    use, runs = landmarks.usable, float(landmarks.shown.sum())
    usual = _came_without(pattern.excess, everyone.excess)[use] / landmarks.others[use]
    mine = pattern.excess.sum(axis=1)[use]
    difference = float((mine - landmarks.shown[use] * usual).sum()) / runs
    total = float(mine.sum())
    own = max(float(pattern.squares.sum(axis=1)[use].sum()) - total**2 / runs, 0.0) / (runs - 1)
    count = float(everyone.costs.sum())
    whole = max(float(everyone.squares.sum()) - float(everyone.excess.sum()) ** 2 / count, 0.0) / max(count - 1, 1)
    error = np.sqrt(own / runs + whole / landmarks.effective)
    if error == 0:
        return 1.0, float(np.exp(difference))
    return float(stdtr(runs - 1, -difference / error)), float(np.exp(difference))
