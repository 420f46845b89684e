"""What another model, fewer failures or fewer abandoned runs would save, and how sure that is.

Belongs here: the arithmetic of a switch with its guard on success, what the best week shows to be avoidable, and which
models are on the frontier. Does not belong here: prices, and which runs count for which model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_RUNS = 20
"""Runs of a model below which nothing is said of it."""
WORST_LOSS = 0.03
"""Points of success that the 90 % bound of a switch may lose."""
Z90 = 1.2815515655446004
"""The standard normal score that 90 % lie below."""
_POOL_RUNS = 20.0
"""Runs as many as which the pipeline's verbosity counts beside that of one input category."""
_POOL_PRIOR = 10.0
"""Runs as many as which no difference of verbosity counts beside the pipeline's."""
_UNKNOWN_SPREAD = 0.8
"""Deviation of ln(cost) where fewer than 2 runs are known: a usual one of runs of one input category."""


@dataclass(frozen=True)
class Work:
    """Runs of one pipeline and input category by one model.

    Attributes:
        finished: Runs that succeeded or failed.
        succeeded: Those that succeeded.
        priced: Finished runs whose cost is known in full.
        cost: Sum of the cost of these, USD.
        model_cost: The part of it that the model's own calls make, USD.
        spread: Sample standard deviation of ln(cost of the model's calls); None below 2 runs.
    """

    finished: int
    succeeded: int
    priced: int
    cost: float
    model_cost: float
    spread: float | None = None


@dataclass(frozen=True)
class Stratum:
    """One input category in which the current model did work that a candidate might.

    Attributes:
        name: The input category.
        current: The current model's work.
        candidate: The candidate's own work there.
        repriced: What the current model's calls would cost at the candidate's prices, USD.
    """

    name: str | None
    current: Work
    candidate: Work
    repriced: float


@dataclass(frozen=True)
class Switch:
    """What a switch of one stratum would do; money in USD over the runs of the current model.

    Attributes:
        stratum: What it is about.
        verbosity: Cost of the candidate's work / price ratio alone: above 1 where it says more than the current model.
        current_success: Success rate of the current model, 0-1.
        candidate_success: Success rate of the candidate, 0-1.
        loss: Upper 90 % bound of the success that is lost, in points as a fraction.
        saving: Expected saving; the cost of as many successes as now.
        deviation: Standard deviation of the saving.
        recommended: Whether it saves, on enough runs of both, without a loss of success beyond 3 points.
    """

    stratum: Stratum
    verbosity: float
    current_success: float
    candidate_success: float
    loss: float
    saving: float
    deviation: float
    recommended: bool


def switches(strata: Sequence[Stratum]) -> list[Switch]:
    """What the switch from one model to one candidate would do in each input category of a pipeline.

    The current model's tokens at the candidate's prices, times how much more the candidate was seen to spend than that
    (shrunk to the pipeline's mean, as if 20 runs said so, and that to none with 10). Success by Jeffreys' posterior.
    Failed runs are repeated until they succeed, under either model: saving = cost - candidate's cost x success of the
    current / success of the candidate.

    Args:
        strata: At most one an input category; those without priced runs of the current model or without a re-priced
            cost are left out of the answer.

    Returns:
        One a stratum that is not left out, in their order.
    """
    able = [stratum for stratum in strata if stratum.current.priced > 0 and stratum.repriced > 0]
    pool = _pooled([_verbosity(stratum) for stratum in able])
    return [_switch(stratum, pool) for stratum in able]


def _verbosity(stratum: Stratum) -> tuple[float, int]:
    """Log of how much more a run of the candidate costs than a re-priced one, and on how many runs that rests."""
    candidate = stratum.candidate
    if candidate.priced == 0 or candidate.model_cost <= 0:
        return 0.0, 0
    per_run = candidate.model_cost / candidate.priced
    return math.log(per_run / (stratum.repriced / stratum.current.priced)), candidate.priced


def _pooled(verbosities: Sequence[tuple[float, int]]) -> float:
    return math.fsum(value * runs for value, runs in verbosities) / (sum(runs for _, runs in verbosities) + _POOL_PRIOR)


