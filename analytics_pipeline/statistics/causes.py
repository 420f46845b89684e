"""What a change comes from: which cell of the dimensions moved, and how much of it is volume, size or price.

Belongs here: scoring cells (a cell is a pipeline, a model, a pipeline with a model ...) by how well they explain a
change, and the exact split of a cell's. Does not belong here: summing calls and runs to cells (`sql/cause_*.sql`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEAST_SHARE = 0.05
"""Of the whole change: a cell below it explains nothing."""

SURE_GAIN = 4.0
"""Log-likelihood that the best of all cells gains in one of twenty cases where no cell moved on its own."""

SURE_SCORE = 0.5
"""The score of a cause with just that gain."""

EVEN_SCORE = 0.2
"""The score of the whole: a cell below it is less of a cause than that all moved alike."""

_NEARLY_ALL = 0.999
"""Share of the whole from which a cell says no more than the whole does."""

_PAIR_PENALTY = 0.7
"""Log-likelihood that a second dimension costs: there are more pairs than single cells, and one of them always fits."""

Dims = Mapping[str, str | None]


@dataclass(frozen=True)
class Cell:
    """Sums over the leaves of a cell; a leaf is one combination of all dimensions.

    Attributes:
        dims: Names and values of its dimensions, one or two; none for the whole.
        previous: Sum of the earlier period, in the later one's length.
        current: Sum of the later period.
        before: Sum of previous / d over the leaves, d being the variance of a leaf's sum over that sum: how many
            independent runs that is worth.
        after: Sum of current / d.
    """

    dims: Dims
    previous: float
    current: float
    before: float
    after: float

    @property
    def change(self) -> float:
        """Current less previous."""
        return self.current - self.previous


@dataclass(frozen=True)
class Cause:
    """A cell with what speaks for it.

    Attributes:
        cell: The cell.
        score: gain / (gain + 4), where gain is how much likelier the sums are (log) if the cell moved on its own: 0-1,
            0.5 being the line of chance, and 0.2 for the whole.
        explained: Change of the cell / change of the whole; above 1 where others moved the other way.
        r_in: Current / previous of the cell; None where it is new.
        r_out: Current / previous of all else; None where there is nothing else.
    """

    cell: Cell
    score: float
    explained: float
    r_in: float | None
    r_out: float | None


def causes(whole: Cell, cells: Sequence[Cell], most: int = 3) -> list[Cause]:
    """The cells that explain the change of the whole best, the best first: a scan statistic (Kulldorff 1997).

    Each cell is tried as the one that moved by a ratio of its own while all else moved by another; the later period's
    share of the worth in runs is then binomial. The gain is the log-likelihood ratio against one ratio for all, less
    0.7 for a second dimension. Cells of the same sums are one cell, told by its first name.

    Args:
        whole: The cell of everything, without dimensions.
        cells: Cells in the order in which their names are preferred.
        most: How many to return.

    Returns:
        The whole first where no cell moved clearly more than the rest; empty where nothing changed.
    """
    if whole.change == 0 or not math.isfinite(whole.change):
        return []
    scored: dict[tuple[float, ...], Cause] = {}
    for cell in cells:
        key = (cell.previous, cell.current, cell.before, cell.after)
        if key not in scored and (cause := _scored(whole, cell)):
            scored[key] = cause
    ranked = sorted(scored.values(), key=lambda cause: -cause.score)
    if not ranked or ranked[0].score < EVEN_SCORE:
        ranked.insert(0, Cause(whole, EVEN_SCORE, 1.0, _ratio(whole.current, whole.previous), None))
    return ranked[:most]


def _scored(whole: Cell, cell: Cell) -> Cause | None:
    """The cell as a cause; None where it is no amount, too small, nearly everything, or moved no more than the rest."""
    if not math.isfinite(cell.change):
        return None
    sign = 1 if whole.change > 0 else -1
    base_of_cell, base = (cell.previous, whole.previous) if sign > 0 else (cell.current, whole.current)
    if sign * cell.change < LEAST_SHARE * sign * whole.change or base_of_cell >= _NEARLY_ALL * base:
        return None
    r_in = _ratio(cell.current, cell.previous)
    r_out = _ratio(whole.current - cell.current, whole.previous - cell.previous)
    if not _is_beyond(r_in, r_out, sign):
        return None
    before, after = max(whole.before - cell.before, 0.0), max(whole.after - cell.after, 0.0)
    gain = _fit(cell.before, cell.after) + _fit(before, after) - _fit(whole.before, whole.after)
    gain -= _PAIR_PENALTY * (len(cell.dims) - 1)
    if gain <= 0:
        return None
    return Cause(cell, round(gain / (gain + SURE_GAIN), 9), cell.change / whole.change, r_in, r_out)


def _is_beyond(r_in: float | None, r_out: float | None, sign: int) -> bool:
    inside, outside = (math.inf if ratio is None else ratio for ratio in (r_in, r_out))
    return inside > outside if sign > 0 else inside < outside


def _ratio(current: float, previous: float) -> float | None:
    return current / previous if previous > 0 else None


def _fit(before: float, after: float) -> float:
    """Log-likelihood of so many runs of the later period among all, at their own share."""
    both = before + after
    return sum(part * math.log(part / both) for part in (before, after) if part > 0)


@dataclass(frozen=True)
class Spending:
    """What a cell did in one period: runs, tokens (None or 0: unknown), USD."""

    runs: float
    tokens: float | None
    cost: float


def split(previous: Spending, current: Spending) -> dict[str, float]:
    """The change of a cost as `volume` (runs), `size` (tokens a run) and `price` (USD a token), USD each.

    LMDI-I (Ang 2005): with L the logarithmic mean of both costs, a factor that went from x0 to x1 has the effect
    L ln(x1 / x0). Adds up exactly. Without tokens in either period, size is 0 and price that of a run.

    Returns:
        `volume`, `size`, `price`; or `new` or `gone` alone where one of the costs is 0; they add up to the change.
    """
    change = current.cost - previous.cost
    if previous.cost <= 0 or current.cost <= 0:
        return {"gone" if current.cost <= 0 < previous.cost else "new": change}
    mean = _logarithmic_mean(previous.cost, current.cost)
    runs = (current.runs / previous.runs) if previous.runs > 0 and current.runs > 0 else 1.0
    tokens = runs
    if previous.tokens and current.tokens:
        tokens = current.tokens / previous.tokens
    volume, size = mean * math.log(runs), mean * math.log(tokens / runs)
    return {"volume": volume, "size": size, "price": change - volume - size}


def _logarithmic_mean(one: float, other: float) -> float:
    ratio = math.log(other / one)
    return one if abs(ratio) < 1e-12 else (other - one) / ratio
