from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline import schema
from analytics_pipeline.partitions import Clock
from analytics_pipeline.transforms.days import make_daily_series
from analytics_pipeline.transforms.now import (
    make_agent_status,
    make_cost_forecasts,
    make_storage_usage,
    make_trends,
)
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

NOW = clock("2026-03-31T12:30")
TODAY = date(2026, 3, 31)


def status(tables: Tables, agent: str) -> Row:
    (row,) = tables.rows(f"SELECT * FROM agent_status WHERE agent_id = '{agent}'")
    return row


@pytest.mark.parametrize(
    ("last", "word"),
    [
        ("2026-03-31T12:25:00", "active"),
        ("2026-03-31T12:24:59", "idle"),
        ("2026-03-30T12:30:00", "idle"),
        ("2026-03-30T12:29:59", "offline"),
    ],
)
def test_an_agent_is_what_its_last_activity_says(tables: Tables, last: str, word: str) -> None:
    tables.run("2026-03-01T00:00", agent_id="a", ended_at=at(last))
    make_agent_status(tables.connection, NOW)
    assert (status(tables, "a")["status"], status(tables, "a")["last_activity"]) == (word, at(last))


def test_an_agents_calls_in_runs_of_others_are_its_activity(tables: Tables) -> None:
    tables.run("2026-03-01T00:00", agent_id="a")
    tables.call("2026-03-31T12:29", agent_id="b", ended_at=at("2026-03-31T12:29:30"))
    tables.call("2026-03-31T12:20", agent_id="c", ended_at=at("2026-03-31T13:00"))  # its end is not known yet
    tables.call("2026-03-31T12:31", agent_id="d")
    tables.run("2026-03-01T00:00", agent_id=None)
    assert make_agent_status(tables.connection, NOW) == {"agent_status": 3}
    assert status(tables, "b")["last_activity"] == at("2026-03-31T12:29:30")
    assert status(tables, "c")["last_activity"] == at("2026-03-31T12:20")
    assert status(tables, "b")["tasks_completed_today"] == 0
    assert status(tables, "b")["success_rate"] is None


def test_todays_tasks_are_those_that_ended_today_and_rates_are_of_24_hours(tables: Tables) -> None:
    hour = 3_600_000.0
    tables.run("2026-03-30T23:00", agent_id="a", duration_ms=2 * hour, status="failed")
    tables.run("2026-03-31T10:00", agent_id="a", duration_ms=1 * hour)
    tables.run("2026-03-31T11:00", agent_id="a", duration_ms=3 * hour)  # ends after now
    tables.run("2026-03-30T12:00", agent_id="a", duration_ms=9 * hour)  # before the 24 hours
    tables.run("2026-03-31T12:00", agent_id="a", status="running")
    make_agent_status(tables.connection, NOW)
    row = status(tables, "a")
    assert row["tasks_completed_today"] == 2
    assert row["avg_response_time_ms"] == 2 * hour
    assert row["success_rate"] == pytest.approx(2 / 3)


def test_agent_status_is_replaced_as_a_whole(tables: Tables) -> None:
    tables.run("2026-03-31T00:00", agent_id="a")
    make_agent_status(tables.connection, NOW)
    tables.connection.execute("DELETE FROM runs")
    assert make_agent_status(tables.connection, NOW) == {"agent_status": 0}
    assert tables.everything("agent_status") == []


def trend(tables: Tables, metric: str, kind: str = "org", period: int = 7, scope: str | None = "default") -> Row:
    (row,) = [
        row
        for row in tables.rows("FROM trends")
        if (row["metric"], row["scope_kind"], row["period_days"], row["scope"]) == (metric, kind, period, scope)
    ]
    return row


def test_a_trend_sets_a_period_against_the_one_before(tables: Tables) -> None:
    # now is 12:30, so that the 7 days begin at 13:00 a week ago
    tables.run("2026-03-17T13:00", cost_usd=Decimal(2), duration_ms=100.0, status="failed", qa_status="failed")
    tables.run("2026-03-24T12:59", cost_usd=Decimal(2), duration_ms=300.0, qa_status="passed")
    tables.run("2026-03-24T13:00", cost_usd=Decimal(6), total_tokens=10)
    tables.run("2026-03-17T12:59", cost_usd=Decimal(50))
    tables.run("2026-03-31T12:30", cost_usd=Decimal(50))  # not known yet
    make_trends(tables.connection, NOW)
    cost = trend(tables, "cost")
    assert (cost["current_value"], cost["previous_value"], cost["change_percent"]) == (6.0, 4.0, 50.0)
    assert (cost["direction"], cost["is_significant"]) == ("stable", False)
    assert (cost["p_value"], cost["q_value"]) == (None, None)
    assert cost["as_of_day"] == TODAY
    assert trend(tables, "runs")["change_percent"] == -50.0
    assert trend(tables, "cost_per_run")["change_percent"] == 200.0
    assert trend(tables, "duration")["previous_value"] == 200.0 and trend(tables, "duration")["current_value"] is None
    assert trend(tables, "failure_rate")["previous_value"] == 0.5
    assert trend(tables, "qa_pass_rate")["previous_value"] == 0.5
    tokens = trend(tables, "tokens")
    assert (tokens["current_value"], tokens["previous_value"], tokens["change_percent"]) == (10.0, None, None)
    assert trend(tables, "cost", period=30)["current_value"] == 60.0


