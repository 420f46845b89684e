"""Rows of two periods in, findings out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.insights import rules
from analytics_pipeline.partitions import to_naive_utc
from analytics_pipeline.settings import Thresholds
from analytics_pipeline.transforms.changes import Comparison

END = to_naive_utc(datetime(2026, 3, 31, tzinfo=UTC))
WEEK = rules.Window(7, END - timedelta(days=7), END)
LONG_AGO = END - timedelta(days=400)


def figures(**values: Any) -> rules.Figures:
    known: dict[str, Any] = {"runs": 100, "succeeded": 100, "timed_runs": 100, "duration_us": 100_000_000}
    return rules.Figures(**(known | {"cost_usd": Decimal(10)} | values))


def verdict(q: float = 0.01, **test: Any) -> rules.Verdict:
    return rules.Verdict(q / 2, q, Comparison(q / 2, **test))


SURE = {"cost": verdict(), "failure_rate": verdict(q=0.5)}


def found(
    previous: rules.Figures, current: rules.Figures, first_run: datetime = LONG_AGO, **scope: Any
) -> dict[str, Any]:
    known = {"verdicts": SURE} | scope
    made = rules.Scope("acme", known.pop("pipeline_id", None), previous, current, first_run, **known)
    return {insight["type"]: insight for insight in rules.findings([made], WEEK, Thresholds())}


@pytest.mark.parametrize(
    ("cost", "severity"), [("14.99", None), ("15.00", "warning"), ("19.99", "warning"), ("20.00", "critical")]
)
def test_cost_spike_by_threshold(cost: str, severity: str | None) -> None:
    spike = found(figures(), figures(cost_usd=Decimal(cost))).get("cost_spike")
    assert (spike and spike["severity"]) == severity


def test_cost_spike_says_what_the_contract_asks_for() -> None:
    spike = found(figures(), figures(cost_usd=Decimal("18.12"), unpriced_calls=4), pipeline_id="extract")["cost_spike"]
    assert spike["category"] == "cost"
    assert spike["amount_usd"] == pytest.approx(8.12)
    assert spike["pipeline_id"] == "extract"
    assert (spike["period_start"], spike["period_end"]) == (WEEK.start, WEEK.end)
    data = spike["data"]
    assert (data["previous_cost"], data["current_cost"]) == (data["previous"], data["current"]) == (10.0, 18.12)
    assert data["increase_percent"] == data["change_percent"] == pytest.approx(81.2)
    assert (data["grain"], data["metric"], data["scope"]) == ("period", "cost", {"pipeline_id": "extract"})
    assert "4 calls without a known price" in spike["description"]
    assert "$18.12" in spike["description"]
    assert "extract" in spike["title"]
    assert spike["recommendations"]


@pytest.mark.parametrize(
    ("previous", "current"),
    [
        (figures(cost_usd=None), figures(cost_usd=Decimal(50))),
        (figures(), figures(cost_usd=None)),
        (figures(runs=9), figures(cost_usd=Decimal(50))),
        (figures(), figures(runs=9, cost_usd=Decimal(50))),
    ],
)
def test_no_cost_spike_without_a_yardstick(previous: rules.Figures, current: rules.Figures) -> None:
    assert "cost_spike" not in found(previous, current)


def test_no_cost_spike_where_the_logs_begin_within_the_earlier_period() -> None:
    dear = figures(cost_usd=Decimal(50))
    assert "cost_spike" not in found(figures(), dear, first_run=WEEK.previous_start + timedelta(days=2))
    assert "cost_spike" in found(figures(), dear, first_run=WEEK.previous_start + timedelta(hours=20))


def test_no_cost_spike_that_may_be_chance() -> None:
    dear = figures(cost_usd=Decimal(50))
    assert "cost_spike" not in found(figures(), dear, verdicts={"cost": verdict(q=0.11)})
    assert "cost_spike" not in found(figures(), dear, verdicts={})
    spike = found(figures(), dear, verdicts={"cost": verdict(q=0.04)})["cost_spike"]
    assert (spike["p_value"], spike["q_value"]) == (0.02, 0.04)


@pytest.mark.parametrize(("cost", "severity"), [("0.99", None), ("1.00", "warning"), ("900", "warning")])
def test_from_nothing_the_amount_counts(cost: str, severity: str | None) -> None:
    spike = found(figures(cost_usd=Decimal(0)), figures(cost_usd=Decimal(cost))).get("cost_spike")
    assert (spike and spike["severity"]) == severity
    if spike:
        assert spike["data"]["change_percent"] is None
        assert "from nothing" in spike["title"]


def test_a_new_pipeline_rose_from_nothing() -> None:
    spike = found(rules.Figures(), figures(cost_usd=Decimal(40)), first_run=WEEK.start, pipeline_id="new")["cost_spike"]
    assert (spike["severity"], spike["data"]["previous"], spike["amount_usd"]) == ("warning", 0.0, 40.0)
    assert "meant to run" in spike["recommendations"][0]
    assert "cost_spike" not in found(rules.Figures(), figures(runs=9), first_run=WEEK.start)
    assert "cost_spike" not in found(rules.Figures(), figures(), first_run=WEEK.start, verdicts={})


@pytest.mark.parametrize(
    ("adjusted", "kind"),
    [
        (0.3, "performance_degradation"),
        (0.299, None),
        (-0.099, None),
        (-0.1, "performance_improvement"),
    ],
)
def test_speed_counts_free_of_size(adjusted: float, kind: str | None) -> None:
    slow = figures(duration_us=140_000_000)
    made = found(figures(), slow, verdicts={"duration": verdict(adjusted=adjusted, since=END.date())})
    assert made.keys() == ({kind} if kind else set())
    for insight in made.values():
        data = insight["data"]
        assert insight["severity"] == ("warning" if adjusted > 0 else "info")
        assert (data["previous_avg_ms"], data["current_avg_ms"]) == (1000.0, 1400.0)
        assert (data["change_percent"], data["adjusted_change_percent"]) == pytest.approx((40, 100 * adjusted))
        assert data["since"] == "2026-03-31"
        assert "which other work and a few long runs move too, that is +40%" in insight["description"]
    assert found(figures(), slow, verdicts={"duration": verdict(adjusted=adjusted, q=0.2)}) == {}


def test_raw_and_adjusted_are_told_apart_beyond_five_points() -> None:
    for adjusted, is_said in ((0.35, False), (0.349, True)):
        verdicts = {"duration": verdict(adjusted=adjusted)}
        made = found(figures(), figures(duration_us=140_000_000), verdicts=verdicts)["performance_degradation"]
        assert ("plain means" in made["description"]) == is_said


def test_a_regression_is_a_dearer_run_without_a_spike() -> None:
    dear = verdict(adjusted=0.4)
    made = found(figures(), figures(cost_usd=Decimal(14)), verdicts={"cost": dear, "cost_per_run": dear})
    assert made.keys() == {"regression"}
    assert (made["regression"]["category"], made["regression"]["severity"]) == ("cost", "warning")
    assert made["regression"]["amount_usd"] == pytest.approx(4)
    spiked = found(figures(), figures(cost_usd=Decimal(15)), verdicts={"cost": dear, "cost_per_run": dear})
    assert spiked.keys() == {"cost_spike"}
    grown = found(figures(), figures(cost_usd=Decimal(14)), verdicts={"cost_per_run": verdict(adjusted=0.02)})
    assert grown == {}


@pytest.mark.parametrize(
    ("failed", "severity"), [(13, None), (14, "warning"), (28, "warning"), (29, "critical"), (100, "critical")]
)
def test_failure_pattern_where_the_level_is_sure(failed: int, severity: str | None) -> None:
    pattern = found(figures(), figures(failed=failed, succeeded=100 - failed)).get("failure_pattern")
    assert (pattern and pattern["severity"]) == severity
    if pattern:
        assert 0 <= pattern["p_value"] <= 0.1
        assert pattern["q_value"] == pytest.approx(pattern["p_value"])


def test_a_rise_of_failures_below_the_line() -> None:
    before, after = figures(succeeded=990, failed=10), figures(succeeded=950, failed=50, runs=1000)
    made = found(before, after, verdicts={"failure_rate": verdict(q=0.001)})
    assert made.keys() == {"reliability"}
    assert made["reliability"]["data"]["failure_rate"] == 0.05
    assert found(before, after, verdicts={"failure_rate": verdict(q=0.2)}) == {}
    small = figures(succeeded=981, failed=19)
    assert found(before, small, verdicts={"failure_rate": verdict(q=0.001)}) == {}


def test_a_fall_of_the_qa_pass_rate_is_told_unless_failures_tell_it() -> None:
    fell = {"qa_pass_rate": verdict(previous=0.95, current=0.7, trials=80)}
    made = found(figures(), figures(), verdicts=fell)["reliability"]
    assert (made["data"]["metric"], made["data"]["current"]) == ("qa_pass_rate", 0.7)
    assert "QA passes 70% of runs" in made["title"]
    assert found(figures(), figures(), verdicts=fell | {"failure_rate": verdict()}) == {}


def test_verdicts_of_an_org_are_one_report_and_look_one_way() -> None:
    tests = {
        ("acme", "org", "acme", "cost"): Comparison(0.01),
        ("acme", "pipeline", "a", "cost"): Comparison(0.99),
        ("acme", "pipeline", "a", "qa_pass_rate"): Comparison(0.99),
        ("acme", "pipeline", None, "cost"): Comparison(0.001),
        ("acme", "model", "m", "cost"): Comparison(0.001),
        ("other", "org", "other", "duration"): Comparison(0.02, adjusted=0.5),
    }
    judged = rules.verdicts(tests)
    assert judged.keys() == {("acme", None), ("acme", "a"), ("other", None)}
    assert judged["acme", None]["cost"].q == pytest.approx(0.015)
    assert judged["acme", "a"]["cost"].p == 0.99
    assert judged["acme", "a"]["qa_pass_rate"].p == pytest.approx(0.01)
    assert judged["other", None]["duration"].q == pytest.approx(0.04)


def test_failure_pattern_counts_finished_runs_and_the_money_lost() -> None:
    current = figures(runs=200, failed=42, succeeded=108, failed_cost_usd=Decimal("3.5"))
    pattern = found(figures(), current, errors={"timeout": 12, "api_error": 30})["failure_pattern"]
    assert pattern["data"]["failure_rate"] == pytest.approx(0.28)
    assert pattern["data"]["total_failures"] == 42
    assert list(pattern["data"]["by_error_type"].items()) == [("api_error", 30), ("timeout", 12)]
    assert pattern["data"]["previous"] == 0
    assert pattern["data"]["change_percent"] is None
    assert pattern["amount_usd"] == 3.5
    assert "42 of 150 finished runs" in pattern["description"]


def test_three_runs_do_not_shout() -> None:
    few = figures(runs=3, succeeded=0, failed=3, timed_runs=3, duration_us=9_000_000, cost_usd=Decimal(900))
    assert found(figures(), few) == {}


def test_scopes_add_up_to_their_org() -> None:
    def row(pipeline: str | None, is_current: int, runs: int, cost: str | None) -> dict[str, Any]:
        blank = dict.fromkeys(rules.Figures.__dataclass_fields__, 0)
        money = {"cost_usd": cost and Decimal(cost), "failed_cost_usd": None}
        return blank | money | {"org_id": "acme", "pipeline_id": pipeline, "is_current": is_current, "runs": runs}

    def error(pipeline: str | None, error_type: str | None, failed: int) -> dict[str, Any]:
        return {"org_id": "acme", "pipeline_id": pipeline, "error_type": error_type, "failed": failed}

    made = rules.scopes(
        [row("a", 0, 5, "1.5"), row("a", 1, 7, None), row(None, 1, 2, "0.25"), row("b", 1, 1, "0.5")],
        [error("a", "timeout", 2), error(None, None, 1), error("b", "timeout", 1)],
        [
            {"org_id": "acme", "pipeline_id": "a", "first_run": END},
            {"org_id": "acme", "pipeline_id": "b", "first_run": LONG_AGO},
        ],
    )
    assert [scope.pipeline_id for scope in made] == [None, "a", "b"]
    org, a, _ = made
    assert (org.previous.runs, org.current.runs, org.current.cost_usd) == (5, 10, Decimal("0.75"))
    assert (a.current.runs, a.current.cost_usd, a.errors) == (7, None, {"timeout": 2})
    assert (org.errors, org.first_run) == ({"timeout": 3, "unknown": 1}, LONG_AGO)


@given(st.integers(min_value=10, max_value=10**6), st.integers(min_value=0, max_value=10**6), st.integers(1, 10**9))
def test_the_id_does_not_depend_on_the_figures(succeeded: int, failed: int, cost: int) -> None:
    usual = found(figures(), figures(failed=50, succeeded=50, cost_usd=Decimal(99)))
    other = found(figures(), figures(failed=failed, succeeded=succeeded, cost_usd=Decimal(cost)))
    for name in usual.keys() & other.keys():
        assert usual[name]["insight_id"] == other[name]["insight_id"]


def test_ids_differ_by_what_they_are_about() -> None:
    parts = [("acme", {}, 7), ("acme", {}, 30), ("other", {}, 7), ("acme", {"pipeline_id": "a"}, 7)]
    ids = {rules.identity(org, "cost_spike", "period", "cost", scope, days) for org, scope, days in parts}
    assert len(ids) == len(parts)
