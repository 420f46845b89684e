from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_pipeline.statistics.capacity import (
    HISTORY_HOURS,
    WORKER_HOURS,
    Hours,
    bottlenecks,
    capacity,
    expected_arrivals,
    waiting_seconds,
)

HOUR_US = 3_600_000_000


def hours(size: int, **columns: Any) -> Hours:
    """Hours of which only these columns are not 0."""
    values = {name: np.zeros(size, dtype=np.int64) for name in Hours.__dataclass_fields__}
    values["known_seconds"] = np.full(size, 3600.0)
    return Hours(**(values | {name: np.asarray(column) for name, column in columns.items()}))


def steady(size: int, runs: int, seconds: float, **columns: Any) -> Hours:
    """So many runs an hour, each as long."""
    return hours(
        size,
        **{
            "arrivals": np.full(size, runs),
            "completed": np.full(size, runs),
            "duration_us": np.full(size, int(runs * seconds * 1e6)),
            "squares": np.full(size, int(runs * seconds**2 * 100)),
            "inside_us": np.full(size, int(runs * (seconds - seconds**2 / 7200) * 1e6)),
            "remaining": np.full(size, int(runs * seconds**2 * 50)),
            "busy_us": np.full(size, int(runs * seconds * 1e6)),
            "peak": np.ones(size, dtype=int),
        }
        | columns,
    )


def test_steady_work_is_expected_to_go_on() -> None:
    found = capacity(steady(1000, 6, 300.0))
    assert found.workers[-1] == 1
    assert found.utilisation[-1] == pytest.approx(0.5)
    assert found.expected[-1] == pytest.approx(0.5, abs=0.05)
    assert found.confidence[-1] == pytest.approx(169 / 170)


def test_without_runs_there_is_room_and_no_confidence() -> None:
    found = capacity(hours(1000))
    assert (found.expected[-1], found.workers[-1], found.wait_seconds[-1]) == (0, 1, 0)
    assert np.isnan(found.confidence[-1])


@pytest.mark.parametrize("size", [1, 2])
def test_the_first_hours_say_what_they_can(size: int) -> None:
    found = capacity(steady(size, 1, 60.0))
    assert found.expected[-1] == pytest.approx(60 / 3600, rel=0.01)
    assert 0 < found.confidence[-1] < 1


def test_declared_workers_win_and_more_than_they_may_run() -> None:
    found = capacity(steady(1000, 6, 1200.0, peak=np.full(1000, 2)), declared=1)
    assert (found.workers[-1], found.utilisation[-1], found.expected[-1]) == (1, pytest.approx(2.0), 1.0)
    assert np.isnan(found.wait_seconds[-1]), "no wait can be told near saturation"


def test_the_greatest_concurrency_of_thirty_days_counts_as_workers() -> None:
    peak = np.ones(2000, dtype=int)
    peak[500] = 7
    workers = capacity(steady(2000, 1, 60.0, peak=peak)).workers
    assert workers[499] == 1
    assert set(workers[500 : 500 + WORKER_HOURS]) == {7}
    assert workers[500 + WORKER_HOURS] == 1


def test_backlog_and_runs_under_way_keep_workers_busy() -> None:
    quiet = capacity(steady(1000, 1, 600.0, peak=np.full(1000, 4))).expected[-1]
    waiting, running = np.zeros(1000, dtype=int), np.zeros(1000, dtype=int)
    waiting[-1], running[-1] = 3, 4
    busy = capacity(steady(1000, 1, 600.0, peak=np.full(1000, 4), queued=waiting, running=running)).expected[-1]
    assert busy - quiet == pytest.approx((3 * 600 + 4 * 300) / (4 * 3600), rel=0.01)


