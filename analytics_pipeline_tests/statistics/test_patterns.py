from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analytics_pipeline.statistics.patterns import Outcomes, trouble

SIZE = 6


def outcomes(place: list[int], steps: list[int], failed: list[int], excess: list[float], places: int) -> Outcomes:
    """Runs as arrays: where each shows the pattern (from 0), how many steps it has less one, what became of it."""

    def add(values: Any) -> np.ndarray:
        table = np.zeros((places, SIZE))
        np.add.at(table, (place, steps), values)
        return table

    x = np.asarray(excess, dtype=float)
    rate = np.full(len(place), 0.1)
    return Outcomes(add(1), add(failed), add(rate), add(1), add(x), add(x**2))


def everyone(steps: list[int], failed: list[int], excess: list[float]) -> Outcomes:
    whole = outcomes([0] * len(steps), steps, failed, excess, 1)
    return Outcomes(*(getattr(whole, name)[0] for name in Outcomes.__dataclass_fields__))


def world(seed: int, runs: int = 600, fails: float = 0.1, dearer: float = 0.0) -> tuple[Outcomes, Outcomes]:
    """Longer runs show the pattern more often, fail more and cost more; after it they fail and cost as given."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, SIZE, runs)
    first = rng.geometric(0.12, runs)  # the place at which it would come
    shown = first <= steps
    rate = np.where(shown, fails, 0.1) + 0.02 * (steps - 2)
    failed = rng.random(runs) < np.clip(rate, 0.01, 1)
    excess = 0.3 * (steps - 2) + rng.normal(0, 0.5, runs) + dearer * shown
    pattern = outcomes(list(first[shown]), list(steps[shown]), list(failed[shown]), list(excess[shown]), SIZE)
    return pattern, everyone(list(steps), list(failed), list(excess))


def p_value(seed: int, **kind: Any) -> float:
    found = trouble(*world(seed, **kind))
    assert found is not None
    return found.p_value


def test_runs_that_fail_or_cost_more_after_it_are_found() -> None:
    assert p_value(1, fails=0.4) < 0.001
    assert p_value(1, dearer=0.6) < 0.001


def test_of_two_sure_ones_the_surer_can_be_told() -> None:
    """A p rounded to 0 would leave the choice between a pattern and its parts to chance."""
    assert 0 < p_value(1, runs=3000, dearer=1.5) < p_value(1, runs=3000, dearer=1.0) < 1e-20


def test_longer_runs_alone_are_no_trouble() -> None:
    p_values = [p_value(seed) for seed in range(200)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.07
    assert np.mean(np.array(p_values) < 0.01) <= 0.025


def test_ratios_say_how_much_against_runs_that_may_show_it_later() -> None:
    found = trouble(*world(3, runs=20_000, fails=0.3, dearer=0.5))
    assert found is not None
    assert 1.5 < found.failure_ratio < 3.0
    assert 1.2 < found.cost_ratio < np.exp(0.5)


@pytest.mark.parametrize("runs", [0, 1, 2, 19])
def test_few_runs_are_not_tested(runs: int) -> None:
    pattern = outcomes([1] * runs, [2] * runs, [1] * runs, [1.0] * runs, SIZE)
    assert trouble(pattern, everyone([2] * (runs + 100), [0] * (runs + 100), [0.0] * (runs + 100))) is None


def test_what_all_runs_show_has_nothing_to_be_compared_with() -> None:
    pattern = outcomes([1] * 50, [2] * 50, [1] * 50, [1.0] * 50, SIZE)
    assert trouble(pattern, everyone([2] * 50, [1] * 50, [1.0] * 50)) is None


def test_no_spread_and_no_failures_are_no_trouble() -> None:
    pattern = outcomes([1] * 50, [2] * 50, [0] * 50, [0.0] * 50, SIZE)
    found = trouble(pattern, everyone([2] * 150, [0] * 150, [0.0] * 150))
    assert found is not None
    assert found.p_value > 0.5 and found.failure_ratio == 1.0 and found.cost_ratio == 1.0


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_hardly_any_runs_are_no_trouble(runs: int) -> None:
    table = np.full((1, SIZE), float(runs))
    assert trouble(Outcomes(*[table] * 6), Outcomes(*[table[0]] * 6)) is None
