"""How numbers are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics_pipeline.insights import wording

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.999, "$1.00"),
        (0.42, "$0.42"),
        (0.0042, "$0.0042"),
        (0.00000042, "$0.00000042"),
        (3e-68, "$0.00"),
        (-3.2, "-$3.20"),
    ],
)
def test_usd(amount: float | None, text: str) -> None:
    assert wording.usd(amount) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "unknown"), (0.4, "0 ms"), (850, "850 ms"), (12_400, "12.4 s"), (210_000, "3.5 min"), (7_560_000, "2.1 h")],
)
def test_duration(milliseconds: float | None, text: str) -> None:
    assert wording.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (48.2, "48%"), (9.96, "10%"), (3.14, "3.1%"), (0, "0.0%")]
)
def test_percent(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


def test_count_and_coverage() -> None:
    assert wording.count(1, "run") == "1 run"
    assert wording.count(1204, "run") == "1,204 runs"
    assert wording.coverage(0) == ""
    assert wording.coverage(1) == "1 call without a known price is not in it."


def explained(change: float, effects: dict[str, float] | None = None, **dims: str) -> dict[str, Any]:
    cause = {"dims": {"pipeline_id": "p", **dims}, "score": 0.9 if dims else 0.2, "explained": 1.0}
    cause |= {"previous": 20.0, "current": 20.0 + change}
    return {"method": "scan", "causes": [cause | ({"effects": effects} if effects else {})]}


def spike(change: float = 10.0, **explanation: Any) -> str:
    data: dict[str, Any] = {
        "period_days": 7,
        "scope": {"pipeline_id": "p"},
        "metric": "cost",
        "increase_percent": 100.0,
    }
    data |= {"current_cost": 20.0, "previous_cost": 10.0, "current_runs": 50, "previous_runs": 50, "unpriced_calls": 0}
    found = {"type": "cost_spike", "pipeline_id": "p", "data": data | {"change_percent": 100.0}}
    return str(wording.words(found | {"explanation": explained(change, **explanation)})["description"])


def test_a_cost_spike_names_what_counts_most_even_where_nothing_within_stands_out() -> None:
    assert "The tokens of a run count most (+$8.00)." in spike(effects={"volume": 1.0, "size": 8.0, "price": 1.0})
    assert "There the price of a token counts most (+$8.00)." in spike(
        effects={"volume": 1.0, "size": 1.0, "price": 8.0}, model="m"
    )
    assert "new" not in spike(effects={"new": 20.0})
    assert "most" not in spike(change=-10.0, effects={"volume": 1.0, "size": -12.0, "price": 1.0})


def test_of_the_cost_of_a_run_the_number_of_runs_is_not_told() -> None:
    data: dict[str, Any] = {"period_days": 7, "scope": {"pipeline_id": "p"}, "metric": "cost_per_run", "since": None}
    data |= {"adjusted_change_percent": 50.0, "current_cost_per_run": 2.0, "previous_cost_per_run": 1.0}
    found = {"type": "regression", "pipeline_id": "p", "data": data | {"unpriced_calls": 0}}
    told = wording.words(found | {"explanation": explained(3.0, {"volume": 2.0, "size": 0.0, "price": 1.0})})
    assert "most" not in told["description"]


def test_of_calls_without_tokens_no_price_of_a_token_is_told() -> None:
    told = spike(effects={"volume": 1.0, "size": 0.0, "price": 9.0}, name="search")
    assert "It comes from step search (all of the change). There the cost of a run counts most (+$9.00)." in told


@pytest.mark.parametrize(("before", "change"), [(0.1, 10.0), (0.4, -10.0), (None, 20.0)])
def test_only_a_rise_of_failures_has_a_cause(before: float | None, change: float) -> None:
    data: dict[str, Any] = {"period_days": 7, "scope": {"pipeline_id": "p"}, "metric": "failure_rate"}
    data |= {"total_failures": 30, "total_runs": 100, "by_error_type": {"Timeout": 30}, "failure_rate": 0.3}
    found = {"type": "failure_pattern", "pipeline_id": "p", "data": data | {"previous": before, "current": 0.3}}
    told = wording.words(found | {"explanation": explained(change, error_type="Timeout")})["description"]
    assert ("It comes from error Timeout" in told) is (change > 0)
    assert (", after " in told) is (before is not None)


def test_plain_means_that_say_something_else_are_told_with_the_reason() -> None:
    data: dict[str, Any] = {
        "period_days": 7,
        "scope": {},
        "metric": "duration",
        "since": None,
        "adjusted_change_percent": 173.0,
    }
    data |= {"previous_avg_ms": 12_700.0, "current_avg_ms": 18_300.0, "change_percent": 44.0}
    found = {"type": "performance_degradation", "pipeline_id": None, "data": data, "explanation": None}
    told = wording.words(found)["description"]
    assert "among runs of the same kind and input size the typical one takes 173% more" in told
    faster = found | {"type": "performance_improvement", "data": data | {"adjusted_change_percent": -20.0}}
    assert "the typical one takes 20% less" in wording.words(faster)["description"]


def test_hours_that_end_on_another_day_say_so() -> None:
    data = {
        "grain": "hour",
        "metric": "cost",
        "scope": {},
        "previous": 1.0,
        "current": 2.0,
        "robust_z": 4.0,
        "hours": 3,
    }
    found: dict[str, Any] = {"type": "anomaly", "pipeline_id": None, "data": data, "explanation": None}
    for start, end, span in ((23, 26, "23:00 to 2026-03-02 02:00 UTC:"), (20, 23, "20:00 to 23:00 UTC:")):
        period = {"period_start": DAY + timedelta(hours=start), "period_end": DAY + timedelta(hours=end)}
        assert wording.words(found | period)["description"].startswith(f"2026-03-01 {span}")


def test_a_recommended_model_is_told_with_the_work_that_it_would_do() -> None:
    data: dict[str, Any] = {
        "candidate_model": "small",
        "current_model": "large",
        "potential_savings": 12.0,
        "evidence_days": 30,
    }
    data |= {"input_categories": ["large", None, "medium", "tiny"], "current_cost": 14.0, "savings_percent": 86.0}
    found = {"type": "model_recommendation", "pipeline_id": "p", "data": data | {"success_lost_at_most": 0.02}}
    told = wording.words(found)
    assert told["title"] == "small would do tiny, medium, large, unsized inputs of p for $12.00 less a month"
    assert "large cost $14.00 for tiny, medium, large, unsized inputs of p" in told["description"]