def test_a_full_hour_without_a_known_backlog_goes_on() -> None:
    size = 1000
    full = np.arange(size) >= size - 2
    more = {"busy_us": np.where(full, HOUR_US, HOUR_US // 4), "running": full.astype(int)}
    assert capacity(steady(size, 1, 900.0, **more)).expected[-1] == pytest.approx(1.0)
    assert capacity(steady(size, 1, 900.0, **more), 2).expected[-1] < 0.5


def test_an_hour_under_way_is_judged_by_its_known_part() -> None:
    known, busy = np.full(100, 3600.0), np.full(100, HOUR_US)
    known[-1], busy[-1] = 360, HOUR_US // 10
    assert capacity(steady(100, 1, 3600.0, busy_us=busy, known_seconds=known)).utilisation[-1] == pytest.approx(1.0)


def test_arrivals_follow_the_hour_of_the_week() -> None:
    hour = np.arange(1200)
    arrivals = np.where((hour % 168 >= 100) & (hour % 168 < 110), 30, 2)
    rate = expected_arrivals(arrivals)
    later = np.arange(900, 1199)
    assert np.abs(rate[later] - arrivals[later + 1]).mean() < 1.0
    assert expected_arrivals(np.zeros(50)).max() == 0


def test_arrivals_follow_a_new_level() -> None:
    arrivals = np.full(1000, 10)
    arrivals[-8:] = 30
    assert 20 < expected_arrivals(arrivals)[-1] <= 30


def test_wait_of_one_worker_is_that_of_queueing_theory() -> None:
    exact = 0.8 / (1 - 0.8) * 60  # M/M/1
    assert waiting_seconds(np.array([0.8]), np.array([1.0]), 60.0, 1.0)[0] == pytest.approx(exact)
    assert waiting_seconds(np.array([0.0]), np.array([1.0]), 60.0, 1.0)[0] == 0


def test_the_tightest_tool_limits() -> None:
    busy = np.zeros((3, 200), dtype=np.int64)
    busy[0, 10], busy[2, 10] = 30_000_000, 90_000_000
    completed = np.zeros(200, dtype=int)
    completed[10] = 3
    found = bottlenecks(["a", "b", "c"], busy, completed, [9, 10, 177, 178])
    assert [names for names, _ in found] == [[], ["c", "a"], ["c", "a"], []]
    assert [limit for _, limit in found] == pytest.approx([np.nan, 120, 120, np.nan], nan_ok=True)


def test_a_busy_hour_proves_more_servers_than_one() -> None:
    busy = np.zeros((1, 10), dtype=np.int64)
    busy[0, 3] = 2 * HOUR_US + 1
    completed = np.full(10, 10)
    ((names, limit),) = bottlenecks(["a"], busy, completed, [9])
    assert names == ["a"]
    assert limit == pytest.approx(3 * 3600 / (7200 / 100), rel=1e-6)


counts = st.lists(st.integers(0, 50), min_size=HISTORY_HOURS + 40, max_size=HISTORY_HOURS + 40)


@settings(max_examples=15)
@given(counts, st.integers(1, 30))
def test_what_an_hour_says_rests_on_its_history_alone(drawn: list[int], cut: int) -> None:
    runs = np.array(drawn)

    def found(values: np.ndarray) -> list[Any]:
        columns = {name: values * factor for name, factor in COLUMNS.items()}
        made = capacity(hours(values.size, **columns))
        return [getattr(made, name) for name in made.__dataclass_fields__]

    hour = runs.size - 5
    for whole, later_cut, earlier_cut in zip(
        found(runs), found(runs[: hour + 1]), found(runs[hour - HISTORY_HOURS :]), strict=True
    ):
        assert whole[hour] == pytest.approx(later_cut[hour], nan_ok=True, rel=1e-12, abs=0)
        assert whole[hour] == pytest.approx(earlier_cut[HISTORY_HOURS], nan_ok=True, rel=1e-12, abs=0)


COLUMNS = {
    "arrivals": 1,
    "completed": 1,
    "duration_us": 70_000_000,
    "squares": 600_000,
    "inside_us": 69_000_000,
    "remaining": 250_000,
    "busy_us": 70_000_000,
    "running": 1,
    "peak": 1,
}


@pytest.mark.parametrize("utilisation", [np.nan, np.inf, 0.95, 7.0])
def test_where_waits_have_no_bound_none_is_told(utilisation: float) -> None:
    assert np.isnan(waiting_seconds(np.array([utilisation]), np.array([1]), 10.0, 1.0)).all()
    assert waiting_seconds(np.array([0.0]), np.array([1]), 10.0, 1.0) == 0


@pytest.mark.parametrize("arrivals", [[], [3.0], [3.0, 0.0]])
def test_the_first_arrivals_are_expected_to_go_on(arrivals: list[float]) -> None:
    assert expected_arrivals(np.array(arrivals)) == pytest.approx([3.0, 1.5][: len(arrivals)])


def test_no_tools_limit_nothing() -> None:
    ((tools, limit),) = bottlenecks(["idle"], np.zeros((1, 3)), np.zeros(3), [2])
    assert tools == [] and np.isnan(limit)
