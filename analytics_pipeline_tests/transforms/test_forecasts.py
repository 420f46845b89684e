from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline import checks
from analytics_pipeline.partitions import Clock
from analytics_pipeline.transforms.forecasts import make_cost_forecasts
from analytics_pipeline_tests.transforms.conftest import Row, Tables, clock

NOW = clock("2026-03-31T12:30")
TODAY = date(2026, 3, 31)


def spend(tables: Tables, costs: Sequence[float | None], last: date, **fields: Any) -> None:
    """A run a day with such a cost, the last of them on a day."""
    for i, cost in enumerate(reversed(costs)):
        day = last - timedelta(days=i)
        tables.run(f"{day}T12:00", cost_usd=None if cost is None else Decimal(str(cost)), **fields)


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
    assert forecast(tables) == {"cost_forecasts": 3 * 31, "cost_forecast_totals": 3, "forecast_accuracy": 0}
    rows = tables.rows("FROM cost_forecasts WHERE scope_kind = 'org' ORDER BY day")
    assert [row["day"] for row in rows] == [TODAY + timedelta(days=i) for i in range(31)]
    assert {(row["forecast"], row["lo95"], row["hi95"]) for row in rows} == {(1.0, 1.0, 1.0)}
    row = totals(tables)
    assert (row["current_daily_avg"], row["projected_weekly"], row["projected_monthly"]) == (1.0, 7.0, 30.0)
    assert (row["trend"], row["confidence"], row["weekly_lo80"]) == ("stable", 1.0, 7.0)
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


@pytest.mark.parametrize(
    ("recent", "change", "trend"),
    [(2.0, 0.10, "up"), (0.4, 0.10, "down"), (1.05, 0.10, "stable"), (2.0, 1.2, "stable")],
)
def test_the_trend_is_the_next_week_against_the_last_28_days(
    tables: Tables, recent: float, change: float, trend: str
) -> None:
    spend(tables, [1.0] * 56 + [recent] * 10, date(2026, 3, 30))
    make_cost_forecasts(tables.connection, NOW, significant_change=change, budgets={})
    row = totals(tables)
    assert row["projected_daily"] == pytest.approx(recent, rel=0.3)
    assert row["trend"] == trend


def test_a_change_within_the_interval_is_no_trend(tables: Tables) -> None:
    wild = [1.0, 9.0, 3.0, 0.5, 6.0] * 13
    spend(tables, wild + [8.0] * 3, date(2026, 3, 30))
    forecast(tables)
    row = totals(tables)
    assert row["weekly_lo80"] < 7 * sum((wild + [8.0] * 3)[-28:]) / 28 < row["weekly_hi80"]
    assert row["trend"] == "stable"
    assert 0.0 <= row["confidence"] <= row["confidence_weekly"] + 0.5 <= 1.5


def test_without_an_interval_there_is_no_trend(tables: Tables) -> None:
    spend(tables, [9.0] + [1.0] * 7, date(2026, 3, 30))
    forecast(tables)
    row = totals(tables)
    assert (row["current_daily_avg"], row["projected_daily"], row["trend"]) == (2.0, 1.0, "stable")
    assert (row["confidence"], row["confidence_weekly"], row["weekly_lo80"]) == (None, None, None)


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
    assert set(forecast(tables).values()) == {0}
    assert tables.everything("cost_forecasts") == kept


def test_days_of_a_forecast_are_those_of_the_zone_when_the_clocks_change(tables: Tables) -> None:
    berlin = Tables(tables.connection, "Europe/Berlin")
    zoned = clock("2026-03-29T22:30", "Europe/Berlin")  # 00:30 on the 30th
    for start in ("2026-03-28T22:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:10"):
        berlin.run(start, cost_usd=Decimal(1))
    forecast(tables, zoned)
    (first,) = tables.rows("SELECT min(day) AS day FROM cost_forecasts WHERE scope_kind = 'org'")
    assert first["day"] == date(2026, 3, 30)
    assert totals(tables)["current_daily_avg"] == 1.5


def test_the_month_is_that_of_the_zone(tables: Tables) -> None:
    """21:00 UTC on 31 March is already April in Kathmandu."""
    nepal = Tables(tables.connection, "Asia/Kathmandu")
    now = clock("2026-03-31T21:00", "Asia/Kathmandu")
    for day in range(20, 32):
        nepal.run(f"2026-03-{day}T06:00", cost_usd=Decimal(1))
    nepal.run("2026-03-31T18:20", cost_usd=Decimal(4))  # 00:05 on 1 April
    forecast(tables, now, default=5.0)
    row = totals(tables)
    assert row["as_of_day"] == date(2026, 4, 1)
    assert row["month_end_projection"] == pytest.approx(4 + 29), "April alone: what is spent today, and 29 days"
    assert row["budget_exhausted_on"] == date(2026, 4, 2)


def test_a_day_that_is_over_ends_its_month(tables: Tables) -> None:
    spend(tables, [1.0] * 31, date(2026, 3, 31))
    forecast(tables, Clock.at_end_of(TODAY, NOW.zone), default=20.0)
    row = totals(tables)
    assert (row["as_of_day"], row["month_end_projection"]) == (TODAY, 31.0)
    assert row["budget_exhausted_on"] == date(2026, 3, 20)
    assert tables.rows("SELECT min(day) AS day FROM cost_forecasts") == [{"day": date(2026, 4, 1)}]


