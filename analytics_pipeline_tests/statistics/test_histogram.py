"""Percentiles from merged buckets against those of the durations themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics import histogram

DURATIONS = st.lists(st.floats(min_value=1.0, max_value=1e9, allow_nan=False), min_size=1, max_size=200)
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0])


def counted(durations: list[float]) -> dict[int, int]:
    return histogram.merge({histogram.bucket(duration): 1} for duration in durations)


@given(DURATIONS, SHARES)
def test_percentile_is_within_one_percent(durations: list[float], share: float) -> None:
    exact = float(np.quantile(durations, share))
    assert histogram.percentile(counted(durations), share) == pytest.approx(exact, rel=0.01)


@given(DURATIONS, DURATIONS)
def test_merging_counts_everything_once(one: list[float], other: list[float]) -> None:
    assert histogram.merge([counted(one), counted(other)]) == counted(one + other)


@given(DURATIONS)
def test_percentiles_never_fall(durations: list[float]) -> None:
    found = [histogram.percentile(counted(durations), share) for share in (0.1, 0.5, 0.95, 0.99)]
    assert found == sorted(value for value in found if value is not None)


@given(st.floats(min_value=0.0, max_value=1e9, allow_nan=False))
def test_a_bucket_holds_what_it_says(duration: float) -> None:
    number = histogram.bucket(duration)
    assert number >= 0
    assert duration < histogram.GROWTH ** (number + 1) * (1 + 1e-9)
    assert number == 0 or duration >= histogram.GROWTH**number * (1 - 1e-9)


def test_nothing_counted_has_no_percentile() -> None:
    assert histogram.percentile({}, 0.5) is None
    assert histogram.percentile({3: 0}, 0.5) is None
