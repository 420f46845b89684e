"""Findings about how things stand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline.insights import rules, standing
from analytics_pipeline.partitions import to_naive_utc
from analytics_pipeline.settings import Budget, Settings

END = to_naive_utc(datetime(2026, 3, 31, tzinfo=UTC))
WEEK = rules.Window(7, END - timedelta(days=7), END)
SETTINGS = Settings(budget=Budget(monthly=100, projects={"shop": 10}))


def spent(usd: str, projected: float | None, **values: Any) -> dict[str, Any]:
    return {
        "org_id": "default",
        "scope_kind": "org",
        "scope": "default",
        "spent": Decimal(usd),
        "unpriced_calls": 0,
        "projected": projected,
        "exhausted_on": None,
        "month": date(2026, 3, 1),
    } | values


@pytest.mark.parametrize(
    ("usd", "projected", "severity"),
    [
        ("10", 79.9, None),
        ("10", 80.0, "info"),
        ("10", 90.0, "warning"),
        ("10", 100.0, "critical"),
        ("80", None, "info"),
        ("100", 50.0, "critical"),
        ("0", None, None),
    ],
)
def test_budget_by_what_is_spent_or_projected(usd: str, projected: float | None, severity: str | None) -> None:
    found = standing.budgets([spent(usd, projected)], WEEK, SETTINGS)
    assert [insight["severity"] for insight in found] == ([severity] if severity else [])


def test_budget_of_a_project_and_of_none() -> None:
    rows = [
        spent("11", 20.0, scope_kind="project", scope="shop", exhausted_on=date(2026, 3, 20)),
        spent("900", 900.0, scope_kind="project", scope="unlimited"),
        spent("900", 900.0, org_id="other", scope="other"),
    ]
    (found,) = standing.budgets(rows, WEEK, SETTINGS)
    assert found["data"]["scope"] == {"project": "shop"}
    assert (found["data"]["budget"], found["data"]["spent"], found["data"]["projected"]) == (10, 11, 20)
    assert found["title"] == "Budget of project shop 110% spent"
    assert (found["category"], found["pipeline_id"], found["amount_usd"]) == ("cost", None, 20)


def test_a_tool_that_fails_of_late() -> None:
    row = {
        "org_id": "default",
        "tool_name": "search",
        "success_rate": 0.95,
        "success_rate_ewma": 0.6,
        "total_executions": 400,
        "confidence_level": "MEDIUM",
        "top_error_type": "timeout",
    }
    (found,) = standing.degrading_tools([row, row | {"tool_name": None}], WEEK)
    assert (found["type"], found["severity"], found["category"]) == ("tool_degradation", "warning", "reliability")
    assert found["data"]["scope"] == {"name": "search"}
    assert (found["data"]["previous"], found["data"]["current"]) == pytest.approx((0.05, 0.4))
    assert found["description"].startswith("Of late 60% of its calls succeeded, against 95% of all 400 in 30 days.")
    (flawless,) = standing.degrading_tools([row | {"success_rate": 1.0}], WEEK)
    assert flawless["data"]["change_percent"] is None


@pytest.mark.parametrize(("rate", "of_late", "is_told"), [(0.98, 0.79, True), (0.87, 0.74, False), (0.87, 0.73, True)])
def test_a_tool_that_always_fails_now_and_then_is_told_of_only_beyond_chance(
    rate: float, of_late: float, is_told: bool
) -> None:
    row = {
        "org_id": "default",
        "tool_name": "search",
        "success_rate": rate,
        "success_rate_ewma": of_late,
        "total_executions": 900,
        "confidence_level": "MEDIUM",
        "top_error_type": None,
    }
    assert bool(standing.degrading_tools([row], WEEK)) is is_told


def model(name: str | None, cost: str | None, calls: int = 10, unpriced_calls: int = 0) -> dict[str, Any]:
    return {
        "org_id": "default",
        "provider": "acme",
        "model": name,
        "calls": calls,
        "unpriced_calls": unpriced_calls,
        "cost_usd": None if cost is None else Decimal(cost),
    }


@pytest.mark.parametrize(("large", "is_found"), [("7.99", False), ("8.00", True)])
def test_one_model_takes_most_of_the_cost(large: str, is_found: bool) -> None:
    rest = Decimal(10) - Decimal(large)
    found = standing.concentration([model("large", large), model("small", str(rest))], WEEK)
    assert [insight["data"]["scope"] for insight in found] == [{"provider": "acme", "model": "large"}] * is_found


@pytest.mark.parametrize("rows", [[], [model("m", None)], [model("m", "5", calls=9)], [model(None, "5")]])
def test_no_concentration_without_known_cost_calls_or_name(rows: list[dict[str, Any]]) -> None:
    assert standing.concentration(rows, WEEK) == []


def test_what_one_model_takes_is_a_share_of_the_known_cost() -> None:
    (found,) = standing.concentration([model("large", "9"), model("other", None, unpriced_calls=4)], WEEK)
    assert found["title"] == "large takes 100% of the known cost"
    assert found["description"].endswith("4 calls without a known price are not in it.")
    assert found["data"]["unpriced_calls"] == 4


@pytest.mark.parametrize(("failed", "is_found"), [("0.49", False), ("0.50", True)])
def test_waste_of_failed_and_cancelled_runs(failed: str, is_found: bool) -> None:
    current = rules.Figures(
        runs=10, cost_usd=Decimal(10), failed_cost_usd=Decimal(failed), cancelled_cost_usd=Decimal("0.5")
    )
    scope = rules.Scope("default", None, rules.Figures(), current, None)
    found = standing.waste([scope, rules.Scope("default", "p", rules.Figures(), current, None)], WEEK)
    assert [insight["amount_usd"] for insight in found] == [1.0] * is_found
    assert standing.waste([rules.Scope("default", None, rules.Figures(), rules.Figures(runs=10), None)], WEEK) == []


def test_habits() -> None:
    hours = [
        {"org_id": "default", "pipeline_id": pipeline, "hour": hour, "runs": runs, "days": 7}
        for pipeline, hour, runs in (("a", 9, 50), ("a", 10, 40), ("b", 14, 20), (None, 3, 5))
    ]
    (found,) = standing.habits(hours, [model("m", "1", calls=30), model(None, None, calls=10)], WEEK)
    assert found["data"]["peak_hours"] == [9, 10, 14]
    assert found["data"]["peak_share"] == pytest.approx(110 / 115)
    assert [entry["name"] for entry in found["data"]["busiest_pipelines"]] == ["a", "b", "unknown"]
    assert found["data"]["preferred_models"][0] == {"name": "m", "count": 30, "share": 0.75}
    assert standing.habits(hours[:1], [], WEEK) == []
    assert standing.habits([row | {"days": 6} for row in hours], [], WEEK) == []
