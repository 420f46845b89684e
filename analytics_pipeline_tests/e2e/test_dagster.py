"""Dagster as people run it: the real webserver and daemon, asked over GraphQL as the UI does.

The tests share one home and one `dagster dev`, and stand in the order in which a person would do these things.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_pipeline.automation import DAYS, NOW
from analytics_pipeline.settings import Settings
from analytics_pipeline.simulate import simulate
from analytics_pipeline_tests import worlds
from analytics_pipeline_tests.e2e.dev import Dev, clone, running, until
from analytics_pipeline_tests.worlds import run_records, settings_of, write_lines

pytestmark = pytest.mark.e2e
ALL = ("run_logs", *DAYS, *NOW)
ONE_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with worlds.scratch() as folder:
        settings = settings_of(folder / "home")
        simulate(settings.home / "run_logs", days=33, runs_per_day=10, end=datetime.now(UTC))
        worlds.ingest(settings, settings.home / "run_logs")
        yield settings


@pytest.fixture(scope="module")
def dev(settings: Settings) -> Iterator[Dev]:
    with worlds.scratch() as folder, running(settings.home, clone(folder / "clone")) as dev:
        yield dev


def query(settings: Settings, sql: str) -> list[Any]:
    """The rows of the newest published state, under a name of its own: this process may hold an older one."""
    link = settings.home / f"look-{time.monotonic_ns()}.duckdb"
    os.link(settings.published_path, link)
    try:
        with duckdb.connect(str(link), read_only=True) as connection:
            return connection.execute(sql).fetchall()
    finally:
        link.unlink()


def waiting(settings: Settings) -> int:
    """Days before today that wait to be made."""
    sql = f"SELECT count(DISTINCT day) FROM state.stale WHERE day < '{datetime.now(UTC).date() - ONE_DAY}'"
    return int(query(settings, sql)[0][0])


def test_a_clone_loads_every_asset(dev: Dev) -> None:
    (repository,) = dev.repositories()
    assert {node["assetKey"]["path"][0] for node in repository["assetNodes"]} == set(ALL)
    assert all(sensor["sensorState"]["status"] == "RUNNING" for sensor in repository["sensors"])


def test_the_sensors_alone_make_and_publish_everything(dev: Dev, settings: Settings) -> None:
    until(settings.published_path.exists, "the first publication")
    until(lambda: not waiting(settings) and dev.is_idle(), "the past days are made")
    (runs,) = query(
        settings, "SELECT (SELECT count(*) FROM runs), (SELECT sum(runs)::BIGINT FROM hourly_run_summaries)"
    )
    assert runs[0] == runs[1] > 300
    assert all(run.status == "SUCCESS" for run in dev.runs())


def test_materialize_all_of_a_day_from_the_asset_page(dev: Dev) -> None:
    day = (datetime.now(UTC) - 2 * ONE_DAY).date().isoformat()
    run_id = dev.launch(ALL, {"dagster/partition": day})
    assert dev.finished(run_id) == "SUCCESS", dev.events(run_id)


def test_a_backfill_of_a_month_is_one_run_and_what_hangs_below_follows(dev: Dev, settings: Settings) -> None:
    first = datetime.now(UTC).date() - 31 * ONE_DAY
    spoken = {run.run_id for run in dev.runs(job="speak")}
    backfill = dev.backfill(DAYS, [(first + i * ONE_DAY).isoformat() for i in range(30)])
    (run,) = until(lambda: dev.runs(tags={"dagster/backfill": backfill}), "the backfill's run")
    assert dev.finished(run.run_id) == "SUCCESS", dev.events(run.run_id)
    published = settings.published_path.stat().st_mtime_ns
    status = "query ($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"
    until(
        lambda: dev.ask(status, id=backfill)["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS",
        "the backfill ends",
    )
    assert len(dev.runs(tags={"dagster/backfill": backfill})) == 1
    after = until(
        lambda: [run for run in dev.runs(job="speak") if run.run_id not in spoken], "what hangs below is made"
    )
    assert dev.finished(after[-1].run_id) == "SUCCESS"
    assert settings.published_path.stat().st_mtime_ns > published


def test_after_a_killed_run_the_next_one_proceeds(dev: Dev) -> None:
    until(dev.is_idle, "nothing is under way")
    day = {"dagster/partition": datetime.now(UTC).date().isoformat(), "dagster/max_retries": "0"}
    killed = dev.launch(ALL, day)
    os.kill(dev.worker(killed), signal.SIGKILL)
    began = time.monotonic()
    following = dev.launch(ALL, day)
    assert dev.finished(killed) == "FAILURE"
    failed = time.monotonic() - began
    assert dev.finished(following) == "SUCCESS", dev.events(following)
    print(f"\nkilled run failed after {failed:.1f} s, the next had ended after {time.monotonic() - began:.1f} s")
    until((dev.home / "failures.jsonl").exists, "the failure is kept for doctor")


def test_from_a_log_line_to_its_published_row_by_the_sensors_alone(dev: Dev, settings: Settings) -> None:
    log = settings.home / "run_logs" / "live.jsonl"
    until(dev.is_idle, "nothing is under way")
    took = []
    for i in range(3):
        write_lines(log, *run_records(f"live-{i}", datetime.now(UTC) - timedelta(seconds=40)))
        began = time.monotonic()
        sql = f"SELECT sum(runs) FROM daily_series, runs r WHERE r.run_id = 'live-{i}' HAVING count(*) > 0"
        until(lambda sql=sql: query(settings, sql), f"line {i} is published", every=0.2)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    print(f"\nfrom a log's last line to its published row: {', '.join(f'{s:.1f}' for s in took)} s")
    assert statistics.median(took) < 60  # 12 s on a machine of its own; here others use it too


@pytest.mark.parametrize("age", [50, 48])
def test_data_older_than_the_partitions_are_made_without_a_reload(dev: Dev, settings: Settings, age: int) -> None:
    day: date = (datetime.now(UTC) - age * ONE_DAY).date()
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    write_lines(settings.home / "run_logs" / "live.jsonl", *run_records(f"late-{age}", at))
    until(lambda: query(settings, f"SELECT 1 FROM runs WHERE run_id = 'late-{age}'"), "the late record is published")
    until(lambda: not waiting(settings) and dev.is_idle(), "the days on which it bears are made")
    for table, column in (
        ("session_analytics", "day"),
        ("hourly_run_summaries", "hour::DATE"),
        ("daily_series", "day"),
    ):
        assert query(settings, f"SELECT count(*) FROM {table} WHERE {column} = '{day}'") == [(1,)], table
    assert query(settings, f"SELECT count(*) FROM tool_profiles WHERE as_of_day = '{day + 3 * ONE_DAY}'") != [(0,)]


def test_nothing_is_left_running(dev: Dev) -> None:
    assert len(dev.processes()) > 2
    assert dev.stop() == set()


def test_sensors_and_daemon_have_not_stumbled(dev: Dev) -> None:
    errors = [line for line in dev.log().splitlines() if " - ERROR - " in line and "killed" not in line.lower()]
    assert not any("Sensor" in line or "daemon" in line.lower() for line in errors), errors


def test_the_home_holds_nothing_half_made(settings: Settings) -> None:
    assert not list(Path(settings.home).glob(".*.new"))
