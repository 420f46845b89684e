"""Hours at which an amount runs off its past: tokens an hour.

Belongs here: a series of hourly amounts in, a score an hour out. Each score knows the `MEMORY` hours before it and no
more. Does not belong here: runs, which are counted (incidents.py), and cost, duration and errors, whose sessions are
scored one by one (baselines.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

WINDOW = 336
"""Hours (14 days) that say what is usual."""
REFRACTORY = 24
"""Hours in which only something yet rarer is told again."""
LINE = 3.3
"""-log10 p from which an hour is told of: about one false alarm in five weeks of a quiet series."""

_RARITY = 672
"""Hours (28 days) whose residuals say how rare one is."""
_WEEK = 168
_LEVEL, _SPREAD, _NOW = 72, 24, 3
"""Hours of the usual level, of the scatter, and of what is there now."""
_NEEDED, _NEEDED_RESIDUALS = 24, 48
"""Past hours, and past residuals, without which nothing is judged."""
_TAIL = 0.95
"""Share of the residuals below which they count as they are; beyond it a tail is fitted."""
_STEP = 1.1
"""How much rarer an hour of an episode has to be than those before it to be told again."""
_MOST = 12.0
"""Greatest score: beyond it an exponential tail that was fitted to some thirty residuals says nothing."""
MEMORY = WINDOW + _LEVEL + _RARITY + REFRACTORY
"""Hours (46 days) that an alert can depend on; stale.py marks as many days."""


def count_scores(values: ArrayLike) -> Floats:
    """How rare each hour is by what came before it: -log10 of the probability, of the rarest of five residuals.

    The residuals are the hour against the mean, its last three hours against the median of three days, their mean
    against the mean, the scatter of the last day against its own median, and the three hours against the same ones of
    the two weeks before. The tail of each is exponential beyond its 95th percentile (peaks over threshold, Pickands
    1975).

    Args:
        values: Amounts of consecutive hours, shape (n,), finite and at least 0.

    Returns:
        Scores 0 to 12, shape (n,); 0 for the first 72 hours.
    """
    import numpy as np

    series = np.asarray(values, dtype=float)
    if series.size <= _NEEDED + _NEEDED_RESIDUALS:
        return np.zeros(series.size)
    rarest: Floats = np.max([_rarity(residual) for residual in _residuals(series)], axis=0)
    return rarest


def alerts(scores: ArrayLike, line: float = LINE) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Hours beyond the line that are a tenth rarer than any of the 24 before: an episode is told once.

    Args:
        scores: Of `count_scores`, shape (n,).
        line: Score that an hour has to pass.

    Returns:
        Whether each hour is told of, shape (n,).
    """
    import numpy as np
    import pandas as pd

    found = np.asarray(scores, dtype=float)
    highest = pd.Series(found).shift(1).rolling(REFRACTORY, min_periods=1).max().fillna(0).to_numpy()
    return (found > line) & (found > _STEP * highest)


def _residuals(series: Floats) -> list[Floats]:
    """Five residuals of each hour; NaN where the past is too short, or all alike."""
    import numpy as np
    import pandas as pd

    values = pd.Series(series)
    past = values.shift(1).rolling(WINDOW, min_periods=_NEEDED)
    floor = 0.01 * past.median() + 0.05 * (past.quantile(0.9) - past.quantile(0.1))
    mean, deviation = past.mean(), np.maximum(past.std(), floor)
    scatter = np.log(values.rolling(_SPREAD).std() + floor + 1e-12)
    recent = values.rolling(_NOW)
    roots = values.clip(lower=0) ** 0.5  # the scatter of a count's root is the same by day and by night
    off_weeks = roots - (roots.shift(_WEEK) + roots.shift(2 * _WEEK)) / 2
    found = [
        (values - mean) / deviation,
        _off_level(recent.median(), values, floor),
        (recent.mean() - mean) / deviation,
        _off_level(scatter, scatter, pd.Series(0.1, index=values.index)),
        off_weeks.rolling(_NOW).sum(),
    ]
    begun = values.shift(WINDOW).rolling(_LEVEL, min_periods=1).max() != 0  # else its beginning stands out
    return [residual.where(begun & np.isfinite(residual)).to_numpy() for residual in found]


def _off_level(now: pd.Series, values: pd.Series, floor: pd.Series) -> pd.Series:
    """How far off the median of the three days before, in robust deviations."""
    import numpy as np

    past = values.shift(1).rolling(_LEVEL, min_periods=_LEVEL)
    level = past.median()
    deviation = (values - level).abs().shift(1).rolling(_LEVEL, min_periods=_LEVEL // 2).median()
    return (now - level) / np.maximum(1.4826 * deviation, floor)


def _rarity(residual: Floats) -> Floats:
    """-log10 of the probability that a residual as large comes by chance, by the tail of those before it."""
    import numpy as np
    import pandas as pd

    size = np.abs(residual)
    past = np.concatenate([np.full(_RARITY, np.nan), size[:-1]])
    window = pd.Series(past).rolling(_RARITY, min_periods=_NEEDED_RESIDUALS)
    line = window.quantile(_TAIL).to_numpy()[_RARITY - 1 :]
    start = -np.log10(1 - _TAIL)
    score = np.zeros(size.size)
    within = (size <= line) & (line > 0)
    score[within] = start * size[within] / line[within]
    beyond = np.flatnonzero(size > line)
    off = size[beyond] - line[beyond]
    excess = np.lib.stride_tricks.sliding_window_view(past, _RARITY)[beyond] - line[beyond, None]
    count = (1 - _TAIL) * np.isfinite(excess).sum(axis=1)  # not of those that are beyond: ties would hang on rounding
    usual = line[beyond] / -np.log(1 - _TAIL)  # the mean excess if all were exponential; counts as one excess more
    mean = (np.nan_to_num(excess).clip(min=0).sum(axis=1) + usual) / (count + 1)
    known = mean > 0
    score[beyond[known]] = start + off[known] / (mean[known] * np.log(10))
    return np.clip(score, 0, _MOST)
