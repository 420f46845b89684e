from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline import pricing
from analytics_pipeline.insights.optimization import model_recommendations
from analytics_pipeline.insights.rules import Window
from analytics_pipeline.partitions import Clock
from analytics_pipeline.transforms.optimization import make_model_frontier, make_optimization_opportunities
from analytics_pipeline.transforms.patterns import make_call_patterns
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

NOW = "2026-03-31T12:00"
BIG, SMALL = "gpt-4o", "gpt-4o-mini"
PRICES = {BIG: (2.5, 10.0), SMALL: (0.15, 0.6)}


@pytest.fixture(autouse=True)
def _prices(tables: Tables) -> None:
    pricing.store(tables.connection, pricing.resolve([("openai", BIG), ("openai", SMALL), ("nobody", "x")]))


def make(tables: Tables, now: str = NOW) -> None:
    at_now: Clock = clock(now)
    make_model_frontier(tables.connection, at_now)
    make_optimization_opportunities(tables.connection, at_now)
    make_call_patterns(tables.connection, at_now)


def work(
    tables: Tables,
    runs: int,
    model: str = BIG,
    *,
    failed: int = 0,
    tokens: int = 1000,
    start: str = "2026-03-10T00:00",
    status: str = "failed",
    names: str = "",
    **fields: Any,
) -> None:
    """Runs ten minutes apart with one call of a model each, nine parts of it input, of which so many failed."""
    price_in, price_out = PRICES.get(model, (1.0, 1.0))
    cost = Decimal(str(round(tokens * (0.9 * price_in + 0.1 * price_out) / 1e6, 9)))
    for i in range(runs):
        begun = (at(start) + timedelta(minutes=10 * i)).isoformat()
        lost = failed > 0 and i % (runs // failed) == 0
        run: Row = {
            "pipeline_id": "triage",
            "input_category": "small",
            "status": status if lost else "succeeded",
            "cost_usd": cost,
            "duration_ms": 1000.0 + i,
        }
        run_id = tables.run(begun, **(run | fields))
        tables.call(
            begun,
            run_id=run_id,
            kind="llm",
            provider="openai",
            model=model,
            cost_usd=cost,
            input_tokens=tokens * 9 // 10,
            output_tokens=tokens // 10,
            total_tokens=tokens,
            org_id=fields.get("org_id", "default"),
        )
        for place, name in enumerate(names):
            step = (at(begun) + timedelta(seconds=place)).isoformat()
            tables.call(step, run_id=run_id, kind="tool", name=name, org_id=fields.get("org_id", "default"))


def opportunities(tables: Tables, kind: str) -> list[Row]:
    rows = tables.rows(f"SELECT * FROM optimization_opportunities WHERE type = '{kind}' ORDER BY opportunity_id")
    return [row | {"evidence": json.loads(row["evidence"])} for row in rows]


def test_a_switch_that_the_runs_support(tables: Tables) -> None:
    work(tables, 400, failed=8)
    work(tables, 300, SMALL, failed=6)
    work(tables, 50, input_category="huge")
    make(tables)
    (row,) = opportunities(tables, "model_downgrade")
    spent = 400 * 1000 * (0.9 * 2.5 + 0.1 * 10) / 1e6
    assert row["current_cost"] == pytest.approx(spent)
    assert row["potential_savings"] == pytest.approx(spent * (1 - 0.195 / 3.25), rel=0.01)
    assert row["savings_percent"] == pytest.approx(100 * row["potential_savings"] / row["current_cost"])
    assert 0 < row["savings_lo"] < row["potential_savings"]
    evidence = row["evidence"]
    assert (evidence["pipeline_id"], evidence["current"]["model"], evidence["candidate"]["model"]) == (
        "triage",
        BIG,
        SMALL,
    )
    assert {s["input_category"]: s["recommended"] for s in evidence["strata"]} == {"small": True, "huge": False}
    assert "in the last 30 days" in row["description"]
    assert opportunities(tables, "experiment") == []


def test_a_candidate_that_fails_more_is_not_recommended(tables: Tables) -> None:
    work(tables, 400, failed=8)
    work(tables, 300, SMALL, failed=30)
    make(tables)
    assert opportunities(tables, "model_downgrade") == [] and opportunities(tables, "experiment") == []


def test_without_evidence_it_is_an_experiment_without_a_saving(tables: Tables) -> None:
    work(tables, 100)
    work(tables, 100, SMALL, pipeline_id="other")
    make(tables)
    (row,) = opportunities(tables, "experiment")
    assert (row["potential_savings"], row["savings_lo"], row["savings_percent"]) == (None, None, None)
    assert row["evidence"]["price_only_saving"] == pytest.approx(100 * 1000 * (3.25 - 0.195) / 1e6)
    assert row["evidence"]["candidate"]["model"] == SMALL


def test_without_a_price_nothing_is_said(tables: Tables) -> None:
    work(tables, 100)
    work(tables, 100, "x", pipeline_id="other")
    tables.connection.execute("UPDATE calls SET provider = 'nobody' WHERE model = 'x'")
    make(tables)
    assert tables.rows("FROM optimization_opportunities") == []


def test_orgs_and_older_runs_stand_apart(tables: Tables) -> None:
    work(tables, 100)
    work(tables, 100, SMALL, org_id="other")
    work(tables, 100, SMALL, start="2026-02-01T00:00")
    make(tables)
    assert tables.rows("FROM optimization_opportunities") == []
    found = tables.rows("SELECT org_id, model, runs FROM model_frontier ORDER BY ALL")
    assert [tuple(row.values()) for row in found] == [("default", BIG, 100), ("other", SMALL, 100)]


def test_the_frontier_counts_runs_by_the_model_that_did_most(tables: Tables) -> None:
    work(tables, 40, failed=4)
    work(tables, 40, SMALL)
    run = tables.run(
        "2026-03-20T00:00", pipeline_id="triage", input_category="small", cost_usd=Decimal("0.05"), duration_ms=9e9
    )
    for model, cost in ((BIG, "0.01"), (SMALL, "0.04")):
        tables.call("2026-03-20T00:00", run_id=run, kind="llm", provider="openai", model=model, cost_usd=Decimal(cost))
    make(tables)
    big, small = tables.rows("SELECT * FROM model_frontier ORDER BY model")
    assert (big["as_of_day"], big["runs"], small["runs"]) == (date(2026, 3, 31), 40, 41)
    assert big["success_rate"] == pytest.approx(0.9)
    assert big["cost_per_success"] == pytest.approx(40 * 0.00325 / 36)
    assert (big["on_frontier"], small["on_frontier"]) == (True, True)


def test_unpriced_runs_are_in_no_cost(tables: Tables) -> None:
    work(tables, 10)
    work(tables, 10, cost_usd=None, unpriced_calls=1)
    make(tables)
    (row,) = tables.rows("FROM model_frontier")
    assert (row["runs"], row["cost_per_success"]) == (20, pytest.approx(0.00325))


def test_failures_beyond_the_best_week(tables: Tables) -> None:
    for week, failed in enumerate((2, 50, 50, 50)):
        work(tables, 200, failed=failed, start=f"2026-03-{4 + 7 * week:02}T00:00")
    make(tables)
    (row,) = opportunities(tables, "reliability")
    assert row["current_cost"] == pytest.approx(152 * 0.00325)
    assert row["potential_savings"] == pytest.approx(row["current_cost"] * (1 - 0.01 / (152 / 800)))
    assert 0 < row["savings_lo"] < row["potential_savings"]


def test_cancelled_runs_are_waste(tables: Tables) -> None:
    for week, cancelled in enumerate((0, 50, 50, 50)):
        work(tables, 200, failed=cancelled, status="cancelled", start=f"2026-03-{4 + 7 * week:02}T00:00")
    make(tables)
    (row,) = opportunities(tables, "waste")
    assert row["evidence"]["what"] == "cancelled"
    assert row["savings_percent"] == pytest.approx(100.0)
    assert opportunities(tables, "reliability") == []


def test_steady_failures_show_nothing_to_avoid(tables: Tables) -> None:
    work(tables, 2000, failed=200, start="2026-03-05T00:00")
    make(tables)
    assert opportunities(tables, "reliability") == []


def test_a_recommendation_speaks_of_models_on_the_frontier_only(tables: Tables) -> None:
    work(tables, 400, failed=8)
    work(tables, 300, SMALL, failed=6)
    make(tables)
    window = Window(7, *clock(NOW).window(7))
    rows = tables.rows("SELECT org_id, evidence FROM optimization_opportunities")
    (found,) = model_recommendations(rows, window)
    assert (found["type"], found["severity"], found["category"]) == ("model_recommendation", "info", "optimization")
    assert found["title"] == f"{SMALL} would do small inputs of triage for $1.22 less a month"
    assert found["pipeline_id"] == "triage" and found["amount_usd"] == pytest.approx(1.22, abs=0.01)
    assert found["data"]["scope"] == {"pipeline_id": "triage", "provider": "openai", "model": BIG}
    (longer,) = model_recommendations(rows, Window(30, *clock(NOW).window(30)))
    assert longer["insight_id"] == found["insight_id"], "told once"
    tables.connection.execute("UPDATE model_frontier SET on_frontier = false")
    make_optimization_opportunities(tables.connection, clock(NOW))
    assert model_recommendations(tables.rows("SELECT org_id, evidence FROM optimization_opportunities"), window) == []


def test_a_succession_after_which_runs_fail(tables: Tables) -> None:
    work(tables, 100, failed=10, names="abcde")
    work(tables, 60, failed=30, names="abxde")
    make(tables)
    (row,) = tables.rows("FROM call_patterns")
    assert row["pattern"] == "b > x" and row["runs"] == 60
    assert row["failure_rate"] == pytest.approx(0.5)
    assert row["cost_ratio"] == pytest.approx(1.0)
    assert row["q_value"] < 0.01


def test_runs_alike_show_no_pattern(tables: Tables) -> None:
    work(tables, 100, failed=10, names="abcde")
    work(tables, 60, failed=6, names="abxde")
    make(tables)
    assert tables.rows("FROM call_patterns") == []


def test_what_a_day_said_stays_and_rows_in_any_order_say_the_same(tables: Tables) -> None:
    work(tables, 100, failed=10, names="abcde")
    work(tables, 60, SMALL, failed=30, names="abxde")
    make(tables, "2026-03-30T00:00")
    make(tables)
    names = ("model_frontier", "call_patterns", "optimization_opportunities")
    first = {name: tables.everything(name) for name in names}
    assert {row["as_of_day"] for row in tables.rows("FROM model_frontier")} == {date(2026, 3, 30), date(2026, 3, 31)}
    for table in ("runs", "calls"):
        tables.connection.execute(f"CREATE TEMP TABLE turned AS FROM {table} ORDER BY hash(started_at, 7)")
        tables.connection.execute(f"DELETE FROM {table}")
        tables.connection.execute(f"INSERT INTO {table} FROM turned")
        tables.connection.execute("DROP TABLE turned")
    make(tables)
    assert {name: tables.everything(name) for name in names} == first


def test_nothing_is_made_of_nothing_and_what_is_to_come_is_unknown(tables: Tables) -> None:
    make(tables)
    work(tables, 50, start="2026-03-31T12:00", names="abc")
    make(tables)
    for name in ("model_frontier", "call_patterns", "optimization_opportunities"):
        assert tables.rows(f"FROM {name}") == []
