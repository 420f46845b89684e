"""Hours that stray: from scored sessions, runs and hourly summaries to `hourly_incidents`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from analytics_pipeline import stale
from analytics_pipeline.partitions import Clock, Span
from analytics_pipeline.statistics.anomalies import MEMORY, WINDOW, alerts, count_scores
from analytics_pipeline.statistics.incidents import WEEKLY_MEMORY
from analytics_pipeline.transforms import incidents
from analytics_pipeline.transforms.incidents import make_hourly_incidents
from analytics_pipeline_tests.transforms.conftest import Tables, at, clock

FIRST, LAST = date(2026, 1, 1), date(2026, 2, 14)
SPAN = Span(FIRST, LAST)
NOW = clock("2026-02-15T00:00")
INCIDENT = at("2026-02-10T12:00")


def add(tables: Tables, table: str, rows: list[dict[str, Any]]) -> None:
    tables.connection.register("added", pd.DataFrame(rows))
    tables.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM added")


def history(tables: Tables, *, an_hour: int = 3, shift: float = 0.0, failing: float = 0.02) -> None:
    """Six weeks of scored sessions of two pipelines; at INCIDENT `a` strays by `shift` for three hours, or fails."""
    rng = np.random.default_rng(4)
    sessions, runs = [], []
    for hour in range(24 * len(SPAN)):
        start = at("2026-01-01T00:10") + timedelta(hours=hour)
        for i in range(an_hour):
            pipeline = "a" if i % 2 else "b"
            strays = pipeline == "a" and INCIDENT <= start < INCIDENT + timedelta(hours=3)
            z = float(rng.standard_normal()) + (shift if strays else 0)
            failed = rng.random() < (failing if strays else 0.02)
            key = {"session_id": f"s{hour}-{i}", "org_id": "default", "pipeline_id": pipeline, "day": start.date()}
            sessions.append(
                key
                | {"created_at": start, "model_mix": '{"big":0.75,"small":0.25}', "cost_robust_z": z}
                | {"total_cost": round(0.1 * float(np.exp(z / 2)), 9), "expected_cost": 0.1}
            )
            runs.append(
                key | {"run_id": key["session_id"], "started_at": start, "status": "failed" if failed else "succeeded"}
            )
    add(tables, "session_analytics", sessions)
    add(tables, "runs", runs)


def found(tables: Tables, where: str = "TRUE") -> list[dict[str, Any]]:
    return tables.rows(f"SELECT * FROM hourly_incidents WHERE {where} ORDER BY hour, scope_kind, scope, metric")


def scopes(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["metric"], row["scope_kind"], row["scope"]) for row in rows}


def test_without_anything_there_is_nothing(tables: Tables) -> None:
    assert make_hourly_incidents(tables.connection, SPAN, NOW) == {"hourly_incidents": 0}


def test_hours_whose_sessions_cost_more_than_usual_are_kept_with_what_was_expected(tables: Tables) -> None:
    history(tables, an_hour=6, shift=2.5)
    make_hourly_incidents(tables.connection, SPAN, NOW)
    during = found(tables, "hour BETWEEN '2026-02-10 12:00' AND '2026-02-10 14:00'")
    assert ("cost", "pipeline", "a") in scopes(during)
    assert ("cost", "pipeline", "b") not in scopes(during)
    row = next(row for row in during if row["scope"] == "a" and row["hour"] == INCIDENT + timedelta(hours=1))
    assert row["score"] > 3
    assert row["value"] > 2 * row["expected"]
    assert row["expected"] == pytest.approx(row["events"] * 0.1 * np.exp(1 / 8), rel=0.1)
    assert (row["day"], row["events"]) == (date(2026, 2, 10), 3 * row["hours"])
    others = found(tables, "hour < '2026-02-10 12:00' OR hour > '2026-02-10 16:00'")
    assert len({row["hour"] for row in others}) <= 10  # of 1,080, each looked at for cost at four scopes
    assert {row["scope"] for row in found(tables, "scope_kind = 'model'")} <= {"big"}


def test_one_huge_session_does_not_become_what_is_expected(tables: Tables) -> None:
    history(tables, an_hour=6, shift=2.5)
    tables.connection.execute(
        "UPDATE session_analytics SET total_cost = 5000 WHERE session_id = "
        "(SELECT min(session_id) FROM session_analytics WHERE pipeline_id = 'a' AND day = '2026-02-07')"
    )
    make_hourly_incidents(tables.connection, SPAN, NOW)
    (row,) = found(tables, f"metric = 'cost' AND scope = 'a' AND hour = '{INCIDENT + timedelta(hours=1)}'")
    assert row["expected"] == pytest.approx(row["events"] * 0.1 * np.exp(1 / 8), rel=0.1)


def test_few_failures_are_counted_one_by_one(tables: Tables) -> None:
    history(tables, an_hour=4, failing=1.0)
    make_hourly_incidents(tables.connection, SPAN, NOW)
    rows = found(tables, "metric = 'failure_rate' AND hour BETWEEN '2026-02-10 12:00' AND '2026-02-10 14:00'")
    assert ("failure_rate", "pipeline", "a") in scopes(rows)
    row = next(row for row in rows if row["scope"] == "a")
    assert row["value"] >= 0.5
    assert 0 < row["expected"] < 0.1
    assert not found(tables, "metric = 'failure_rate' AND hour < '2026-02-10 12:00'")


def runs_an_hour(tables: Tables, counts: dict[datetime, int]) -> None:
    rows = [
        {"hour": hour, "org_id": "default", "pipeline_id": "a", "runs": n, "total_tokens": 1000 * n}
        for hour, n in counts.items()
    ]
    add(tables, "hourly_run_summaries", rows)


def counts() -> dict[datetime, int]:
    rng = np.random.default_rng(5)
    hours = [at("2026-01-01T00:00") + timedelta(hours=i) for i in range(24 * len(SPAN))]
    return {hour: int(rng.poisson(60)) for hour in hours}


def test_runs_and_tokens_go_by_their_own_past(tables: Tables) -> None:
    runs_an_hour(tables, counts() | {INCIDENT: 400})
    make_hourly_incidents(tables.connection, SPAN, NOW)
    rows = found(tables, f"hour = '{INCIDENT}'")
    assert scopes(rows) == {
        (metric, kind, scope)
        for metric in ("runs", "tokens")
        for kind, scope in (("org", "default"), ("pipeline", "a"))
    }
    row = next(row for row in rows if row["metric"] == "runs")
    assert (row["value"], row["hours"]) == (400, 1)
    assert row["expected"] == pytest.approx(60, abs=3)


def test_hours_in_which_nothing_ran_are_told(tables: Tables) -> None:
    silent = {INCIDENT + timedelta(hours=i) for i in range(5)}
    runs_an_hour(tables, {hour: n // 4 for hour, n in counts().items() if hour not in silent})
    make_hourly_incidents(tables.connection, SPAN, NOW)
    rows = found(tables, "metric = 'runs' AND scope_kind = 'org'")
    assert {INCIDENT + timedelta(hours=i) for i in (2, 3, 4)} <= {row["hour"] for row in rows}
    assert all(row["value"] < row["expected"] == pytest.approx(15 * row["hours"], rel=0.4) for row in rows)


def test_tokens_told_are_beyond_what_that_hour_of_the_day_had() -> None:
    rng = np.random.default_rng(2)
    runs = np.tile(10 + 9 * np.sin(np.arange(24) / 24 * 2 * np.pi), 150)
    tokens = rng.lognormal(7, 1.2, runs.size) * runs
    told = [stray[1] for stray in incidents._tokens_astray(tokens, runs, 1)]
    assert 0 < len(told) < alerts(count_scores(tokens))[MEMORY:].sum()
    for hour in told:
        same = tokens[hour - WINDOW : hour : 24]
        assert tokens[hour] > same.max() or tokens[hour] < same.min()


@pytest.mark.parametrize("changed", ["2026-03-08", "2026-11-01"])
def test_when_the_clocks_change_the_week_goes_on_by_them(tables: Tables, changed: str) -> None:
    zone, rng = ZoneInfo("America/New_York"), np.random.default_rng(6)
    begin = at(changed) - timedelta(days=70)
    hours = [begin + timedelta(hours=hour) for hour in range(24 * 90)]
    local = [hour.replace(tzinfo=UTC).astimezone(zone) for hour in hours]
    rates = [200 if 8 < hour.hour < 19 and hour.weekday() < 5 else 2 for hour in local]
    runs_an_hour(tables, {hour: int(rng.poisson(rate)) for hour, rate in zip(hours, rates, strict=True)})
    span = Span(begin.date(), begin.date() + timedelta(days=88))
    make_hourly_incidents(tables.connection, span, Clock(datetime(2027, 1, 1, tzinfo=UTC), zone))
    assert len(found(tables, "metric = 'runs'")) <= 2


def test_an_hour_that_is_not_over_is_not_judged_by_its_count(tables: Tables) -> None:
    runs_an_hour(tables, {hour: n for hour, n in counts().items() if hour <= INCIDENT} | {INCIDENT: 1})
    make_hourly_incidents(tables.connection, SPAN, clock("2026-02-10T12:20"))
    assert not found(tables, f"hour = '{INCIDENT}'")
    make_hourly_incidents(tables.connection, SPAN, clock("2026-02-10T13:00"))
    assert found(tables, f"hour = '{INCIDENT}' AND metric = 'runs'")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Los_Angeles"])
def test_day_by_day_on_cut_logs_it_is_the_same(tables: Tables, zone: str) -> None:
    zoned = Tables(tables.connection, zone)
    history(zoned, an_hour=4, shift=3.0, failing=0.8)
    runs_an_hour(zoned, counts() | {INCIDENT: 400})
    for table, start in (("session_analytics", "created_at"), ("runs", "started_at")):
        zoned.connection.execute(f"UPDATE {table} SET day = CAST(timezone('{zone}', timezone('UTC', {start})) AS DATE)")
    at_zone = clock("2026-02-15T12:00", zone)
    make_hourly_incidents(zoned.connection, SPAN, at_zone)
    cut = date(2026, 2, 11)
    whole = [row for row in found(zoned) if row["day"] < cut]
    assert len(whole) > 3
    for table in ("session_analytics", "runs"):
        zoned.connection.execute(f"DELETE FROM {table} WHERE day >= '{cut}'")
    for day in Span(date(2026, 2, 1), LAST):
        make_hourly_incidents(zoned.connection, Span(day, day), at_zone)
    assert [row for row in found(zoned) if row["day"] < cut] == whole


@pytest.mark.parametrize(("age", "is_told"), [(20, False), (24, True)])
def test_a_series_is_told_of_when_it_is_three_weeks_old(tables: Tables, age: int, is_told: bool) -> None:
    since = INCIDENT - timedelta(days=age)
    runs_an_hour(tables, {hour: n for hour, n in counts().items() if hour >= since} | {INCIDENT: 400})
    make_hourly_incidents(tables.connection, SPAN, NOW)
    told = {row["metric"] for row in found(tables, f"hour BETWEEN '{since}' AND '{INCIDENT}'")}
    assert told == ({"runs", "tokens"} if is_told else set())


def test_late_runs_bear_as_far_as_an_hour_remembers() -> None:
    assert max(MEMORY, WEEKLY_MEMORY) <= 24 * stale.BEARS["tool_profiles"][2]
