"""The tests behind `trends`: which scopes and metrics, what they know, and what they do not."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from analytics_pipeline.transforms import changes
from analytics_pipeline.transforms.trends import make_trends
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

NOW = clock("2026-03-31T12:00")
START = at("2026-03-31T12:00")


def fill(tables: Tables, weeks: int = 5, *, factor: float = 1.0, slowness: float = 1.0, growth: float = 1.0) -> None:
    """Runs of pipelines `a` and `b`, six a day; in the last week those of `a` cost and take more, or are larger."""
    rng = np.random.default_rng(1)
    for day in range(7 * weeks):
        is_late = day < 7
        for i in range(12):
            is_a = i % 2 == 0
            chars = int(1000 * rng.lognormal(0, 0.5) * (growth if is_late and is_a else 1))
            size = (chars / 1000) ** 0.5
            started = (START - timedelta(days=day, hours=1 + i)).isoformat()
            cost = 0.1 * size * rng.lognormal(0, 0.1) * (factor if is_late and is_a else 1)
            run_id = tables.run(
                started,
                pipeline_id="a" if is_a else "b",
                project="p",
                input_chars=chars,
                cost_usd=Decimal(f"{cost:.6f}"),
                total_tokens=int(1000 * size),
                duration_ms=1000 * size * rng.lognormal(0, 0.1) * (slowness if is_late and is_a else 1),
                status="failed" if is_late and is_a and i < 6 and factor > 1 else "succeeded",
                qa_status="passed",
            )
            tables.call(
                started, run_id=run_id, kind="llm", model="m", cost_usd=Decimal(f"{cost:.6f}"), total_tokens=1000
            )


def trend(tables: Tables, metric: str, scope: str, kind: str = "pipeline", period: int = 7) -> Row:
    (row,) = [
        row
        for row in tables.rows("FROM trends")
        if (row["metric"], row["scope_kind"], row["scope"], row["period_days"]) == (metric, kind, scope, period)
    ]
    return row


def make(tables: Tables, now: Any = NOW) -> None:
    make_trends(tables.connection, now, significant_change=0.1)


def test_what_changed_is_significant_and_nothing_else(tables: Tables) -> None:
    fill(tables, factor=2.0, slowness=1.5)
    make(tables)
    changed = {(row["scope"], row["metric"]) for row in tables.rows("FROM trends") if row["is_significant"]}
    assert {("a", name) for name in ("cost", "cost_per_run", "duration", "failure_rate")} <= changed
    assert not {scope for scope, _ in changed} & {"b"}
    assert not {metric for _, metric in changed} & {"runs", "tokens", "qa_pass_rate"}
    cost = trend(tables, "cost", "a")
    assert (cost["direction"], cost["is_significant"]) == ("up", True)
    assert 0 <= cost["p_value"] <= cost["q_value"] < 0.01
    assert trend(tables, "cost", "m", kind="model")["direction"] == "up"
    assert trend(tables, "cost", "b")["q_value"] > 0.1


def test_larger_inputs_are_no_slower_runs(tables: Tables) -> None:
    fill(tables, growth=3.0)
    make(tables)
    for metric in ("duration", "cost_per_run"):
        row = trend(tables, metric, "a")
        assert row["change_percent"] > 40
        assert (row["direction"], row["is_significant"]) == ("stable", False)
    assert trend(tables, "cost", "a")["direction"] == "up"


def test_a_week_without_earlier_ones_is_not_tested(tables: Tables) -> None:
    fill(tables, weeks=1, factor=2.0)
    make(tables)
    assert {(row["p_value"], row["is_significant"]) for row in tables.rows("FROM trends")} == {(None, False)}


def test_what_is_new_and_what_is_gone_changed(tables: Tables) -> None:
    fill(tables)
    for day in range(7):
        began, ended = (START - timedelta(days=back, hours=1) for back in (day, day + 7))
        for week in range(4):
            tables.run((ended - timedelta(weeks=week)).isoformat(), pipeline_id="gone", cost_usd=Decimal(1))
        tables.run(began.isoformat(), pipeline_id="new", cost_usd=Decimal(1))
    make(tables)
    new, gone = trend(tables, "cost", "new"), trend(tables, "cost", "gone")
    assert (new["previous_value"], new["current_value"], new["direction"], new["change_percent"]) == (0, 7, "up", None)
    assert (gone["current_value"], gone["direction"], gone["change_percent"]) == (0, "down", -100)
    assert trend(tables, "runs", "new")["is_significant"]


def test_a_run_once_a_month_is_nothing_new(tables: Tables) -> None:
    fill(tables)
    tables.run((START - timedelta(days=1)).isoformat(), pipeline_id="seldom", cost_usd=Decimal(1))
    make(tables)
    assert trend(tables, "cost", "seldom")["direction"] == "stable"


def test_two_weeks_are_tested_by_weekday(tables: Tables) -> None:
    fill(tables, weeks=2, factor=3.0)
    make(tables)
    assert trend(tables, "cost", "a")["direction"] == "up"
    assert trend(tables, "cost", "b")["direction"] == "stable"


@pytest.mark.parametrize("days", [1, 6])
def test_less_than_a_week_is_not_tested(tables: Tables, days: int) -> None:
    fill(tables, factor=2.0)
    assert changes.compare(tables.connection, NOW, [days])[days] == {}


def test_one_pipeline_on_one_day_and_nothing_at_all(tables: Tables) -> None:
    assert changes.compare(tables.connection, NOW, [7])[7] == {}
    tables.run("2026-03-31T10:00", pipeline_id="a", cost_usd=Decimal(1), duration_ms=5.0, input_chars=0)
    found = changes.compare(tables.connection, NOW, [7])[7]
    assert {key[3] for key in found} <= {"cost", "tokens", "runs"}


def test_zero_missing_and_unpriced_amounts_are_no_averages(tables: Tables) -> None:
    for day in range(14):
        started = (START - timedelta(days=day, hours=1)).isoformat()
        tables.run(started, pipeline_id="a", cost_usd=Decimal(0), duration_ms=0.0)
        tables.run(started, pipeline_id="a", duration_ms=None)
        tables.run(started, pipeline_id="a", cost_usd=Decimal(1), unpriced_calls=1)
    found = changes.compare(tables.connection, NOW, [7])[7]
    assert not {key[3] for key in found} & {"duration", "cost_per_run"}


def test_nothing_is_known_of_what_comes_later(tables: Tables) -> None:
    fill(tables, factor=2.0)
    earlier = clock("2026-03-24T12:00")
    make(tables, earlier)
    whole = tables.everything("trends")
    tables.connection.execute("DELETE FROM runs WHERE started_at >= TIMESTAMP '2026-03-24 12:00'")
    tables.connection.execute("DELETE FROM calls WHERE started_at >= TIMESTAMP '2026-03-24 12:00'")
    make(tables, earlier)
    assert tables.everything("trends") == whole


def test_the_order_of_rows_does_not_matter(tables: Tables) -> None:
    fill(tables, factor=1.3, slowness=1.2)
    found = changes.compare(tables.connection, NOW, [7])[7]
    for table in ("runs", "calls"):
        tables.connection.execute(f"CREATE TEMP TABLE turned AS FROM {table} ORDER BY random()")
        tables.connection.execute(f"DELETE FROM {table}; INSERT INTO {table} FROM turned; DROP TABLE turned")
    assert changes.compare(tables.connection, NOW, [7])[7] == found


def test_an_average_says_when_it_began_to_shift(tables: Tables) -> None:
    fill(tables, slowness=2.0)
    found = changes.compare(tables.connection, NOW, [7])[7]["default", "pipeline", "a", "duration"]
    assert found.adjusted == pytest.approx(1.0, abs=0.15)
    assert found.since is not None and date(2026, 3, 23) <= found.since <= date(2026, 3, 25)


def test_orgs_are_reports_of_their_own(tables: Tables) -> None:
    fill(tables, factor=2.0)
    make(tables)
    alone = {row["metric"]: row["q_value"] for row in tables.rows("FROM trends WHERE scope = 'a' AND period_days = 7")}
    for day in range(35):
        tables.run((START - timedelta(days=day, hours=2)).isoformat(), org_id="other", pipeline_id="z")
    make(tables)
    after = {
        row["metric"]: row["q_value"]
        for row in tables.rows("FROM trends WHERE scope = 'a' AND period_days = 7 AND org_id = 'default'")
    }
    assert after == alone
    assert {key[0] for key in changes.compare(tables.connection, NOW, [7], org_id="other")[7]} == {"other"}


def test_q_values_leave_out_what_was_not_tested() -> None:
    assert changes.q_values({"a": 0.01, "b": None, "c": 0.04}) == {"a": 0.02, "b": None, "c": 0.04}
    assert changes.q_values({}) == {}
