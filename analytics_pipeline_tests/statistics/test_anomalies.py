from __future__ import annotations

import numpy as np
import pytest

from analytics_pipeline.statistics.anomalies import LINE, MEMORY, alerts, count_scores


def counts(hours: int, seed: int = 3) -> np.ndarray:
    """Runs an hour with a rhythm of the day."""
    rng = np.random.default_rng(seed)
    return rng.poisson(40 * (1 + 0.5 * np.sin(np.arange(hours) / 24 * 2 * np.pi))).astype(float)


@pytest.mark.parametrize("values", [[], [3.0], [3.0] * 72, [0.0] * 500, [7.0] * 500])
def test_too_short_or_without_change_nothing_is_rare(values: list[float]) -> None:
    scores = count_scores(values)
    assert scores.shape == (len(values),)
    assert not scores.any()
    assert not alerts(scores).any()


def test_a_burst_and_a_silence_are_told_once() -> None:
    values = counts(24 * 60)
    values[1200:1203] = 400
    found = np.flatnonzero(alerts(count_scores(values)))
    assert 1200 in found
    assert len([hour for hour in found if 1200 <= hour < 1224]) <= 2
    silent = counts(24 * 60)
    silent[1300:1306] = 0
    assert len([hour for hour in np.flatnonzero(alerts(count_scores(silent))) if 1300 <= hour < 1324]) in (1, 2)


def test_a_silence_at_night_is_told_although_it_is_quiet_then() -> None:
    quietest = 1200 + 18
    assert counts(24 * 60)[quietest : quietest + 3].mean() < 30
    values = counts(24 * 60)
    values[quietest : quietest + 3] = 0
    assert alerts(count_scores(values))[quietest : quietest + 3].any()


def test_quiet_series_give_few_alarms() -> None:
    weeks, seeds = 8, range(20)
    alarms = sum(alerts(count_scores(counts(MEMORY + 168 * weeks, seed)))[MEMORY:].sum() for seed in seeds)
    assert alarms <= 0.25 * weeks * len(seeds)


def test_the_beginning_of_a_series_is_nothing_odd_and_forgotten_soon() -> None:
    values = np.concatenate([np.zeros(MEMORY), counts(24 * 40)])
    start = MEMORY + 24 * 14
    assert not count_scores(values)[:start].any()
    silent = MEMORY + 24 * 28
    values[silent : silent + 3] = 0
    assert alerts(count_scores(values))[silent : silent + 3].any()


def test_the_unit_does_not_matter() -> None:
    values = counts(24 * 60)
    assert count_scores(1000 * values) == pytest.approx(count_scores(values), abs=1e-6)


def test_no_hour_knows_what_comes_after() -> None:
    values = counts(24 * 60)
    whole = count_scores(values)
    cut = 24 * 50 + 5
    assert np.array_equal(whole[:cut], count_scores(values[:cut]))


def test_no_hour_knows_what_lies_beyond_its_memory() -> None:
    values = counts(24 * 75)
    dropped = 24 * 10
    late = alerts(count_scores(values))[dropped + MEMORY :]
    assert np.array_equal(late, alerts(count_scores(values[dropped:]))[MEMORY:])
    assert count_scores(values)[dropped + MEMORY :] == pytest.approx(count_scores(values[dropped:])[MEMORY:], abs=1e-7)


def test_alerts_wait_for_something_yet_rarer() -> None:
    scores = np.zeros(60)
    scores[[5, 6, 7, 40]] = [LINE + 1, LINE + 1.2, LINE + 3, LINE + 1]
    assert np.flatnonzero(alerts(scores)).tolist() == [5, 7, 40]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_amount_is_not_rare_and_hides_nothing(bad: float) -> None:
    values = counts(24 * 60)
    values[900] = bad
    values[1200:1203] = 400
    scores = count_scores(values)
    assert np.isfinite(scores).all()
    assert not scores[900]
    assert alerts(scores)[1200]
