"""How far a tool can be trusted to succeed, from how often it was used and how often it succeeded.

Belongs here: the Beta posterior of a success rate and the words made from it. Does not belong here: how executions are
counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PRIOR_SUCCESSES = 4.5
PRIOR_FAILURES = 0.5
"""A tool never seen is taken to succeed in 90 % of the cases, as firmly as 5 executions would say."""

HIGH_NEEDS_EXECUTIONS = 10
HIGH_NEEDS_PROBABILITY = 0.75
"""10 of 10 pass (0.773); with one failure 37 executions are needed."""

LOW_NEEDS_EXECUTIONS = 3
LOW_NEEDS_PROBABILITY = 0.5
"""More likely than not, and not on one or two failures: a warning may be wrong sooner than trust may."""

_LATEST_WEIGHT = 0.05
"""Of the newest execution in the recent success rate (sql/tool_days.sql)."""

_Z95 = 1.959963984540054

Level = Literal["HIGH", "MEDIUM", "LOW"]


@dataclass(frozen=True)
class Confidence:
    """What the counts of a tool say.

    Attributes:
        level: HIGH, MEDIUM or LOW.
        lower_bound: Lower 95 % Wilson bound of the success rate, for sorting; None without executions.
        p_high: Probability that the true success rate is above the high line.
        p_low: Probability that the true success rate is below the low line.
    """

    level: Level
    lower_bound: float | None
    p_high: float
    p_low: float


def tool_confidences(counts: Sequence[tuple[int, int]], high: float, low: float) -> list[Confidence]:
    """The confidence of each pair of (executions, successes).

    Args:
        counts: Pairs with 0 <= successes <= executions.
        high: Success rate from which a tool counts as trusted, 0-1.
        low: Success rate below which it counts as bad, 0-1.

    Returns:
        One a pair, in their order.
    """
    if not counts:
        return []
    import numpy as np
    from scipy.special import betainc

    executions, successes = np.asarray(counts, dtype=float).T
    a, b = PRIOR_SUCCESSES + successes, PRIOR_FAILURES + executions - successes
    p_high, p_low = 1 - betainc(a, b, high), betainc(a, b, low)
    return [
        Confidence(_level(n, float(above), float(below)), wilson_lower_bound(n, k), float(above), float(below))
        for (n, k), above, below in zip(counts, p_high, p_low, strict=True)
    ]


def _level(executions: int, p_high: float, p_low: float) -> Level:
    if executions >= HIGH_NEEDS_EXECUTIONS and p_high >= HIGH_NEEDS_PROBABILITY:
        return "HIGH"
    if executions >= LOW_NEEDS_EXECUTIONS and p_low >= LOW_NEEDS_PROBABILITY:
        return "LOW"
    return "MEDIUM"


def wilson_lower_bound(executions: int, successes: int) -> float | None:
    """The lower end of the 95 % interval of a success rate (Wilson 1927), 0-1; None without executions."""
    if executions == 0:
        return None
    rate, z2 = successes / executions, _Z95**2
    spread = _Z95 * math.sqrt(rate * (1 - rate) / executions + z2 / (4 * executions**2))
    return max(0.0, (rate + z2 / (2 * executions) - spread) / (1 + z2 / executions))


def recent_deviation(rate: float) -> float:
    """The standard deviation of the exponentially weighted success rate of a tool whose true rate never changes.

    Args:
        rate: The true success rate, 0-1.

    Returns:
        A difference of rates, 0-1: sqrt(rate (1 - rate) w / (2 - w)) with w = 0.05 (Roberts 1959).
    """
    return math.sqrt(rate * (1 - rate) * _LATEST_WEIGHT / (2 - _LATEST_WEIGHT))
