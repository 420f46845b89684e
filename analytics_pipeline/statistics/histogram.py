"""Durations as log-spaced buckets that add up over any hours: bucket, merge, percentile.

Bucket b counts durations in [1.02^b, 1.02^(b+1)) milliseconds; bucket 0 also holds what is below one millisecond.
Belongs here: the arithmetic of these buckets, in one place. Does not belong here: reading them from a table.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = 1.02
"""Ratio of a bucket's upper to its lower bound; its geometric middle is less than 1 % off everything in it."""

_LOG_GROWTH = math.log(GROWTH)


def bucket(duration_ms: float) -> int:
    """The bucket that counts a duration of so many milliseconds."""
    return max(0, math.floor(math.log(duration_ms) / _LOG_GROWTH)) if duration_ms > 1 else 0


def merge(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """One histogram (bucket to count) that counts everything the given ones count."""
    merged: Counter[int] = Counter()
    for histogram in histograms:
        merged.update(histogram)
    return dict(merged)


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """The duration in milliseconds below which a share (0 to 1) of those counted lies; None when none is counted.

    Interpolates, as `quantile_cont` does, between the two durations next to that rank, each taken as the geometric
    middle of its bucket: within 1 % of the percentile of the durations themselves, from 1 ms on.
    """
    counted = sorted((number, count) for number, count in histogram.items() if count > 0)
    total = sum(count for _, count in counted)
    if total == 0:
        return None
    rank = share * (total - 1)
    below, above = _at_rank(counted, math.floor(rank)), _at_rank(counted, math.ceil(rank))
    return below + (above - below) * (rank - math.floor(rank))


def _at_rank(counted: list[tuple[int, int]], rank: int) -> float:
    passed = 0
    for number, count in counted:
        passed += count
        if passed > rank:
            return float(GROWTH ** (number + 0.5))
    raise ValueError(f"rank {rank} of {passed} durations")
