"""The runner: what a home holds after `materialize`, whatever came in which order and whatever went wrong between."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from analytics_pipeline import runner
from analytics_pipeline.assets import days
from analytics_pipeline.partitions import Span
from analytics_pipeline.settings import Settings
from analytics_pipeline.simulate import simulate
from analytics_pipeline.transforms import hourly
from analytics_pipeline_tests import worlds
from analytics_pipeline_tests.worlds import Contents, run_records, settings_of, write_lines

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
CHECKER = SHARED / "checks" / "check.py"
SESSIONS = SHARED / "real" / "claude_code_sessions"
END = datetime(2026, 10, 20, 14, 35, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


@pytest.fixture
def home() -> Iterator[Path]:
    with worlds.scratch() as folder:
        yield folder / "home"


@pytest.fixture(scope="module")
def simulated() -> Iterator[Path]:
    """Five weeks of logs: longer than a baseline looks back."""
    with worlds.scratch() as folder:
        simulate(folder, days=35, runs_per_day=40, end=END)
        yield folder


@pytest.fixture(scope="module")
def few() -> Iterator[Path]:
    """Three days of logs."""
    with worlds.scratch() as folder:
        simulate(folder, days=3, runs_per_day=30, end=END)
        yield folder


def logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def fill(home: Path, files: Mapping[str, Iterable[bytes]]) -> Settings:
    """A home whose `run_logs` also holds these files, each of these lines."""
    settings = settings_of(home)
    for name, lines in files.items():
        (home / "run_logs" / name).write_bytes(b"".join(lines))
    return settings


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def latest(settings: Settings) -> Contents:
    runner.materialize(settings, as_of="latest")
    return worlds.contents(settings.published_path)


def query(settings: Settings, sql: str) -> list[Any]:
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def assert_contract(settings: Settings) -> None:
    """The published file is what the contract says, where its checker is at hand."""
    if not CHECKER.exists():
        pytest.skip("the contract's checker is not beside the repository")
    done = subprocess.run(
        [sys.executable, str(CHECKER), str(settings.published_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_same(one: Contents, other: Contents) -> None:
    assert worlds.differences(one, other) == ""
    assert worlds.content_hash(one) == worlds.content_hash(other)


# --- the same logs, whatever their way in --------------------------------------------------------------------


def test_the_way_in_does_not_show(simulated: Path, home: Path) -> None:
    """Twice, backwards, in halves, calls before their runs, a tenth of it late: the same tables."""
    files = logs(simulated)
    halves = {path: len(lines_of(path)) // 2 for path in files}
    dice = random.Random(7)
    late = {path: [dice.random() < 0.1 for _ in lines_of(path)] for path in files}

    def some(path: Path, wanted: bool) -> list[bytes]:
        return [line for line, is_late in zip(lines_of(path), late[path], strict=True) if is_late is wanted]

    settings = fill(home / "plain", {path.name: lines_of(path) for path in files})
    plain = latest(settings)
    fill(home / "plain", {"again.jsonl": [line for path in reversed(files) for line in lines_of(path)]})
    assert_same(plain, latest(settings))

    backwards = {f"{i}.jsonl": reversed(lines_of(path)) for i, path in enumerate(reversed(files))}
    assert_same(plain, latest(fill(home / "backwards", backwards)))

    fill(home / "halves", {f"2-{path.name}": lines_of(path)[: halves[path]] for path in files})
    rest = {f"1-{path.name}": lines_of(path)[halves[path] :] for path in files}
    assert_same(plain, latest(fill(home / "halves", rest)))

    settings = settings_of(home / "calls first")
    worlds.ingest(settings, simulated / "calls.jsonl")
    worlds.ingest(settings, *files)
    assert_same(plain, latest(settings))

    latest(fill(home / "late", {path.name: some(path, False) for path in files}))
    settings = fill(home / "late", {f"late-{path.name}": some(path, True) for path in files})
    assert_same(plain, latest(settings))
    assert_contract(settings)


def test_a_record_40_days_late_is_as_if_it_had_come_in_time(home: Path) -> None:
    settings = settings_of(home / "late")
    log = home / "late" / "run_logs" / "a.jsonl"
    write_lines(
        log, *(record for i in (0, 5, 14) for record in run_records(f"r{i}", END - i * ONE_DAY, cost_usd=i / 9))
    )
    latest(settings)
    write_lines(log, *run_records("late", END - 40 * ONE_DAY))
    fresh = settings_of(home / "fresh")
    shutil.copy(log, home / "fresh" / "run_logs" / "a.jsonl")
    assert_same(latest(fresh), latest(settings))
    assert_contract(settings)


def test_a_day_corrected_to_empty_becomes_empty(home: Path) -> None:
    settings = settings_of(home)
    moved = {"record": "run", "run_id": "moved", "status": "succeeded", "ended_at": END.isoformat()}
    first = END - 5 * ONE_DAY
    log = write_lines(
        home / "run_logs" / "a.jsonl",
        *run_records("stays", END),
        moved | {"started_at": first.isoformat(), "updated_at": first.isoformat()},
    )
    latest(settings)
    assert query(settings, "SELECT DISTINCT day FROM daily_series ORDER BY 1") == [(first.date(),), (END.date(),)]
    write_lines(log, moved | {"started_at": (END - ONE_DAY).isoformat(), "updated_at": END.isoformat()})
    latest(settings)
    for table, day in (("daily_series", "day"), ("hourly_run_summaries", "hour::DATE"), ("session_analytics", "day")):
        days_left = query(settings, f"SELECT DISTINCT {day} FROM {table} ORDER BY 1")
        assert days_left == [((END - ONE_DAY).date(),), (END.date(),)], table
    assert_contract(settings)


# --- spans and instants --------------------------------------------------------------------------------------


def test_with_nothing_new_there_is_nothing_to_do(home: Path) -> None:
    settings = settings_of(home)
    write_lines(home / "run_logs" / "a.jsonl", *run_records("r", datetime.now(UTC) - timedelta(minutes=10)))
    assert runner.materialize(settings).days > 0
    published = settings.published_path.stat()
    again = runner.materialize(settings)
    assert (again.days, again.runs) == (0, 1)
    assert os.path.samestat(settings.published_path.stat(), published)


def test_an_empty_home_gets_every_table(home: Path) -> None:
    settings = settings_of(home)
    runner.materialize(settings)
    assert query(settings, "SELECT count(*) FROM runs") == [(0,)]
    assert runner.materialize(settings).runs == 1


def test_a_decision_older_than_every_run_is_published(home: Path) -> None:
    settings = settings_of(home)
    write_lines(home / "run_logs" / "a.jsonl", *run_records("r", datetime.now(UTC) - timedelta(minutes=10)))
    runner.materialize(settings)
    decision = {
        "record": "decision",
        "decision_id": "d",
        "target_id": "t",
        "kind": "mute",
        "decided_at": END.isoformat(),
    }
    write_lines(settings.decisions_dir / "d.jsonl", decision)
    runner.materialize(settings)
    assert query(settings, "SELECT decision_id FROM decisions") == [("d",)]


def test_every_day_again_changes_nothing(few: Path, home: Path) -> None:
    settings = fill(home, {path.name: lines_of(path) for path in logs(few)})
    before = latest(settings)
    outcome = runner.materialize(settings, full=True, as_of="latest")
    assert outcome.days == 4
    assert_same(before, worlds.contents(settings.published_path))


def test_a_span_speaks_of_each_of_its_days(few: Path, home: Path) -> None:
    settings = fill(home, {path.name: lines_of(path) for path in logs(few)})
    outcome = runner.materialize(settings, first=date(2026, 10, 18), last=date(2026, 10, 19))
    assert outcome.waiting > 0
    assert query(settings, "SELECT DISTINCT as_of_day FROM trends ORDER BY 1") == [
        (date(2026, 10, 18),),
        (date(2026, 10, 19),),
    ]
    assert query(settings, "SELECT max(created_at) < '2026-10-20' FROM session_analytics") == [(True,)]
    latest(settings)
    assert_contract(settings)


def test_until_a_day_speaks_of_that_day_alone(few: Path, home: Path) -> None:
    settings = fill(home, {path.name: lines_of(path) for path in logs(few)})
    runner.materialize(settings, last=date(2026, 10, 18))
    assert query(settings, "SELECT DISTINCT as_of_day FROM cost_forecasts") == [(date(2026, 10, 18),)]
    assert query(settings, "SELECT max(day) FROM daily_series") == [(date(2026, 10, 18),)]


def test_looking_back_leaves_the_present_alone(simulated: Path, home: Path) -> None:
    settings = fill(home, {path.name: lines_of(path) for path in logs(simulated)})
    before = latest(settings)
    assert before["insights"]
    write_lines(home / "run_logs" / "new.jsonl", *run_records("new", END - timedelta(hours=1)))
    runner.materialize(settings, as_of=END - 6 * ONE_DAY)
    after = worlds.contents(settings.published_path)
    assert (after["insights"], after["agent_status"]) == (before["insights"], before["agent_status"])
    snapshots = "SELECT DISTINCT as_of_day FROM trends ORDER BY 1"
    assert query(settings, snapshots) == [((END - 6 * ONE_DAY).date(),), (END.date(),)]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_reporting_days_are_those_of_the_zone(home: Path, zone: str) -> None:
    """Over the night in which New York sets its clocks back, up to an hour in which UTC is a day ahead of it."""
    first = datetime(2026, 10, 30, 1, 15, tzinfo=UTC)
    instants = [first + timedelta(hours=i) for i in range(97)]
    settings = settings_of(home, timezone=zone)
    records = [record for i, at in enumerate(instants) for record in run_records(f"r{i}", at)]
    write_lines(home / "run_logs" / "a.jsonl", *records[: len(records) // 2])
    latest(settings)
    write_lines(home / "run_logs" / "a.jsonl", *records[len(records) // 2 :])
    latest(settings)
    expected = Counter(at.astimezone(ZoneInfo(zone)).date() for at in instants)
    assert dict(query(settings, "SELECT day, sum(runs)::BIGINT FROM daily_series GROUP BY day")) == expected
    assert dict(query(settings, "SELECT day, count(*) FROM session_analytics GROUP BY day")) == expected
    assert query(settings, "SELECT sum(runs)::BIGINT FROM hourly_run_summaries") == [(len(instants),)]
    assert query(settings, "SELECT max(as_of_day) FROM tool_profiles") == [(max(expected),)]
    assert_contract(settings)
    assert runner.materialize(settings, as_of="latest").days == 0


def test_sessions_of_two_orgs_with_one_id_are_two(home: Path) -> None:
    settings = settings_of(home)
    for org, cost in (("north", 1.0), ("south", 2.0)):
        run = run_records(f"r-{org}", END, cost_usd=cost, org_id=org, session_id="s")
        write_lines(home / "run_logs" / "a.jsonl", *run)
    latest(settings)
    found = query(settings, "SELECT org_id, total_cost::DOUBLE FROM session_analytics ORDER BY 1")
    assert found == [("north", 1.0), ("south", 2.0)]
    assert query(settings, "SELECT DISTINCT org_id FROM trends ORDER BY 1") == [("north",), ("south",)]
    assert_contract(settings)


# --- real logs -----------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not SESSIONS.exists(), reason="the real logs are not beside the repository")
def test_real_sessions_with_each_message_once(home: Path) -> None:
    settings = settings_of(home)
    worlds.ingest(settings, SESSIONS)
    runner.materialize(settings, as_of="latest")
    assert query(settings, "SELECT count(*) FROM session_analytics") == [(3,)]
    calls = "SELECT count(*), count(DISTINCT call_id) FROM calls WHERE kind = 'llm'"
    assert query(settings, calls) == [(197, 197)]
    assert_contract(settings)


# --- what goes wrong -----------------------------------------------------------------------------------------


def test_a_failed_check_keeps_and_publishes_nothing(few: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fill(home, {path.name: lines_of(path) for path in logs(few)[:-1]})
    latest(settings)
    published = settings.published_path.stat()
    right = hourly.make_hourly_summaries

    def wrong(connection: duckdb.DuckDBPyConnection, span: Span) -> dict[str, int]:
        made = right(connection, span)
        connection.execute("DELETE FROM hourly_run_summaries WHERE hour::DATE = ?", [span.first])
        return made

    monkeypatch.setattr(days, "make_hourly_summaries", wrong)
    write_lines(home / "run_logs" / "new.jsonl", *run_records("new", END - 2 * ONE_DAY))
    with pytest.raises(
        runner.RunFailedError, match="check reconciliation of hourly_summaries: hourly runs are the runs"
    ):
        latest(settings)
    assert os.path.samestat(settings.published_path.stat(), published)
    monkeypatch.undo()
    latest(settings)
    assert query(settings, "SELECT count(*) FROM runs WHERE run_id = 'new'") == [(1,)]
    assert_contract(settings)


def test_late_data_before_the_partitions_do_not_fail_the_days_between(home: Path) -> None:
    """A day to be made again between an older one and today is not looked at by the run that makes these two."""
    settings = settings_of(home)
    log = write_lines(home / "run_logs" / "a.jsonl", *run_records("today", END), *run_records("b", END - 9 * ONE_DAY))
    latest(settings)
    write_lines(log, *run_records("c", END - 5 * ONE_DAY))
    worlds.ingest(settings, log)
    write_lines(log, *run_records("d", END))
    runner.materialize(settings, as_of=END - 6 * ONE_DAY)
    latest(settings)
    assert_contract(settings)


KILLED = """
import os, signal, sys
from pathlib import Path
from analytics_pipeline import runner, stale
from analytics_pipeline.settings import Settings

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[2]
if where == "load":
    stale.mark = die  # in the load's transaction
