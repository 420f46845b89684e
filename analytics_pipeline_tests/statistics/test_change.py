"""Days in, p out: the size of the tests on quiet days, and the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics import change

WEEK = np.array([10.0, 12.0, 11.0, 9.0, 10.0, 4.0, 5.0])


def weeks(*factors: float, seed: int = 1) -> np.ndarray:
    """Weeks of one shape, each times a factor, with a tenth of noise; shape (1, 7 weeks)."""
    rng = np.random.default_rng(seed)
    return (np.concatenate([factor * WEEK for factor in factors]) * rng.lognormal(0, 0.1, 7 * len(factors)))[None]


@pytest.mark.parametrize(
    ("days", "blocks"),
    [
        (6, None),
        (7, change.Blocks(7, 4)),
        (13, change.Blocks(7, 4)),
        (30, change.Blocks(28, 2)),
        (60, change.Blocks(56, 1)),
    ],
)
def test_a_period_is_tested_by_its_whole_weeks(days: int, blocks: change.Blocks | None) -> None:
    assert change.blocks_of(days) == blocks


@pytest.mark.parametrize("earlier", [1, 2, 4])
def test_totals_rise_and_fall(earlier: int) -> None:
    quiet = [1.0] * earlier
    assert change.total_tests(weeks(*quiet, 2), 7)[0] < 0.01
    assert change.total_tests(weeks(*quiet, 0.5), 7)[0] > 0.99
    assert 0.02 < change.total_tests(weeks(*quiet, 1), 7)[0] < 0.98


@pytest.mark.parametrize("earlier", [1, 4])
def test_quiet_totals_are_quiet(earlier: int) -> None:
    rng = np.random.default_rng(3)
    days = np.tile(WEEK, earlier + 1) * rng.lognormal(0, 0.4, (4000, 7 * (earlier + 1)))
    p = change.two_sided(change.total_tests(days, 7))
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.015)


def test_totals_do_not_depend_on_unit_or_company() -> None:
    days = np.vstack([weeks(1, 1, 1, 1.4, seed=seed) for seed in range(5)])
    assert change.total_tests(1000 * days, 7) == pytest.approx(change.total_tests(days, 7))
    assert change.total_tests(days[2:3], 7)[0] == change.total_tests(days, 7)[2]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_what_is_no_amount_is_not_tested(bad: float) -> None:
    days = weeks(1, 1, 1)
    days[0, 3] = bad
    assert np.isnan(change.total_tests(days, 7)).all()


def test_from_and_to_nothing_days_are_counted() -> None:
    nothing, something = np.zeros(28), WEEK
    assert change.total_tests([np.concatenate([nothing, something])], 7)[0] < 1e-5
    assert change.total_tests([np.concatenate([np.tile(WEEK, 4), np.zeros(7)])], 7)[0] > 1 - 1e-5
    once = np.concatenate([nothing, [1, 0, 0, 0, 0, 0, 0]])
    assert change.total_tests([once], 7)[0] == pytest.approx(0.2)
    assert np.isnan(change.total_tests(np.zeros((1, 14)), 7)).all()


def test_what_never_varied_may_still_change() -> None:
    constant = np.tile(WEEK, 5)
    assert change.two_sided(change.total_tests([constant], 7))[0] == pytest.approx(1)
    assert change.total_tests([np.concatenate([constant, 1.1 * WEEK])], 7)[0] < 1e-6


def test_too_few_weekdays_say_nothing() -> None:
    days = np.zeros((1, 14))
    days[0, [0, 1, 7, 8]] = 1, 2, 2, 4
    assert np.isnan(change.total_tests(days, 7)).all()


def test_days_that_are_no_blocks_are_refused() -> None:
    for shape in ((1, 13), (1, 7), (14,)):
        with pytest.raises(ValueError, match="blocks of 7 days"):
            change.total_tests(np.ones(shape), 7)
    assert change.total_tests(np.ones((0, 14)), 7).shape == (0,)


def test_welch_finds_a_shift_and_says_how_large() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(0, 0.05, 7), rng.normal(math.log(1.5), 0.05, 7)
    shift = change.mean_shift(before, after)
    assert shift.change == pytest.approx(0.5, abs=0.1)
    assert shift.p is not None and shift.p < 1e-4
    back = change.mean_shift(after, before)
    assert back.p == pytest.approx(1 - shift.p)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_an_average_needs_three_days(n: int) -> None:
    assert change.mean_shift([0.1] * n + [math.nan] * 5, [0.1] * 7) == change.Shift(None, None)
    assert change.mean_shift([0.1] * 7, [0.1] * n) == change.Shift(None, None)


def test_averages_without_spread() -> None:
    assert change.mean_shift([1.0] * 3, [1.0] * 3) == change.Shift(0.0, 0.5)
    moved = change.mean_shift([0.0] * 3, [0.1] * 3)
    assert moved.p is not None and moved.p < 1e-3


def test_rates_agree_with_newcombe() -> None:
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 gives 0.0524 to 0.3339; 9/10 - 3/10 gives 0.1705 to 0.8090
    assert change.rate_rises([48], [80], [56], [70])[0] < 0.025
    level = change.rate_rises([3], [10], [9], [10])[0]
    assert level < 0.025 and change.rate_rises([9], [10], [3], [10])[0] == pytest.approx(1 - level)
    assert change.rate_rises([5], [10], [5], [10])[0] == pytest.approx(0.5)


def test_rates_at_the_edges() -> None:
    p = change.rate_rises([0, 0, 10, 0, 3], [10, 0, 10, 5, 10], [0, 5, 10, 5, 0], [10, 10, 10, 5, 0])
    assert np.isnan(p).tolist() == [False, True, False, False, True]
    assert p[0] == p[2] == pytest.approx(0.5)
    assert p[3] < 0.01


def test_unequal_days_count_less() -> None:
    rng = np.random.default_rng(4)
    trials = np.full((1, 2, 14), 200)
    fair = rng.binomial(200, 0.1, trials.shape)
    assert change.effective_share(fair, trials)[0] > 0.6
    wild = rng.binomial(200, rng.uniform(0.01, 0.3, trials.shape))
    assert change.effective_share(wild, trials)[0] < 0.3
    assert change.effective_share(np.zeros((1, 2, 7)), np.zeros((1, 2, 7)))[0] == 1
    assert change.effective_share(np.zeros((1, 2, 7)), np.ones((1, 2, 7)))[0] == 1


def test_failure_level_by_jeffreys() -> None:
    assert change.rate_reaches(0, 0, 0.5) == pytest.approx(0.5)
    assert change.rate_reaches(1, 5, 0.1) < 0.9
    assert change.rate_reaches(3, 10, 0.1) > 0.9
    assert change.rate_reaches(0, 5, 0.0) == 1.0


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=30))
def test_q_is_the_definition(p_values: list[float]) -> None:
    q = change.benjamini_hochberg(p_values)
    made = sorted(p for p in p_values if not math.isnan(p))
    for p, value in zip(p_values, q.tolist(), strict=True):
        if math.isnan(p):
            assert math.isnan(value)
        else:
            expected = min(other * len(made) / (i + 1) for i, other in enumerate(made) if other >= p)
            assert value == pytest.approx(min(expected, 1.0))


def test_the_day_of_a_change() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(0, 0.1, 14), np.zeros(14)
    assert change.change_day(before, np.repeat([0, 0.5], [5, 9])) == 5
    assert change.change_day(before, np.repeat([0, -0.5], [5, 9])) == 5
    assert change.change_day(before, after) is None
    assert change.change_day(before, [math.nan] * 7) is None
    assert change.change_day([0.1, 0.2], after) is None


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_hardly_any_runs_change_nothing(runs: int) -> None:
    counts = np.array([float(runs)])
    (p,) = change.rate_rises(counts, counts, counts, counts)
    assert np.isnan(p) if runs == 0 else p == pytest.approx(0.5)
    assert 0 < change.rate_reaches(0, runs, 0.1) < 0.9
    assert np.isnan(change.total_tests(np.zeros((1, 14)), 7)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_days_that_are_no_number_are_no_days(bad: float) -> None:
    assert change.mean_shift([1.0, 1.1, bad], [2.0, 2.1, 2.2]).p is None
    assert change.change_day([1.0, 1.1, bad], [2.0, 2.1, 2.2]) is None or np.isnan(bad)