def test_what_one_org_spends_changes_nothing_for_another(tables: Tables) -> None:
    costs = [1.0, 3.0, 2.0, 5.0] * 10
    spend(tables, costs, date(2026, 3, 30), org_id="north")
    forecast(tables)
    of_north = "FROM cost_forecast_totals WHERE org_id = 'north' ORDER BY ALL"
    alone = tables.rows(of_north)
    spend(tables, [100.0 * cost**2 for cost in costs], date(2026, 3, 30), org_id="south")
    forecast(tables)
    assert tables.rows(of_north) == alone


def test_budgets_of_projects_count_too(tables: Tables) -> None:
    spend(tables, [1.0] * 30, date(2026, 3, 30), project="p")
    budgets = {("project", "p"): 10.0}
    make_cost_forecasts(tables.connection, NOW, significant_change=0.1, budgets=budgets)
    assert totals(tables, "project")["budget_exhausted_on"] == date(2026, 3, 10)
    assert totals(tables)["budget_exhausted_on"] is None


def accuracy(tables: Tables, horizon: str = "7d", kind: str = "org") -> Row:
    query = f"FROM forecast_accuracy WHERE horizon = '{horizon}' AND scope_kind = '{kind}' ORDER BY as_of_day DESC"
    return tables.rows(query)[0]


def test_forecasts_of_passed_days_are_held_to_account(tables: Tables) -> None:
    spend(tables, [1.0, 2.0] * 20, date(2026, 3, 30))
    said = date(2026, 3, 20)
    for scope_kind, scope in (("org", "default"), ("project", "never seen again")):
        for ahead in range(31):
            tables.connection.execute(
                "INSERT INTO cost_forecasts VALUES ($as_of, 'default', $kind, $scope, $day, 3.0, 1.5, 4.0, 0.5, 5.0)",
                {"as_of": said, "kind": scope_kind, "scope": scope, "day": said + timedelta(days=ahead)},
            )
    assert forecast(tables)["forecast_accuracy"] == 1, "30 days have not come yet; a scope without costs has no scale"
    row = accuracy(tables)
    # the days cost 2 1 2 1 2 1 2 in turn; a week apart they differ by 1
    assert row["mase"] == pytest.approx((1 + 2 + 1 + 2 + 1 + 2 + 1) / 7)
    assert row["naive_mase"] == pytest.approx(1.0)
    assert row["smape"] == pytest.approx((4 * 2 / 5 + 3 * 4 / 4) / 7)
    assert (row["coverage80"], row["coverage95"], row["forecasts"]) == (pytest.approx(4 / 7), 1.0, 1)


def test_a_forecast_is_held_to_account_once_its_days_are_over(tables: Tables) -> None:
    spend(tables, [1.0, 2.0, 4.0] * 20, date(2026, 3, 30))
    forecast(tables, clock("2026-03-24T06:00"))
    assert forecast(tables, clock("2026-03-30T23:00"))["forecast_accuracy"] == 0
    made = forecast(tables, clock("2026-03-31T06:00"))
    assert made["forecast_accuracy"] == 3, "org, project and pipeline"
    assert accuracy(tables)["forecasts"] == 1
    kept = tables.everything("forecast_accuracy")
    tables.connection.execute("UPDATE runs SET cost_usd = 50 WHERE day = '2026-03-31'")
    forecast(tables, clock("2026-03-31T06:00"))
    assert tables.everything("forecast_accuracy") == kept, "a day that is not over proves nothing"


def test_what_was_said_later_is_no_part_of_an_earlier_accuracy(tables: Tables) -> None:
    spend(tables, [1.0, 2.0, 4.0] * 25, date(2026, 3, 30))
    for day in range(1, 21):
        forecast(tables, clock(f"2026-03-{day:02}T06:00"))
    before = tables.rows("FROM forecast_accuracy WHERE as_of_day = '2026-03-20' ORDER BY ALL")
    assert accuracy(tables)["forecasts"] == 13
    forecast(tables, clock("2026-03-28T06:00"))
    forecast(tables, clock("2026-03-20T06:00"))
    assert tables.rows("FROM forecast_accuracy WHERE as_of_day = '2026-03-20' ORDER BY ALL") == before


@pytest.mark.parametrize(("coverage", "passed"), [(0.8, True), (0.5, False), (0.99, False), (None, True)])
def test_intervals_that_miss_too_often_are_a_warning(tables: Tables, coverage: float | None, passed: bool) -> None:
    row = (TODAY, "default", "org", "default", "7d", 0.9, 0.2, coverage, coverage, 1.1, 20)
    tables.connection.execute(f"INSERT INTO forecast_accuracy VALUES ({', '.join('?' * len(row))})", row)
    (found,) = [one for one in checks.run(tables.connection, "cost_forecasts") if one.check_name == "coverage"]
    assert found.passed is passed
    assert not checks.blocks(found)


def test_a_few_forecasts_prove_nothing(tables: Tables) -> None:
    spend(tables, [1.0, 2.0, 4.0] * 20, date(2026, 3, 30))
    for day in (20, 24):
        forecast(tables, clock(f"2026-03-{day}T06:00"))
    forecast(tables)
    schema, coverage = checks.run(tables.connection, "cost_forecasts")
    assert schema.passed, schema.description
    assert (coverage.passed, coverage.description) == (True, "too few forecasts yet")
