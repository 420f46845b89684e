from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline.partitions import Span
from analytics_pipeline.transforms.tools import make_tool_profiles
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

DAY = date(2026, 3, 31)


def make(tables: Tables, first: date = DAY, last: date = DAY, now: str = "2026-04-01T00:00") -> dict[str, int]:
    return make_tool_profiles(tables.connection, Span(first, last), clock(now), high=0.95, low=0.80)


def profile(tables: Tables, tool: str | None = "search", day: date = DAY) -> Row:
    (row,) = [row for row in tables.rows("FROM tool_profiles") if row["tool_name"] == tool and row["as_of_day"] == day]
    return row


def use(tables: Tables, outcomes: str, start: str = "2026-03-20T10:00", **fields: Any) -> None:
    """A call a minute: `o` ok, `e` error, `-` unknown status."""
    for i, outcome in enumerate(outcomes):
        instant = (datetime.fromisoformat(start) + timedelta(minutes=i)).isoformat()
        status = {"o": "ok", "e": "error", "-": None}[outcome]
        tables.call(instant, **({"name": "search", "status": status} | fields))


def ewma(outcomes: str) -> float:
    rate = 0.95
    for outcome in outcomes:
        rate = 0.95 * rate + 0.05 * (outcome == "o")
    return rate


def test_the_window_is_the_30_days_that_end_with_the_day(tables: Tables) -> None:
    for start in ("2026-03-01T23:59", "2026-03-02T00:00", "2026-03-31T23:59", "2026-04-01T00:00"):
        use(tables, "o", start)
    make(tables)
    assert profile(tables)["total_executions"] == 2
    assert profile(tables)["last_execution_at"] == at("2026-03-31T23:59")


def test_today_knows_only_what_began_before_now(tables: Tables) -> None:
    use(tables, "ooo", "2026-03-31T11:59")
    make(tables, now="2026-03-31T12:00")
    assert profile(tables)["total_executions"] == 1


def test_only_tool_calls_with_a_known_status_are_executions(tables: Tables) -> None:
    use(tables, "oe-", duration_ms=10.0, cost_usd=Decimal("0.5"), browser_used=True)
    use(tables, "o", browser_used=False, start="2026-03-21T10:00")
    use(tables, "o", kind="stage")
    use(tables, "-", name="pending")
    make(tables)
    row = profile(tables)
    assert (row["total_executions"], row["successful_executions"]) == (3, 2)
    assert row["success_rate"] == pytest.approx(2 / 3)
    assert (row["avg_cost"], row["avg_duration_ms"]) == (0.5, 10.0)
    assert row["browser_share"] == pytest.approx(2 / 3)
    pending = profile(tables, "pending")
    assert (pending["total_executions"], pending["confidence_level"]) == (0, "MEDIUM")
    unknown = ("success_rate", "success_rate_ewma", "success_rate_lb", "avg_cost", "p95_duration_ms", "browser_share")
    assert [pending[name] for name in unknown] == [None] * 6
    assert pending["is_degrading"] is False and json.loads(pending["risk_patterns"]) == []


def test_a_tool_without_a_name_and_orgs_stand_apart(tables: Tables) -> None:
    use(tables, "oo", name=None)
    use(tables, "o", org_id="other")
    use(tables, "ooo")
    make(tables)
    rows = tables.rows("SELECT org_id, tool_name, total_executions FROM tool_profiles")
    assert {tuple(row.values()) for row in rows} == {
        ("default", None, 2),
        ("other", "search", 1),
        ("default", "search", 3),
    }


def test_the_newest_executions_tell_a_degrading_tool(tables: Tables) -> None:
    days = ["o" * 40, "oe" * 10, "o" * 5, "eeeeee"]
    for i, outcomes in enumerate(days):
        use(tables, outcomes, f"2026-03-{10 + 3 * i}T10:00")
    make(tables)
    row = profile(tables)
    assert row["success_rate_ewma"] == pytest.approx(ewma("".join(days)), abs=1e-12)
    assert row["is_degrading"] is (row["success_rate_ewma"] < 0.80 and row["success_rate"] >= 0.80)


