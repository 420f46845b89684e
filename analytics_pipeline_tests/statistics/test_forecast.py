from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics.forecast import Interval, seasonal_mean

histories = st.lists(st.floats(0, 1e6), min_size=1, max_size=70)


def test_a_day_is_the_mean_of_its_weekday_over_four_weeks() -> None:
    weeks = [[week * 10.0 + weekday for weekday in range(7)] for week in range(6)]
    forecast = seasonal_mean([day for week in weeks for day in week], 10)
    assert forecast.days == pytest.approx([35.0 + k for k in (0, 1, 2, 3, 4, 5, 6, 0, 1, 2)])


def test_weeks_need_not_be_whole() -> None:
    forecast = seasonal_mean([1, 2, 3, 4, 5, 6, 7, 9], 7)
    assert forecast.days == pytest.approx([2, 3, 4, 5, 6, 7, 5])


def test_below_a_week_it_is_the_mean_without_interval() -> None:
    forecast = seasonal_mean([1.0, 2.0], 3)
    assert list(forecast.days) == [1.5] * 3
    assert forecast.total(3) == Interval(4.5, None, None, None, None)


def test_without_any_history_there_is_no_forecast() -> None:
    with pytest.raises(ValueError, match="at least one day"):
        seasonal_mean([], 3)


def test_a_perfect_week_leaves_no_doubt() -> None:
    assert seasonal_mean([1, 2, 3, 4, 5, 6, 7] * 3, 7).day(0) == Interval(1, 1, 1, 1, 1)


@given(histories, st.integers(1, 31))
def test_intervals_are_in_order_and_never_negative(history: list[float], count: int) -> None:
    forecast = seasonal_mean(history, 31)
    for interval in (forecast.day(count - 1), forecast.total(count)):
        assert interval.expected >= 0
        if len(history) < 7:
            assert interval.lo80 is None
            continue
        assert interval.lo80 is not None and interval.hi80 is not None
        assert interval.lo95 is not None and interval.hi95 is not None
        assert 0 <= interval.lo95 <= interval.lo80 <= interval.expected <= interval.hi80 <= interval.hi95
