from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom, norm, poisson

from analytics_pipeline.statistics.incidents import WEEKLY_MEMORY, among, binomial_z, count_z, weekly_scores

MANY = 1e7
"""Events that leave no doubt of a mean."""


@given(st.integers(0, 200), st.floats(0, 100), st.floats(0.01, MANY))
def test_scores_of_counts_are_finite_and_grow_with_the_count(count: int, expected: float, shape: float) -> None:
    low, high = count_z([count, count + 1], expected, shape)
    assert -38 < low <= high < 38


def test_scores_of_counts_count_half_of_what_is_exactly_as_many() -> None:
    p = poisson.sf(3, 1.5) + 0.5 * poisson.pmf(3, 1.5)
    assert count_z([3], [1.5], [MANY]) == pytest.approx(norm.isf(p), abs=1e-5)
    p = nbinom.sf(3, 2, 2 / 3.5) + 0.5 * nbinom.pmf(3, 2, 2 / 3.5)
    assert count_z([3], [1.5], [2]) == pytest.approx(norm.isf(p))
    assert count_z([0], [0.0], [1.0]) == pytest.approx([0.0], abs=1e-9)


def test_a_mean_told_from_little_makes_nothing_rare() -> None:
    known, young = count_z([6, 6], [0.3, 0.3], [60, 0.5])
    assert known > 4.5 > 3.5 > young


def test_binomial_scores() -> None:
    assert binomial_z([12, 5, 3], [5, 5, 0], [4, 4, 0]) == pytest.approx([3.5, 0, 0])


@given(st.floats(-5, 30), st.integers(1, 1000))
def test_the_greatest_of_several_is_no_rarer_than_alone(z: float, looks: int) -> None:
    alone, of_several = among([z, z], [1, looks])
    assert alone == pytest.approx(z, abs=1e-6)
    assert of_several <= alone + 1e-9


def test_among_is_sidaks() -> None:
    assert among([3.0], [12]) == pytest.approx(norm.isf(1 - norm.cdf(3) ** 12))
    assert among([], []).size == 0


def counts(hours: int) -> np.ndarray:
    """Runs an hour with a rhythm of the day."""
    rng = np.random.default_rng(3)
    return rng.poisson(40 * (1 + 0.5 * np.sin(np.arange(hours) / 24 * 2 * np.pi))).astype(float)


@pytest.mark.parametrize("values", [[], [3.0], [0.0] * 500, [7.0] * 500])
def test_the_same_every_week_is_what_was_expected(values: list[float]) -> None:
    for hours in (1, 3):
        scores, expected = weekly_scores(values, hours)
        assert scores.shape == expected.shape == (len(values),)
        assert (np.abs(scores[400:]) < 1).all()
        assert expected[400:] == pytest.approx(np.full(len(values[400:]), 7.0 * hours) if any(values) else 0)


def test_a_burst_and_a_silence_stray_from_earlier_weeks_and_do_not_echo() -> None:
    values = counts(24 * 60)
    values[1000:1003] *= 3
    values[1100:1106] = 0
    scores = np.array([weekly_scores(values, hours)[0] for hours in (1, 3)])
    assert (scores[:, 1000:1003].max(axis=0) > 4).all()
    assert (scores[:, 1100:1106].min(axis=0) < -4).all()
    for echo in (slice(1000 + 168, 1003 + 168), slice(1100 + 168, 1106 + 168), slice(1000 + 336, 1003 + 336)):
        assert (np.abs(scores[:, echo]) < 3).all()


def test_a_count_of_earlier_weeks_knows_its_memory_and_no_more() -> None:
    values = counts(24 * 75)
    for hours in (1, 3):
        whole, cut, dropped = (weekly_scores(part, hours)[0] for part in (values, values[:1500], values[240:]))
        assert np.array_equal(whole[:1500], cut)
        assert np.array_equal(whole[240 + WEEKLY_MEMORY :], dropped[WEEKLY_MEMORY:])


def test_a_busy_office_falling_silent_is_as_rare_as_it_is() -> None:
    hour = np.arange(60 * 24)
    usual = np.where((hour % 24 > 8) & (hour % 24 < 19), 95, 1)
    runs = np.random.default_rng(0).poisson(usual)
    runs[-10] = 0  # 14:00
    assert weekly_scores(runs)[0][-10] < -3.5  # the edges of the day, smoothed, stray by 3 themselves


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0])
def test_what_is_no_count_has_no_score(bad: float) -> None:
    assert np.isnan(count_z([bad, 3.0], [1.0, 1.0], [1.0, 1.0])).tolist() == [True, False]
