from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics.confidence import Confidence, recent_deviation, tool_confidences, wilson_lower_bound

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def confidence(executions: int, successes: int) -> Confidence:
    (found,) = tool_confidences([(executions, successes)], 0.95, 0.80)
    return found


@pytest.mark.parametrize(
    ("executions", "successes", "level"),
    [
        (0, 0, "MEDIUM"),
        (1, 0, "MEDIUM"),
        (2, 0, "MEDIUM"),
        (3, 0, "LOW"),
        (9, 9, "MEDIUM"),
        (10, 10, "HIGH"),
        (36, 35, "MEDIUM"),
        (37, 36, "HIGH"),
        (20, 15, "LOW"),
        (100, 79, "LOW"),
        (20, 16, "MEDIUM"),
        (10, 8, "MEDIUM"),
    ],
)
def test_levels_stand_where_they_were_set(executions: int, successes: int, level: str) -> None:
    assert confidence(executions, successes).level == level


def test_ten_of_ten_are_high_with_the_probability_that_the_rule_states() -> None:
    assert confidence(10, 10).p_high == pytest.approx(0.773, abs=5e-4)


@given(counts)
def test_probabilities_and_bound_are_in_range_and_a_success_more_never_lowers_trust(pair: tuple[int, int]) -> None:
    executions, successes = pair
    before, after = confidence(executions, successes), confidence(executions + 1, successes + 1)
    assert 0 <= before.p_high <= 1 and 0 <= before.p_low <= 1
    assert after.p_high >= before.p_high - 1e-12
    assert after.p_low <= before.p_low + 1e-12
    if executions:
        assert before.lower_bound is not None
        assert 0 <= before.lower_bound <= successes / executions + 1e-12
    else:
        assert before.lower_bound is None


def test_the_wilson_bound_is_the_textbooks() -> None:
    assert wilson_lower_bound(10, 9) == pytest.approx(0.5958, abs=1e-4)
    assert wilson_lower_bound(5, 0) == 0.0


def test_many_pairs_are_judged_as_each_alone() -> None:
    pairs = [(n, k) for n in range(12) for k in range(n + 1)]
    assert tool_confidences(pairs, 0.95, 0.80) == [confidence(n, k) for n, k in pairs]
    assert tool_confidences([], 0.95, 0.80) == []


def test_the_recent_rate_of_a_steady_tool_scatters_by_its_deviation() -> None:
    rng = np.random.default_rng(0)
    recent = np.full(20_000, 0.9)
    for _ in range(200):
        recent = 0.95 * recent + 0.05 * (rng.random(recent.size) < 0.9)
    assert recent_deviation(0.9) == pytest.approx(recent.std(), rel=0.03)
    assert recent_deviation(1.0) == recent_deviation(0.0) == 0.0


@pytest.mark.parametrize("executions", [0, 1, 2])
def test_hardly_used_tools_are_medium(executions: int) -> None:
    for successes in range(executions + 1):
        (found,) = tool_confidences([(executions, successes)], 0.95, 0.80)
        assert found.level == "MEDIUM"
        assert (found.lower_bound is None) == (executions == 0)


def test_a_tool_that_never_fails_or_always_does_scatters_not() -> None:
    assert recent_deviation(0.0) == recent_deviation(1.0) == 0
    assert tool_confidences([], 0.95, 0.80) == []
