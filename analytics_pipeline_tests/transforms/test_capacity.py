from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from analytics_pipeline import stale, state
from analytics_pipeline.partitions import Span
from analytics_pipeline.transforms.capacity import make_capacity_forecasts
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

DAY = date(2026, 3, 31)
NOW = "2026-04-01T00:00"


@pytest.fixture(autouse=True)
def _marks(tables: Tables) -> None:
    state.create_all(tables.connection)


def make(tables: Tables, first: date = DAY, last: date = DAY, now: str = NOW, **workers: int) -> int:
    return make_capacity_forecasts(tables.connection, Span(first, last), clock(now), workers)["capacity_forecasts"]


def work(tables: Tables, started_at: str, seconds: float | None = 60.0, **fields: Any) -> str:
    """A run of agent ada."""
    more = {"duration_ms": 1000 * seconds} if seconds is not None else {"status": "running"}
    return tables.run(started_at, **({"agent_id": "ada"} | more | fields))


def rows(tables: Tables) -> dict[str, Row]:
    found = tables.rows("SELECT * FROM capacity_forecasts ORDER BY as_of_hour")
    return {row["as_of_hour"].isoformat(timespec="minutes"): row for row in found}


def test_an_hour_of_work(tables: Tables) -> None:
    work(tables, "2026-03-31T10:30", 3600.0)
    run = work(tables, "2026-03-31T11:00", 600.0)
    tables.call("2026-03-31T11:01", run_id=run, agent_id="ada", name="search", ended_at=at("2026-03-31T11:02"))
    assert make(tables) == 2
    ten, eleven = rows(tables).values()
    assert ten["utilisation"] == pytest.approx(0.5)
    assert (ten["confidence"], ten["estimated_available_capacity"]) == (None, 100.0), "nothing has ended yet"
    assert (ten["bottleneck_tools"], ten["max_tasks_per_hour"]) == ("[]", None)
    assert eleven["utilisation"] == pytest.approx((1800 + 600) / 3600 / 2), "two at once: two workers"
    assert json.loads(eleven["bottleneck_tools"]) == ["search"]
    assert eleven["max_tasks_per_hour"] == pytest.approx(3600 / 30)
    assert 0 < eleven["confidence"] < 1


def test_declared_workers(tables: Tables) -> None:
    work(tables, "2026-03-31T10:00", 1800.0)
    make(tables, ada=4)
    assert rows(tables)["2026-03-31T10:00"]["utilisation"] == pytest.approx(1 / 8)


def test_the_queue_is_that_at_the_end_of_the_hour(tables: Tables) -> None:
    work(tables, "2026-03-31T11:10", queued_at=at("2026-03-31T10:50"))
    work(tables, "2026-03-31T10:40", queued_at=at("2026-03-31T10:30"))
    work(tables, "2026-03-31T10:40", agent_id="bela")
    work(tables, "2026-03-31T10:55", None, status="queued", agent_id="chen")
    make(tables)
    found = tables.rows("SELECT as_of_hour, agent_id, current_queue_depth FROM capacity_forecasts ORDER BY ALL")
    assert [(row["as_of_hour"].hour, row["agent_id"], row["current_queue_depth"]) for row in found] == [
        (10, "ada", 1),
        (10, "bela", None),
        (11, "ada", 0),
        (11, "bela", None),
    ]


def test_every_agent_of_thirty_days_has_a_row(tables: Tables) -> None:
    work(tables, "2026-03-01T10:59:59.999999", agent_id="gone")
    work(tables, "2026-03-01T11:00", agent_id="still")
    work(tables, "2026-03-31T10:10")
    work(tables, "2026-03-31T10:10", agent_id=None)
    work(tables, "2026-03-31T10:10", org_id="other")
    make(tables)
    found = tables.rows("SELECT org_id, agent_id FROM capacity_forecasts ORDER BY ALL")
    assert [tuple(row.values()) for row in found] == [("default", "ada"), ("default", "still"), ("other", "ada")]


def test_an_agent_named_on_calls_alone_works_as_long_as_they_last(tables: Tables) -> None:
    run = work(tables, "2026-03-31T10:00", 1800.0)

    def called(started_at: str, ended_at: str, agent: str, **fields: Any) -> str:
        named = {"agent_id": agent, "agent_id_stated": agent, "run_id": run}
        return tables.call(started_at, ended_at=at(ended_at), **named | fields)

    outer = called("2026-03-31T10:00", "2026-03-31T10:12", "bela")
    called("2026-03-31T10:05", "2026-03-31T10:10", "bela", parent_call_id=outer)
    called("2026-03-31T10:20", "2026-03-31T10:26", "bela")
    called("2026-03-31T10:20", "2026-03-31T10:26", "ada", name="its own")
    make(tables)
    found = {row["agent_id"]: row["utilisation"] for row in tables.rows("FROM capacity_forecasts")}
    assert found == {"ada": pytest.approx(0.5), "bela": pytest.approx(0.3)}