def _switch(stratum: Stratum, pool: float) -> Switch:
    current, candidate = stratum.current, stratum.candidate
    own, runs = _verbosity(stratum)
    verbosity = (runs * own + _POOL_RUNS * pool) / (runs + _POOL_RUNS)
    before, before_variance = _success(current.succeeded, current.finished)
    after, after_variance = _success(candidate.succeeded, candidate.finished)
    switched = current.cost - current.model_cost + stratum.repriced * math.exp(verbosity)
    repeated = switched * before / after
    saving = current.cost - repeated
    log_variance = _spread(candidate) ** 2 / (runs + _POOL_RUNS) + _spread(current) ** 2 / current.priced
    deviation = repeated * math.sqrt(before_variance / before**2 + after_variance / after**2 + log_variance)
    loss = before - after + Z90 * math.sqrt(before_variance + after_variance)
    return Switch(
        stratum=stratum,
        verbosity=math.exp(verbosity),
        current_success=before,
        candidate_success=after,
        loss=loss,
        saving=saving,
        deviation=deviation,
        recommended=min(current.finished, candidate.finished) >= LEAST_RUNS and saving > 0 and loss <= WORST_LOSS,
    )


def _success(succeeded: int, finished: int) -> tuple[float, float]:
    """Mean and variance of the success rate after Jeffreys' prior."""
    mean = (succeeded + 0.5) / (finished + 1)
    return mean, mean * (1 - mean) / (finished + 2)


def _spread(work: Work) -> float:
    return _UNKNOWN_SPREAD if work.spread is None else work.spread


def lower_bound(switched: Iterable[Switch]) -> float:
    """The lower 90 % bound of the saving of several strata together, USD."""
    found = list(switched)
    deviation = math.sqrt(math.fsum(switch.deviation**2 for switch in found))
    return math.fsum(switch.saving for switch in found) - Z90 * deviation


@dataclass(frozen=True)
class Avoidable:
    """What of a loss the best week shows to be avoidable.

    Attributes:
        rate: Share of all units that were lost, 0-1.
        target: Share in the best week, 0-1.
        share: Share of the loss that goes away at the target, 0-1.
        share_lo: The same at the upper bound of the target.
    """

    rate: float
    target: float
    share: float
    share_lo: float


def avoidable(weeks: Sequence[tuple[int, int]], rest: tuple[int, int] = (0, 0)) -> Avoidable | None:
    """How much less would be lost if every week were as good as the best one; None where chance explains that week.

    The best of several weeks is good by chance too: its rate counts with the upper 90 % bound over all weeks (Beta
    posterior after Jeffreys, Bonferroni), which must lie below the rate of all.

    Args:
        weeks: (units, lost units) of each complete week; weeks of fewer than 20 units are not judged.
        rest: The same of the days outside complete weeks.

    Returns:
        None as well where nothing was lost, or no week has as many as 20 units.
    """
    from scipy.special import betaincinv

    units, lost = (sum(counts) for counts in zip(*weeks, rest, strict=True))
    judged = [week for week in weeks if week[0] >= LEAST_RUNS]
    if not judged or lost == 0:
        return None
    best = min(judged, key=lambda week: (week[1] / week[0], -week[0]))
    rate, target = lost / units, best[1] / best[0]
    bound = float(betaincinv(best[1] + 0.5, best[0] - best[1] + 0.5, 1 - 0.10 / len(judged)))
    if max(bound, target) >= rate:
        return None
    return Avoidable(rate, target, 1 - target / rate, 1 - bound / rate)


def on_frontier(models: Sequence[tuple[float | None, float | None, float | None]]) -> list[bool | None]:
    """Whether no other model is better in one respect and no worse in the others.

    Args:
        models: (cost per success, success rate, median duration) of each; an unknown duration is the longest.

    Returns:
        One a model, in their order; None where its success rate is unknown, or its cost although it had successes.
    """
    known = [_respects(model) for model in models]
    others = [respects for respects in known if respects is not None]
    return [None if mine is None else not any(_dominates(other, mine) for other in others) for mine in known]


def _respects(model: tuple[float | None, float | None, float | None]) -> tuple[float, ...] | None:
    """Each respect as a number of which less is better; a model that never succeeds costs without end."""
    cost, rate, duration = model
    if rate is None or (cost is None and rate > 0):
        return None
    return (math.inf if cost is None else cost, -rate, math.inf if duration is None else duration)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))