def test_a_fall_after_a_good_month_is_degrading(tables: Tables) -> None:
    use(tables, "o" * 200)
    use(tables, "e" * 10, "2026-03-30T10:00")
    make(tables)
    assert profile(tables)["is_degrading"] is True
    use(tables, "e" * 100, "2026-03-31T10:00")
    make(tables)
    assert profile(tables)["is_degrading"] is False, "a tool that is bad all along does not degrade"


def test_risk_patterns_list_the_error_types_by_weight(tables: Tables) -> None:
    use(tables, "ee", "2026-03-20T10:00", error_type="timeout")
    use(tables, "e", "2026-03-21T10:00", error_type=None)
    use(tables, "e", "2026-03-22T10:00", error_type="timeout")
    make(tables)
    row = profile(tables)
    assert row["top_error_type"] == "timeout"
    assert json.loads(row["risk_patterns"]) == [
        {"error_type": "timeout", "failures": 3, "share": 0.75, "since": "2026-03-20T10:00:00Z"},
        {"error_type": "unknown", "failures": 1, "share": 0.25, "since": "2026-03-21T10:00:00Z"},
    ]


@pytest.mark.parametrize("durations", [[100.0], [100.0, 1000.0], [float(i * i) for i in range(2, 60)]])
def test_p95_is_within_one_percent_of_the_exact_one(tables: Tables, durations: list[float]) -> None:
    for i, duration in enumerate(durations):
        use(tables, "o", f"2026-03-{2 + i % 28:02}T{i % 24:02}:00", duration_ms=duration)
    make(tables)
    ((exact,),) = tables.connection.execute("SELECT quantile_cont(duration_ms, 0.95) FROM calls").fetchall()
    assert profile(tables)["p95_duration_ms"] == pytest.approx(exact, rel=0.01)


def test_a_span_is_made_as_its_days_alone(tables: Tables) -> None:
    for i in range(1, 29):
        use(tables, "oeoo"[: 1 + i % 4], f"2026-02-{i:02}T10:00", duration_ms=10.0 * i, error_type=f"e{i % 3}")
    first, last = date(2026, 1, 31), date(2026, 4, 1)
    make(tables, first, last)
    whole = tables.everything("tool_profiles")
    assert [row["as_of_day"] for row in tables.rows("FROM tool_profiles ORDER BY as_of_day")] == [
        date(2026, 2, 1) + timedelta(days=i) for i in range(57)
    ]
    for day in Span(first, last):
        make(tables, day, day)
    assert tables.everything("tool_profiles") == whole


def test_a_day_made_again_leaves_its_neighbours_and_may_become_empty(tables: Tables) -> None:
    use(tables, "o")
    days = [date(2026, 3, 29), date(2026, 3, 30), DAY]
    assert make(tables, days[0], days[2]) == {"tool_profiles": 3}
    tables.connection.execute("DELETE FROM calls")
    assert make(tables, days[1], days[1]) == {"tool_profiles": 0}
    kept = [row["as_of_day"] for row in tables.rows("FROM tool_profiles ORDER BY as_of_day")]
    assert kept == [days[0], days[2]]


def test_days_are_those_of_the_zone(tables: Tables) -> None:
    berlin = Tables(tables.connection, "Europe/Berlin")
    for start in ("2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:00"):  # the day of 23 hours, then the next
        use(berlin, "o", start)
    span = Span(date(2026, 3, 28), date(2026, 3, 30))
    make_tool_profiles(tables.connection, span, clock("2026-04-01T00:00", "Europe/Berlin"), high=0.95, low=0.80)
    found = tables.rows("SELECT as_of_day, total_executions FROM tool_profiles ORDER BY as_of_day")
    assert [tuple(row.values()) for row in found] == [(date(2026, 3, 29), 2), (date(2026, 3, 30), 3)]