def test_scopes_are_org_project_pipeline_and_model_the_unknown_one_too(tables: Tables) -> None:
    tables.run("2026-03-30T00:00", project="p", pipeline_id=None, cost_usd=Decimal(1))
    tables.call("2026-03-30T00:00", kind="llm", run_id="r1", model="m", cost_usd=Decimal(1), total_tokens=5)
    tables.call("2026-03-30T00:00", kind="llm", run_id="r1", model="m", cost_usd=Decimal(1))
    tables.call("2026-03-30T00:00", kind="llm", run_id="r2", model=None)
    tables.call("2026-03-30T00:00", kind="tool", run_id="r3")
    assert make_trends(tables.connection, NOW) == {"trends": 2 * (3 * 7 + 2 * 4)}
    assert trend(tables, "runs", "project", scope="p")["current_value"] == 1.0
    assert trend(tables, "runs", "pipeline", scope=None)["current_value"] == 1.0
    assert trend(tables, "runs", "model", scope="m")["current_value"] == 1.0
    assert trend(tables, "cost_per_run", "model", scope="m")["current_value"] == 2.0
    unknown = trend(tables, "runs", "model", scope=None)
    assert (unknown["current_value"], unknown["previous_value"], unknown["change_percent"]) == (1.0, 0.0, None)


def test_trends_of_other_days_stay(tables: Tables) -> None:
    tables.run("2026-03-30T00:00")
    make_trends(tables.connection, clock("2026-03-30T12:00"))
    kept = tables.everything("trends")
    make_trends(tables.connection, NOW)
    make_trends(tables.connection, NOW)
    assert len(tables.everything("trends")) == 2 * len(kept)
    tables.connection.execute("DELETE FROM runs")
    assert make_trends(tables.connection, NOW) == {"trends": 0}
    assert tables.everything("trends") == kept


def spend(tables: Tables, costs: Sequence[float | None], last: date, **fields: Any) -> None:
    """A run a day with such a cost, the last of them on a day."""
    for i, cost in enumerate(reversed(costs)):
        day = last - timedelta(days=i)
        tables.run(f"{day}T12:00", cost_usd=None if cost is None else Decimal(str(cost)), **fields)
    make_daily_series(tables.connection, [row["day"] for row in tables.rows("SELECT DISTINCT day FROM runs")], NOW)


def forecast(tables: Tables, now: Clock = NOW, **budgets: float) -> dict[str, int]:
    return make_cost_forecasts(
        tables.connection,
        now,
        significant_change=0.10,
        budgets={("org", org): budget for org, budget in budgets.items()},
    )


def totals(tables: Tables, kind: str = "org") -> Row:
    (row,) = tables.rows(f"FROM cost_forecast_totals WHERE scope_kind = '{kind}'")
    return row


def test_forecasts_know_the_complete_days_and_begin_today(tables: Tables) -> None:
    spend(tables, [1.0] * 28, date(2026, 3, 30))
    tables.run("2026-03-31T10:00", cost_usd=Decimal(100))
    assert forecast(tables) == {"cost_forecasts": 3 * 31, "cost_forecast_totals": 3}
    rows = tables.rows("FROM cost_forecasts WHERE scope_kind = 'org' ORDER BY day")
    assert [row["day"] for row in rows] == [TODAY + timedelta(days=i) for i in range(31)]
    assert {(row["forecast"], row["lo95"], row["hi95"]) for row in rows} == {(1.0, 1.0, 1.0)}
    row = totals(tables)
    assert (row["current_daily_avg"], row["projected_weekly"], row["projected_monthly"]) == (1.0, 7.0, 30.0)
    assert (row["trend"], row["confidence"], row["weekly_lo80"]) == ("stable", None, 7.0)
    assert row["month_end_projection"] == pytest.approx(28 + 100), "spent today is more than was expected of it"


def test_a_day_without_a_run_costs_nothing_and_an_unknown_cost_adds_nothing(tables: Tables) -> None:
    spend(tables, [None, 8.0], date(2026, 3, 24))
    forecast(tables)
    assert totals(tables)["current_daily_avg"] == 1.0  # the 8 USD of 24 March over the 8 days to the 30th


def test_a_scope_without_a_complete_day_has_no_forecast_and_a_young_one_no_interval(tables: Tables) -> None:
    spend(tables, [1.0, 2.0, 3.0], date(2026, 3, 30), project="young")
    tables.run("2026-03-31T10:00", cost_usd=Decimal(1), project="new")
    forecast(tables)
    assert tables.rows("SELECT DISTINCT scope FROM cost_forecasts WHERE scope_kind = 'project'") == [{"scope": "young"}]
    row = totals(tables, "project")
    assert (row["projected_daily"], row["weekly_lo80"], row["monthly_hi95"]) == (2.0, None, None)