runner.materialize(
    Settings(home=Path(sys.argv[1])), as_of="latest", on_step=lambda name, *_: die() if name == where else None
)
"""


@pytest.mark.crash
@pytest.mark.parametrize("where", ["load", "session_analytics", "insights", "published"])
def test_after_a_killed_run_the_next_makes_the_same_tables(few: Path, home: Path, where: str) -> None:
    expected = latest(fill(home / "whole", {path.name: lines_of(path) for path in logs(few)}))
    settings = fill(home / "killed", {path.name: lines_of(path) for path in logs(few)})
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(settings.home), where], cwd=REPOSITORY, check=False, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL
    assert not settings.published_path.exists()
    assert_same(expected, latest(settings))


@pytest.mark.crash
def test_what_a_killed_run_had_made_is_published_by_the_next(few: Path, home: Path) -> None:
    """Without new logs and without an instant: nothing waits but the publication."""
    settings = fill(home, {path.name: lines_of(path) for path in logs(few)})
    subprocess.run([sys.executable, "-c", KILLED, str(home), "published"], cwd=REPOSITORY, check=False, timeout=300)
    runner.materialize(settings)
    assert_contract(settings)


READER = """
import json, os, sys, time
import duckdb

path, stop = sys.argv[1:]
look = "SELECT (SELECT count(*) FROM runs), (SELECT sum(runs)::BIGINT FROM hourly_run_summaries)"
held = duckdb.connect(path, read_only=True)
seen = {held.execute(look).fetchone()}
print("ready", flush=True)
while not os.path.exists(stop):
    time.sleep(0.05)
    os.link(path, path + ".link")  # under its own path this process would get the file that it holds
    with duckdb.connect(path + ".link", read_only=True) as newest:
        seen.add(newest.execute(look).fetchone())
    os.unlink(path + ".link")
print(json.dumps([sorted(seen), held.execute(look).fetchone()]), flush=True)
"""


def test_a_reader_that_stays_open_sees_whole_states_and_blocks_nothing(few: Path, home: Path) -> None:
    files = logs(few)
    settings = fill(home, {path.name: lines_of(path) for path in files})
    latest(settings)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(settings.published_path), str(home / "stop")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for i in range(2):
            write_lines(home / "run_logs" / "more.jsonl", *run_records(f"more{i}", END - (i + 1) * ONE_DAY))
            latest(settings)
        (home / "stop").touch()
        seen, held = json.loads(reader.communicate(timeout=120)[0])
    finally:
        reader.kill()
        reader.wait()
    assert all(runs == hourly for runs, hourly in seen)
    assert held == seen[0]
    assert [runs for runs, _ in seen] == [90, 91, 92]