def test_rounded_times_do_not_make_two_workers_of_one(tables: Tables) -> None:
    for minute in range(30):
        work(tables, f"2026-03-31T10:{minute:02}", 60.002)
    work(tables, "2026-03-31T11:00", 600.0)
    work(tables, "2026-03-31T11:09:59", 600.0)
    make(tables)
    found = rows(tables)
    assert found["2026-03-31T10:00"]["utilisation"] == pytest.approx(0.5, abs=0.001), "one worker"
    assert found["2026-03-31T11:00"]["utilisation"] == pytest.approx(1200 / 3600 / 2), "two: a second is no rounding"


def test_an_unfinished_run_is_busy_for_as_long_as_others_last(tables: Tables) -> None:
    for minute in range(50):
        work(tables, f"2026-03-30T10:{minute:02}", 900.0)
    work(tables, "2026-03-31T10:50", None)
    work(tables, "2026-03-31T11:30", 1.0, agent_id="bela")
    make(tables, ada=1)
    found = {(row["agent_id"], row["as_of_hour"].hour): row for row in tables.rows("FROM capacity_forecasts")}
    assert found["ada", 10]["utilisation"] == pytest.approx(600 / 3600)
    assert found["ada", 11]["utilisation"] == pytest.approx(300 / 3600)


def test_a_finished_run_without_an_end_works_for_none(tables: Tables) -> None:
    work(tables, "2026-03-31T10:50", None, status="succeeded")
    make(tables)
    assert rows(tables)["2026-03-31T10:00"]["utilisation"] == 0


def test_the_hour_under_way_is_known_up_to_now_and_made_again(tables: Tables) -> None:
    work(tables, "2026-03-31T10:00", 1800.0)
    mark(tables, "2026-03-31T10:00")
    make(tables, now="2026-03-31T10:15")
    assert rows(tables)["2026-03-31T10:00"]["utilisation"] == 1.0
    make(tables, now="2026-03-31T11:00")
    assert rows(tables)["2026-03-31T10:00"]["utilisation"] == 0.5
    assert tables.rows("FROM state.touched_hours") == []


def mark(tables: Tables, *hours: str) -> None:
    """What a load that touched these hours leaves behind."""
    tables.connection.execute(
        "CREATE OR REPLACE TEMP TABLE touched AS "
        "SELECT hour, CAST(hour AS DATE) AS day FROM (SELECT unnest($1) AS hour)",
        [[at(hour) for hour in hours]],
    )
    stale.mark(tables.connection)


def test_a_day_that_is_stale_makes_only_its_touched_hours_again(tables: Tables) -> None:
    for hour in (9, 10, 11):
        work(tables, f"2026-03-31T{hour:02}:00", 600.0)
    make(tables)
    assert len(rows(tables)) == 3
    work(tables, "2026-03-31T10:00", 600.0)
    tables.connection.execute("UPDATE capacity_forecasts SET utilisation = 7")
    mark(tables, "2026-03-31T10:00")
    make(tables)
    assert [row["utilisation"] for row in rows(tables).values()] == [7, pytest.approx(1 / 6), 7]


def test_an_hour_that_lost_its_agents_loses_its_rows(tables: Tables) -> None:
    work(tables, "2026-03-31T10:00")
    make(tables)
    tables.connection.execute("DELETE FROM runs")
    mark(tables, "2026-03-31T10:00")
    assert make(tables) == 0
    assert rows(tables) == {}


def test_hours_say_the_same_whatever_is_made_with_them_and_know_nothing_of_later_ones(tables: Tables) -> None:
    days = Span(date(2026, 2, 1), DAY)
    rng = np.random.default_rng(5)
    for i in range(600):
        start = at("2026-01-20") + timedelta(seconds=float(rng.uniform(0, 71 * 86400)))
        queued = start - timedelta(seconds=float(rng.uniform(0, 900))) if rng.random() < 0.5 else None
        run = work(
            tables,
            start.isoformat(),
            float(rng.lognormal(5, 1.2)) if rng.random() < 0.95 else None,
            queued_at=queued,
            agent_id=f"a{i % 3}",
        )
        end = start + timedelta(seconds=float(rng.uniform(1, 90)))
        tables.call(start.isoformat(), run_id=run, agent_id=f"a{i % 3}", name=f"t{i % 4}", ended_at=end)
    make(tables, days.first, days.last)
    whole = tables.everything("capacity_forecasts")
    for day in days:
        make(tables, day, day)
    assert tables.everything("capacity_forecasts") == whole
    cut = at("2026-03-10")
    tables.connection.execute("DELETE FROM runs WHERE started_at >= $1", [cut])
    tables.connection.execute("DELETE FROM calls WHERE started_at >= $1", [cut])
    tables.connection.execute("DELETE FROM capacity_forecasts")
    make(tables, days.first, date(2026, 3, 9), now="2026-03-10T00:00")
    hour = tables.connection.execute("SELECT * FROM capacity_forecasts LIMIT 0").description
    column = [name for name, *_ in hour or ()].index("as_of_hour")
    assert tables.everything("capacity_forecasts") == [row for row in whole if row[column] < cut]
