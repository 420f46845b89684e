from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_pipeline.statistics.forecast import TOTALS, Forecast, Interval, Total, forecasts

amounts = st.floats(0, 1e6)
histories = st.lists(amounts, min_size=1, max_size=70)


def one(history: list[float], horizon: int = 31) -> Forecast:
    (forecast,) = forecasts([history], horizon)
    return forecast


def noisy(days: int, seed: int = 0, level: float = 10.0) -> list[float]:
    """Daily totals with a week's shape and log-normal noise."""
    random = np.random.default_rng(seed)
    week = np.where(np.arange(days) % 7 < 5, 1.0, 0.4)
    return [float(value) for value in level * week * np.exp(0.3 * random.standard_normal(days))]


# --- edges ---------------------------------------------------------------------------------------------------


def test_without_any_series_there_is_nothing_to_say() -> None:
    assert forecasts([], 31) == []


@pytest.mark.parametrize("history", [[], [1.0, math.nan], [math.inf]])
def test_an_empty_or_infinite_history_is_an_error(history: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one step of history and finite values"):
        forecasts([[1.0], history], 3)


@pytest.mark.parametrize("size", range(1, 7))
def test_below_a_week_it_is_the_mean_without_interval(size: int) -> None:
    forecast = one([float(i) for i in range(size)])
    assert list(forecast.days) == [(size - 1) / 2] * 31
    assert forecast.day(0) == Interval((size - 1) / 2, None, None, None, None)
    assert forecast.totals[7] == Total(3.5 * (size - 1), None, None, None, None, None)


@pytest.mark.parametrize("size", range(7, 14))
def test_below_two_weeks_it_is_the_mean_of_the_last(size: int) -> None:
    forecast = one([float(i) for i in range(size)])
    assert forecast.days == pytest.approx([size - 4.0] * 31)
    assert forecast.totals[30].confidence is None, "nothing of it could be tried"


@pytest.mark.parametrize("size", [7, 10, 13])
def test_a_young_series_borrows_what_the_old_ones_missed(size: int) -> None:
    young = forecasts([noisy(84), noisy(84, 1), noisy(size, 2)], 31)[2]
    assert young.day(0).lo80 is not None
    assert young.totals[7].confidence is not None
    assert forecasts([noisy(84), noisy(6, 2)], 31)[1].totals[7].confidence is None


def test_all_zeros_are_zero_without_confidence() -> None:
    forecast = one([0.0] * 40)
    assert not forecast.days.any()
    assert forecast.totals == {count: Total(0.0, None, None, None, None, None) for count in TOTALS}


def test_what_has_ended_is_as_good_as_nothing() -> None:
    forecast = one([5.0] * 40 + [0.0] * 40)
    assert forecast.totals[30].expected < 0.05
    assert forecast.totals[30].confidence is None


def test_a_perfect_week_leaves_no_doubt() -> None:
    forecast = one([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] * 8, 14)
    assert forecast.days == pytest.approx([1, 2, 3, 4, 5, 6, 7] * 2, rel=1e-3)
    assert forecast.totals[7].lo95 == pytest.approx(28, rel=1e-2)
    assert forecast.totals[7].confidence == 1.0


def test_credits_do_not_make_a_forecast_negative() -> None:
    forecast = one([-1.0] * 20)
    assert not forecast.days.any()
    assert forecast.day(3).lo95 == 0.0


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1e9, 1e300])
def test_the_unit_does_not_matter(unit: float) -> None:
    plain, scaled = one(noisy(60)), one([unit * value for value in noisy(60)])
    assert scaled.days / unit == pytest.approx(plain.days)
    assert scaled.totals[7].confidence == pytest.approx(plain.totals[7].confidence)
    hi95, scaled_hi95 = plain.totals[30].hi95, scaled.totals[30].hi95
    assert hi95 is not None and scaled_hi95 is not None
    assert scaled_hi95 / unit == pytest.approx(hi95)


def test_a_leap_of_magnitudes_does_not_leave_every_measure() -> None:
    total = one([1e-9] * 30 + [1e9] * 9).totals[30]
    assert total.hi95 is not None and total.lo95 is not None
    assert total.hi95 <= 10.5 * total.expected
    assert total.lo95 > 0


# --- what is expected ----------------------------------------------------------------------------------------


def test_the_week_has_its_shape() -> None:
    days = one(noisy(84)).days  # 84 days are whole weeks
    workdays, weekend = days[:28].reshape(4, 7)[:, :5], days[:28].reshape(4, 7)[:, 5:]
    assert weekend.mean() / workdays.mean() == pytest.approx(0.4, abs=0.1)


def test_a_level_that_has_doubled_is_believed_within_two_weeks() -> None:
    history = noisy(70)
    doubled = history[:56] + [2 * value for value in history[56:]]
    assert one(doubled).totals[7].expected > 1.5 * one(history).totals[7].expected


