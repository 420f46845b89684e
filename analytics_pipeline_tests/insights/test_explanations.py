"""Calls and runs in, causes out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from analytics_pipeline import engine, schema
from analytics_pipeline.insights.explanations import Explainer, Periods
from analytics_pipeline.partitions import to_naive_utc
from analytics_pipeline.statistics.causes import EVEN_SCORE

END = to_naive_utc(datetime(2026, 3, 31, tzinfo=UTC))
WEEK = timedelta(days=7)
PERIODS = Periods(END - 2 * WEEK, END - WEEK, END - WEEK, END)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("SET TimeZone = 'UTC'")
        made.execute(engine.sql("macros"))
        schema.create_all(made)
        yield made


def add(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    columns = ", ".join(rows[0])
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [list(row.values()) for row in rows])


def calls(connection: duckdb.DuckDBPyConnection, factors: dict[tuple[str, str], float]) -> None:
    """Twenty runs a pipeline, model and week, a call each; in the later week their tokens by a factor."""
    rows = []
    for week in (0, 1):
        for pipeline in ("p", "q", "r"):
            for model in ("small", "large"):
                for i in range(20):
                    factor = factors.get((pipeline, model), 1.0) if week else 1.0
                    rows.append(
                        {
                            "call_id": f"{week}{pipeline}{model}{i}",
                            "run_id": f"{week}{pipeline}{i}",
                            "org_id": "default",
                            "kind": "llm",
                            "project": "x",
                            "pipeline_id": pipeline,
                            "provider": "acme",
                            "model": model,
                            "agent_id": f"agent-{i % 3}",
                            "started_at": END - (2 - week) * WEEK + timedelta(hours=i),
                            "total_tokens": int(1000 * factor),
                            "cost_usd": Decimal("0.1") * Decimal(str(factor)) * (1 + i % 4),
                            "duration_ms": 1000.0 * factor,
                        }
                    )
    add(connection, "calls", rows)


def explain(connection: duckdb.DuckDBPyConnection, metric: Any, scope: dict[str, str], **more: Any) -> Any:
    return Explainer(connection, PERIODS).explain("default", metric, scope, **more)


def test_the_cell_that_cost_more_comes_first_with_effects_that_add_up(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("p", "large"): 3.0})
    found = explain(connection, "cost", {})
    first = found["causes"][0]
    assert first["dims"] == {"pipeline_id": "p", "model": "large"}
    assert (first["rank"], first["r_in"], first["r_out"], first["explained"]) == (1, 3.0, 1.0, 1.0)
    assert first["effects"] == pytest.approx({"volume": 0, "size": 10, "price": 0})
    for rank, cause in enumerate(found["causes"], start=1):
        assert cause["rank"] == rank
        assert sum(cause["effects"].values()) == pytest.approx(cause["current_usd"] - cause["previous_usd"], abs=1e-9)
    assert [cause["score"] for cause in found["causes"]] == sorted(
        (cause["score"] for cause in found["causes"]), reverse=True
    )


def test_within_a_pipeline_its_own_name_goes_without_saying(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("p", "large"): 3.0, ("q", "small"): 9.0})
    first = explain(connection, "cost", {"pipeline_id": "p"})["causes"][0]
    assert first["dims"] == {"pipeline_id": "p", "model": "large"}
    assert first["current_usd"] == pytest.approx(15)


def test_where_all_rose_the_scope_is_the_cause(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {(pipeline, model): 2.0 for pipeline in "pqr" for model in ("small", "large")})
    (only,) = explain(connection, "cost", {"pipeline_id": "p"})["causes"]
    assert (only["dims"], only["score"], only["r_out"]) == ({"pipeline_id": "p"}, EVEN_SCORE, None)
    assert only["effects"] == pytest.approx({"volume": 0, "size": 10, "price": 0})


def test_time_is_explained_by_run(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("q", "small"): 4.0})
    first = explain(connection, "duration", {}, scale=1.0)["causes"][0]
    assert first["dims"] == {"pipeline_id": "q", "model": "small"}
    assert (first["previous"], first["current"]) == (20_000.0, 80_000.0)
    assert "effects" not in first
    halved = explain(connection, "duration", {}, scale=0.5)["causes"][0]
    assert halved["previous"] == 10_000.0


def test_failures_are_explained_by_their_error(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {
            "run_id": f"{week}{error}{i}",
            "org_id": "default",
            "status": "failed",
            "pipeline_id": f"p{i % 5}",
            "agent_id": "a",
            "error_type": error,
            "started_at": END - (2 - week) * WEEK + timedelta(hours=i),
        }
        for week, error, count in ((0, "timeout", 20), (1, "timeout", 20), (0, "quota", 10), (1, "quota", 60))
        for i in range(count)
    ]
    add(connection, "runs", rows)
    first = explain(connection, "failed", {})["causes"][0]
    assert first["dims"] == {"error_type": "quota"}
    assert (first["previous"], first["current"]) == (10.0, 60.0)


def test_periods_need_not_be_equal_and_the_order_of_rows_does_not_matter(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("p", "large"): 3.0})
    day = Periods(END - 2 * WEEK, END - WEEK, END - WEEK, END - WEEK + timedelta(days=1))
    found: Any = Explainer(connection, day).explain("default", "cost", {}, scale=1 / 7)
    connection.execute("CREATE TABLE turned AS FROM calls ORDER BY random()")
    connection.execute("DELETE FROM calls; INSERT INTO calls FROM turned")
    assert Explainer(connection, day).explain("default", "cost", {}, scale=1 / 7) == found
    for cause in found["causes"]:
        assert sum(cause["effects"].values()) == pytest.approx(cause["current_usd"] - cause["previous_usd"], abs=1e-9)


def test_nothing_known_nothing_said(connection: duckdb.DuckDBPyConnection) -> None:
    for metric in ("cost", "duration", "failed"):
        assert explain(connection, metric, {}) is None
    calls(connection, {})
    assert explain(connection, "cost", {}) is None
    assert explain(connection, "cost", {"pipeline_id": "unheard of"}) is None


def test_unknown_dimensions_name_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("p", "large"): 3.0})
    connection.execute("UPDATE calls SET model = NULL, provider = NULL, agent_id = NULL, project = NULL")
    found = explain(connection, "cost", {})
    assert all(value is not None for cause in found["causes"] for value in cause["dims"].values())


def test_of_a_model_only_its_own_calls_are_looked_at(connection: duckdb.DuckDBPyConnection) -> None:
    calls(connection, {("p", "small"): 9.0, ("q", "large"): 3.0})
    found = explain(connection, "cost", {"model": "large"})
    first = found["causes"][0]
    assert first["dims"] == {"pipeline_id": "q", "model": "large"}
    assert first["explained"] == pytest.approx(1.0)
    assert all(cause["dims"]["model"] == "large" for cause in found["causes"])


def test_failures_of_a_model_are_not_explained(connection: duckdb.DuckDBPyConnection) -> None:
    run = {"org_id": "default", "pipeline_id": "p", "status": "failed", "error_type": "timeout"}
    add(connection, "runs", [run | {"run_id": f"r{i}", "started_at": END - timedelta(hours=i + 1)} for i in range(9)])
    assert Explainer(connection, PERIODS).explain("default", "failed", {"model": "small"}) is None
