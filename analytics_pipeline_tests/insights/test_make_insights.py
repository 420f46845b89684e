"""From rows of `runs` to rows of `insights`, in a database with the real schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from analytics_pipeline import engine, insights, schema, state
from analytics_pipeline.partitions import Clock, to_naive_utc
from analytics_pipeline.settings import Settings

NOW = datetime(2026, 3, 31, 12, 20, tzinfo=UTC)


def naive(text: str) -> datetime:
    return to_naive_utc(datetime.fromisoformat(f"{text}+00:00"))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("SET TimeZone = 'UTC'")
        made.execute(engine.sql("macros"))
        schema.create_all(made)
        state.create_all(made)
        yield made


def add_runs(connection: duckdb.DuckDBPyConnection, day: float, number: int = 20, **values: Any) -> None:
    """Runs that started so many days before NOW."""
    row = {
        "org_id": "default",
        "pipeline_id": "extract",
        "status": "succeeded",
        "cost_usd": "0.10",
        "unpriced_calls": 0,
        "duration_ms": 1000.0,
        "error_type": None,
        "started_at": (NOW - timedelta(days=day)).replace(tzinfo=None),
        "day": (NOW - timedelta(days=day)).date(),
    } | values
    columns = ", ".join(row)
    held = connection.execute("SELECT COUNT(*) FROM runs").fetchall()[0][0]
    connection.executemany(
        f"INSERT INTO runs (run_id, {columns}) VALUES (?{', ?' * len(row)})",
        [[f"r{held + i}", *row.values()] for i in range(number)],
    )


def make(connection: duckdb.DuckDBPyConnection, now: datetime = NOW) -> dict[str, Any]:
    return insights.make_insights(connection, Clock(now, ZoneInfo("UTC")), Settings())


def rows(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str, str | None, int], dict[str, Any]]:
    """Stored rows by org, type, pipeline and period."""
    result = connection.execute("SELECT * FROM insights ORDER BY insight_id")
    names = [column[0] for column in result.description]
    made = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    for row in made:
        row["data"] = json.loads(row["data"])
    return {(row["org_id"], row["type"], row["pipeline_id"], row["data"]["period_days"]): row for row in made}


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Two quiet months, and a week in which `extract` costs double, takes longer and fails."""
    for day in range(1, 62):
        add_runs(connection, day, number=4, pipeline_id="quiet")
        if day > 7:
            add_runs(connection, day, number=4)
    for day in range(1, 7):
        add_runs(connection, day, number=4, cost_usd="0.25", duration_ms=2000.0)
        add_runs(connection, day, number=1, status="failed", error_type="timeout", cost_usd="0.05")


def test_the_three_rules_find_their_own(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection)
    make(connection)
    stored = rows(connection)
    assert {key for key in stored if key[2] == "extract" and key[3] == 7} == {
        ("default", name, "extract", 7) for name in ("cost_spike", "performance_degradation", "failure_pattern")
    }
    assert not [key for key in stored if key[2] == "quiet"]
    failed = stored["default", "failure_pattern", "extract", 7]
    assert failed["data"]["by_error_type"] == {"timeout": 6}
    assert failed["amount_usd"] == pytest.approx(0.3)
    assert failed["severity"] == "warning"
    assert (failed["period_start"], failed["period_end"]) == (naive("2026-03-24 13:00"), naive("2026-03-31 13:00"))
    assert json.loads(failed["recommendations"])


def test_rows_meet_the_contract(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection)
    make(connection)
    offending = connection.execute(
        "SELECT insight_id FROM insights WHERE json_extract(data, '$.grain') IS NULL OR json_extract(data, '$.metric') "
        "IS NULL OR json_extract(data, '$.scope') IS NULL OR NOT json_exists(data, '$.previous') OR NOT "
        "json_exists(data, '$.current') OR NOT json_exists(data, '$.change_percent') OR "
        "json_type(recommendations) <> 'ARRAY'"
    ).fetchall()
    assert offending == []
    counts = connection.execute("SELECT COUNT(*), COUNT(DISTINCT insight_id) FROM insights").fetchall()[0]
    assert counts[0] == counts[1] > 0


def test_repeats_change_nothing_but_the_last_sighting(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection)
    first = make(connection)
    before = rows(connection)
    assert make(connection) == first
    assert rows(connection) == before
    make(connection, NOW + timedelta(minutes=10))
    after = rows(connection)
    assert {key: row["occurrences"] for key, row in after.items()} == dict.fromkeys(before, 1)
    assert {row["last_seen"] for row in after.values()} == {(NOW + timedelta(minutes=10)).replace(tzinfo=None)}


def test_resolved_when_the_data_change_and_acknowledged_by_decision(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection)
    make(connection)
    target = rows(connection)["default", "cost_spike", "extract", 7]["insight_id"]
    connection.execute(
        "INSERT INTO decisions (decision_id, target_id, kind, decided_at) VALUES ('d1', ?, 'acknowledge', ?)",
        [target, NOW.replace(tzinfo=None)],
    )
    make(connection, NOW + timedelta(hours=1))
    assert rows(connection)["default", "cost_spike", "extract", 7]["status"] == "acknowledged"
    connection.execute("DELETE FROM runs WHERE pipeline_id = 'extract'")
    counts = make(connection, NOW + timedelta(hours=2))
    assert (counts["found"], counts["open"], counts["acknowledged"]) == (1, 1, 0)  # the habits of `quiet`
    assert {row["type"] for row in rows(connection).values() if row["status"] != "resolved"} == {"usage_pattern"}
    fill(connection)
    make(connection, NOW + timedelta(hours=3))
    assert rows(connection)["default", "cost_spike", "extract", 7]["status"] == "open"


def test_orgs_do_not_mix(connection: duckdb.DuckDBPyConnection) -> None:
    add_runs(connection, 2, number=8, status="failed", org_id="one")
    add_runs(connection, 2, number=8, status="failed", org_id="two")
    assert make(connection)["found"] == 0
    add_runs(connection, 2, number=8, status="failed", org_id="one")
    make(connection)
    assert {key[0] for key in rows(connection)} == {"one"}
    clock = Clock(NOW, ZoneInfo("UTC"))
    assert insights.find(connection, clock, [7], Settings(), "two") == []
    assert {finding["org_id"] for finding in insights.find(connection, clock, [14], Settings(), "one")} == {"one"}


def test_no_runs_no_findings(connection: duckdb.DuckDBPyConnection) -> None:
    assert make(connection) == {"found": 0, "open": 0, "acknowledged": 0, "resolved": 0}


def test_cancelled_runs_make_no_long_tail(connection: duckdb.DuckDBPyConnection) -> None:
    add_runs(connection, 3, number=40, duration_ms=60_000.0)
    add_runs(connection, 3, number=60, duration_ms=2.0, status="cancelled")
    make(connection)
    assert "anomaly" not in {key[1] for key in rows(connection)}


def test_one_day_of_work_is_no_habit(connection: duckdb.DuckDBPyConnection) -> None:
    add_runs(connection, 3, number=150)
    make(connection)
    assert not rows(connection)
    for day in range(4, 10):
        add_runs(connection, day)
    make(connection, NOW + timedelta(hours=1))
    assert {key[1] for key in rows(connection)} == {"usage_pattern"}