@pytest.mark.parametrize("age", [1, 2, 5, 10, 20, 40, 60])
def test_one_huge_day_is_not_projected(age: int) -> None:
    history = noisy(84)
    leaped = [*history[:-age], 100 * history[-age], *history[len(history) - age + 1 :]]
    assert one(leaped).totals[30].expected == pytest.approx(one(history).totals[30].expected, rel=0.5)


def test_a_leap_that_comes_twice_is_believed() -> None:
    history = noisy(84)
    leaped = history[:-2] + [20 * value for value in history[-2:]]
    assert one(leaped).totals[7].expected > 3 * one(history).totals[7].expected


def test_a_week_that_may_bring_nothing_has_an_interval_from_nothing() -> None:
    random = np.random.default_rng(11)
    history = [float(value) for value in np.where(random.random(84) < 0.15, random.lognormal(2, 0.5, 84), 0.0)]
    week = one(history).totals[7]
    assert (week.lo80, week.lo95) == (0.0, 0.0)
    assert week.hi80 is not None and week.hi80 > week.expected > 0


def test_rare_amounts_are_not_rounded_down_to_nothing() -> None:
    """The median of most days is 0, the money is in the few others."""
    random = np.random.default_rng(3)
    history = [float(value) for value in np.where(random.random(84) < 0.2, 10.0, 0.0)]
    assert one(history).totals[30].expected == pytest.approx(30 * np.mean(history), rel=0.5)


def test_a_weekly_run_is_expected_on_its_day() -> None:
    days = one([0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0] * 12).days
    assert days[2] > 9.0
    assert sum(days[:7]) == pytest.approx(10.0, rel=0.1)


def test_hours_have_a_day_and_a_week() -> None:
    week = [float(1 + hour % 24 + (100 if hour >= 120 else 0)) for hour in range(168)]
    (forecast,) = forecasts([week * 5], 48, season=24, totals=(24,))
    assert forecast.days == pytest.approx(week[:48], rel=0.05)
    assert set(forecast.totals) == {24}


# --- together ------------------------------------------------------------------------------------------------


def test_what_is_expected_of_a_series_is_its_own_affair() -> None:
    series = [noisy(84), noisy(40, 1, 1000.0), [1.0], noisy(10, 2), [0.0] * 50]
    for alone, together in zip((one(history) for history in series), forecasts(series, 31), strict=True):
        assert together.days == pytest.approx(alone.days, rel=1e-9)


def test_the_order_of_the_series_does_not_matter() -> None:
    series = [noisy(84, seed, 10.0**seed) for seed in range(5)]
    there, back = forecasts(series, 31), forecasts(series[::-1], 31)[::-1]
    for forward, backward in zip(there, back, strict=True):
        assert forward.days == pytest.approx(backward.days, rel=1e-12)
        assert forward.totals[7].confidence == pytest.approx(backward.totals[7].confidence)


def test_many_series_are_taken_in_parts() -> None:
    series = [noisy(30, seed) for seed in range(300)]
    assert forecasts(series, 31)[299].days == pytest.approx(one(series[299]).days)


def test_wilder_series_have_wider_intervals_and_less_confidence() -> None:
    random = np.random.default_rng(5)
    calm, wild = (np.exp(sd * random.standard_normal((6, 84))).tolist() for sd in (0.05, 1.0))
    made = forecasts(calm + wild, 31)
    for low, high in zip(made[:6], made[6:], strict=True):
        assert low.halves < high.halves
        assert (low.totals[30].confidence or 0.0) > (high.totals[30].confidence or 1.0)


def test_the_intervals_of_simulated_series_hold_what_comes() -> None:
    series = [noisy(114, seed, 1.0 + seed) for seed in range(60)]
    made = forecasts([history[:84] for history in series], 31)
    rests = [history[84:] for history in series]
    for count, level in ((7, 0.8), (30, 0.8)):
        held = [
            (f.totals[count].lo80 or 0.0) <= sum(rest[:count]) <= (f.totals[count].hi80 or 0.0)
            for f, rest in zip(made, rests, strict=True)
        ]
        assert level - 0.15 <= np.mean(held) <= level + 0.17
    steps = [abs(f.days[i] - rest[i]) <= f.halves[0] for f, rest in zip(made, rests, strict=True) for i in range(30)]
    assert 0.7 <= np.mean(steps) <= 0.9


@given(st.lists(histories, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_intervals_are_in_order_and_never_negative(series: list[list[float]]) -> None:
    for history, forecast in zip(series, forecasts(series, 31), strict=True):
        assert forecast.days.shape == (31,)
        assert (forecast.days >= 0).all() and np.isfinite(forecast.days).all()
        for interval in (forecast.day(0), forecast.day(30), *forecast.totals.values()):
            if interval.lo80 is None:
                continue
            assert len(history) >= 7
            ends = (interval.lo95, interval.lo80, interval.expected, interval.hi80, interval.hi95)
            assert all(a is not None and b is not None and a <= b for a, b in pairwise((0.0, *ends)))
        for total in forecast.totals.values():
            assert total.confidence is None or 0 <= total.confidence <= 1
            assert (total.confidence is None) == (total.lo80 is None)