def test_models_are_forecast_from_their_calls(tables: Tables) -> None:
    for i in range(10):
        day = date(2026, 3, 21) + timedelta(days=i)
        tables.call(f"{day}T10:00", kind="llm", model="m", cost_usd=Decimal(3))
        tables.call(f"{day}T10:00", kind="tool")
    forecast(tables)
    row = totals(tables, "model")
    assert (row["scope"], row["projected_daily"]) == ("m", 3.0)


def test_the_trend_is_the_days_ahead_against_the_last_28(tables: Tables) -> None:
    spend(tables, [9.0] + [1.0] * 7, date(2026, 3, 30))
    forecast(tables)
    row = totals(tables)
    assert (row["current_daily_avg"], row["projected_daily"], row["trend"]) == (2.0, pytest.approx(11 / 7), "down")


def test_a_budget_runs_out_on_the_day_that_reaches_it(tables: Tables) -> None:
    spend(tables, [1.0] * 9, date(2026, 3, 9))
    morning = clock("2026-03-10T06:00")
    for budget, day in ((5.0, date(2026, 3, 5)), (12.0, date(2026, 3, 12)), (31.0, date(2026, 3, 31)), (31.5, None)):
        forecast(tables, morning, default=budget)
        assert totals(tables)["budget_exhausted_on"] == day
    forecast(tables, morning)
    assert totals(tables)["budget_exhausted_on"] is None
    assert totals(tables)["month_end_projection"] == pytest.approx(31.0)


def test_what_is_not_known_at_now_changes_no_forecast(tables: Tables) -> None:
    spend(tables, [1.0] * 9, date(2026, 3, 9))
    morning = clock("2026-03-10T06:00")
    forecast(tables, morning)
    before = [tables.everything(name) for name in ("cost_forecasts", "cost_forecast_totals")]
    spend(tables, [500.0] * 5, date(2026, 3, 14))
    forecast(tables, morning)
    assert [tables.everything(name) for name in ("cost_forecasts", "cost_forecast_totals")] == before


def test_forecasts_of_other_days_stay(tables: Tables) -> None:
    spend(tables, [1.0] * 9, date(2026, 3, 29))
    forecast(tables, clock("2026-03-30T06:00"))
    kept = tables.everything("cost_forecasts")
    forecast(tables)
    tables.connection.execute("DELETE FROM runs")
    tables.connection.execute("DELETE FROM daily_series")
    assert forecast(tables) == {"cost_forecasts": 0, "cost_forecast_totals": 0}
    assert tables.everything("cost_forecasts") == kept


def test_days_of_a_forecast_are_those_of_the_zone_when_the_clocks_change(tables: Tables) -> None:
    berlin = Tables(tables.connection, "Europe/Berlin")
    zoned = clock("2026-03-29T22:30", "Europe/Berlin")  # 00:30 on the 30th
    for start in ("2026-03-28T22:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:10"):
        berlin.run(start, cost_usd=Decimal(1))
    make_daily_series(tables.connection, [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)], zoned)
    forecast(tables, zoned)
    (first,) = tables.rows("SELECT min(day) AS day FROM cost_forecasts WHERE scope_kind = 'org'")
    assert first["day"] == date(2026, 3, 30)
    assert totals(tables)["current_daily_avg"] == 1.5


def test_storage_lists_every_table_with_its_rows_and_price(tables: Tables) -> None:
    for i in range(10):
        tables.run(f"2026-03-{1 + i:02}T00:00")
    written = make_storage_usage(tables.connection, NOW, usd_per_gb_month=0.18)
    assert written == {"storage_usage": len(schema.TABLES)}
    assert make_storage_usage(tables.connection, NOW, usd_per_gb_month=0.18) == written
    (runs,) = tables.rows("FROM storage_usage WHERE table_name = 'runs'")
    assert runs["rows"] == 10 and runs["bytes"] > 0
    assert runs["cost_usd_per_day"] == pytest.approx(runs["bytes"] / 1e9 * 0.18 / 30)
    (calls,) = tables.rows("FROM storage_usage WHERE table_name = 'calls'")
    assert (calls["rows"], calls["bytes"], calls["cost_usd_per_day"]) == (0, 0, 0.0)
    make_storage_usage(tables.connection, clock("2026-04-01T00:00"), usd_per_gb_month=0.18)
    assert len(tables.everything("storage_usage")) == 2 * len(schema.TABLES)


def test_an_empty_warehouse_has_nothing_to_say(tables: Tables) -> None:
    assert make_agent_status(tables.connection, NOW) == {"agent_status": 0}
    assert make_trends(tables.connection, NOW) == {"trends": 0}
    assert forecast(tables) == {"cost_forecasts": 0, "cost_forecast_totals": 0}
    make_storage_usage(tables.connection, NOW, usd_per_gb_month=0.18)
    assert {row["bytes"] for row in tables.rows("FROM storage_usage")} == {0}
