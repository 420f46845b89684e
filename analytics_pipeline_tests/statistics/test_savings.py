from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics.savings import (
    Stratum,
    Work,
    avoidable,
    lower_bound,
    on_frontier,
    switches,
)

GOOD = Work(finished=1000, succeeded=980, priced=1000, cost=100.0, model_cost=100.0, spread=0.5)
NOTHING = Work(0, 0, 0, 0.0, 0.0)


def stratum(current: Work = GOOD, candidate: Work = GOOD, repriced: float = 20.0, name: str = "small") -> Stratum:
    return Stratum(name, current, candidate, repriced)


def test_a_cheaper_model_that_does_as_well_is_recommended() -> None:
    (found,) = switches([stratum(candidate=replace(GOOD, cost=20.0, model_cost=20.0))])
    assert found.recommended and found.verbosity == pytest.approx(1.0)
    assert found.saving == pytest.approx(80.0)
    assert 70 < lower_bound([found]) < 80


def test_a_model_that_says_more_saves_less() -> None:
    (found,) = switches([stratum(candidate=replace(GOOD, cost=40.0, model_cost=40.0))])
    assert found.verbosity == pytest.approx(2.0, rel=0.03)
    assert found.saving == pytest.approx(60.0, rel=0.03)


def test_what_other_models_did_in_the_run_stays_as_dear() -> None:
    current = replace(GOOD, cost=150.0)
    (found,) = switches([stratum(current, replace(GOOD, cost=70.0, model_cost=20.0))])
    assert found.saving == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("finished", "succeeded"), [(19, 19), (1000, 930), (40, 38), (1000, 0)], ids=["few", "worse", "unsure", "never"]
)
def test_too_few_or_too_bad_is_not_recommended(finished: int, succeeded: int) -> None:
    candidate = Work(finished, succeeded, finished, 0.02 * finished, 0.02 * finished, 0.5)
    (found,) = switches([stratum(candidate=candidate)])
    assert not found.recommended


def test_a_dearer_model_is_not_recommended() -> None:
    (found,) = switches([stratum(repriced=200.0, candidate=replace(GOOD, cost=200.0, model_cost=200.0))])
    assert found.saving < 0 and not found.recommended


def test_nothing_known_says_little() -> None:
    assert switches([]) == []
    assert switches([stratum(current=NOTHING), stratum(repriced=0.0)]) == []
    (found,) = switches([stratum(candidate=NOTHING)])
    assert (found.verbosity, found.recommended) == (1.0, False)
    (found,) = switches([stratum(current=Work(1, 1, 1, 1.0, 1.0), candidate=Work(2, 1, 0, 0.0, 0.0))])
    assert math.isfinite(found.saving) and math.isfinite(found.deviation)


works = st.integers(1, 500).flatmap(
    lambda n: st.builds(
        lambda succeeded, cost, spread: Work(n, succeeded, n, cost, cost, spread),
        st.integers(0, n),
        st.floats(1e-6, 1e4),
        st.none() | st.floats(0, 3),
    )
)


@given(works, works, st.floats(1e-6, 1e4))
def test_no_more_is_saved_than_was_spent(current: Work, candidate: Work, repriced: float) -> None:
    (found,) = switches([stratum(current, candidate, repriced)])
    assert found.saving <= current.cost
    assert found.deviation >= 0 and lower_bound([found]) <= found.saving
    assert not found.recommended or found.loss <= 0.03


def test_a_week_that_was_better_shows_what_can_be_avoided() -> None:
    found = avoidable([(500, 10), (500, 60), (500, 60), (500, 60)], (100, 10))
    assert found is not None
    assert found.target == 0.02
    assert found.rate == pytest.approx(200 / 2100)
    assert found.share == pytest.approx(1 - 0.02 / (200 / 2100))
    assert 0 < found.share_lo < found.share


@pytest.mark.parametrize(
    "weeks",
    [
        [],
        [(0, 0)],
        [(19, 0), (500, 50)],
        [(500, 45), (500, 55), (500, 50), (500, 50)],
        [(500, 0), (500, 0)],
        [(20, 20)],
    ],
    ids=["none", "empty", "short week", "chance", "no loss", "all lost"],
)
def test_a_best_week_by_chance_shows_nothing(weeks: list[tuple[int, int]]) -> None:
    assert avoidable(weeks) is None


def test_the_frontier_is_what_nothing_beats() -> None:
    cheap, good, fast, beaten = (1.0, 0.9, 9.0), (5.0, 0.99, 9.0), (5.0, 0.9, 1.0), (5.0, 0.9, 9.0)
    assert on_frontier([cheap, good, fast, beaten]) == [True, True, True, False]
    assert on_frontier([beaten]) == [True]
    assert on_frontier([cheap, cheap]) == [True, True]
    assert on_frontier([]) == []


def test_the_frontier_knows_what_it_does_not_know() -> None:
    unpriced, unfinished, hopeless, untimed = (None, 0.9, 1.0), (1.0, None, 1.0), (None, 0.0, 9.0), (1.0, 0.9, None)
    assert on_frontier([unpriced, unfinished, hopeless, untimed]) == [None, None, True, True]
    assert on_frontier([(1.0, 0.9, 8.0), hopeless, untimed]) == [True, False, False]


figures = st.tuples(st.none() | st.floats(0, 10), st.none() | st.floats(0, 1), st.none() | st.floats(0, 10))


@given(st.lists(figures, max_size=6))
def test_some_known_model_is_on_the_frontier(models: list[tuple[float | None, float | None, float | None]]) -> None:
    found = on_frontier(models)
    known = [flag for flag in found if flag is not None]
    assert not known or any(known)
    assert on_frontier(models[::-1]) == found[::-1]


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_of_hardly_any_runs_nothing_is_recommended(runs: int) -> None:
    few = Work(runs, runs, runs, float(runs), float(runs))
    for current, candidate in ((few, GOOD), (GOOD, few), (few, few)):
        for found in switches([stratum(current, candidate)]):
            assert not found.recommended
            assert math.isfinite(found.saving) and found.deviation > 0


@pytest.mark.parametrize("amount", [math.nan, math.inf, 0.0, -1.0])
def test_what_is_no_amount_saves_nothing(amount: float) -> None:
    odd = replace(GOOD, cost=amount, model_cost=amount)
    assert not any(found.recommended for found in switches([stratum(current=odd)]))
    assert amount == math.inf or not switches([stratum(repriced=amount)])
    assert switches([]) == [] and lower_bound([]) == 0


def test_without_spread_the_success_rate_alone_makes_it_unsure() -> None:
    still = replace(GOOD, spread=0.0)
    (found,) = switches([stratum(still, still)])
    assert 0 < found.deviation < 2


@pytest.mark.parametrize("weeks", [[], [(0, 0)], [(1, 1)], [(20, 20)], [(20, 0)]])
def test_without_a_better_week_nothing_is_avoidable(weeks: list[tuple[int, int]]) -> None:
    assert avoidable(weeks) is None
