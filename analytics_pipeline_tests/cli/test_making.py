"""`ingest`, `materialize`, `simulate`: what they say, and when they fail."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_pipeline import runner
from analytics_pipeline.load import load, log_files
from analytics_pipeline.runner import Outcome, RunFailedError
from analytics_pipeline.settings import load_settings
from analytics_pipeline.warehouse import Warehouse

from .conftest import Command

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with a log of two runs, one of them started an hour after the other, a broken line, and a note."""
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = [
        '{"record":"run","run_id":"a","started_at":"2026-11-01T10:00:00Z","status":"succeeded"}',
        "{broken",
        '{"record":"run","run_id":"b","started_at":"2026-11-01T11:00:00Z","status":"failed"}',
    ]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "note.md").write_text("not a log")
    return folder


def test_ingest_says_files_records_rejects_and_hours(run: Command, logs: Path) -> None:
    ended = run("ingest", logs)
    assert ended.code == 0
    assert ended.err == ""
    assert "1 read" in ended.out
    assert "1 other file passed over" in ended.out
    assert "2 new (2 run)" in ended.out
    assert "rejects  1" in ended.out
    assert "2 touched, 2026-11-01 10:00 to 2026-11-01 11:00 UTC" in ended.out
    again = run("ingest", logs)
    assert again.code == 0
    assert "0 read, 1 as they were before" in again.out


def test_ingest_answers_in_json(run: Command, logs: Path) -> None:
    answer = json.loads(run("ingest", logs, "--json").out)
    assert answer["records"] == {"run": 2}
    assert answer["rejects"] == 1
    assert answer["hours"] == {"count": 2, "first": "2026-11-01T10:00:00Z", "last": "2026-11-01T11:00:00Z"}
    assert answer["problems"] == []


def test_ingest_names_what_it_cannot_read_and_loads_the_rest(run: Command, logs: Path, tmp_path: Path) -> None:
    (logs / "prose.log").write_text("Once upon a time\nthere was a log\n")
    ended = run("ingest", logs, tmp_path / "missing", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["records"] == {"run": 2}
    lines = sorted(ended.err.splitlines())
    assert [line.partition(": ")[0] for line in lines] == [str(logs / "prose.log"), str(tmp_path / "missing")]
    assert "--format" in lines[0]


def test_ingest_of_a_folder_without_logs_says_so(run: Command, logs: Path) -> None:
    (logs / "a.jsonl").unlink()
    ended = run("ingest", logs)
    assert (ended.code, ended.err) == (0, "")
    assert "no logs there: 1 other file passed over" in ended.out


MAPPING = """[[record]]
kind = "run"
[record.fields]
run_id = "id"
started_at = "when"
status = { column = "result", words = { OK = "succeeded", "*" = "failed" } }
"""


@pytest.fixture
def odd(tmp_path: Path) -> tuple[Path, Path]:
    """A log of no known format, and its mapping."""
    log, mapping = tmp_path / "odd.csv", tmp_path / "odd.toml"
    log.write_text("id,when,result\na,2026-11-01T10:00:00Z,OK\nb,2026-11-01T10:00:00Z,no\n")
    mapping.write_text(MAPPING)
    return log, mapping


def test_ingest_by_a_mapping(run: Command, odd: tuple[Path, Path]) -> None:
    log, mapping = odd
    assert "--format" in run("ingest", log).err
    answer = json.loads(run("ingest", log, "--mapping", mapping, "--json").out)
    assert answer["records"] == {"run": 2}
    assert "1 as they were before" in run("ingest", log, "--format", "mapped", "--mapping", mapping).out


def test_a_mended_mapping_loads_what_failed(run: Command, odd: tuple[Path, Path]) -> None:
    log, mapping = odd
    mapping.write_text(MAPPING.replace('"when"', '"wenn"'))
    for _ in range(2):
        ended = run("ingest", log, "--mapping", mapping)
        assert ended.code == 1
        assert "odd.toml line 5: no row has the column 'wenn'" in ended.complaint
    mapping.write_text(MAPPING)
    ended = run("ingest", log, "--mapping", mapping)
    assert (ended.code, ended.err) == (0, "")
    assert "2 new (2 run)" in ended.out


def test_a_bad_mapping_is_named_with_its_line(run: Command, odd: tuple[Path, Path]) -> None:
    log, mapping = odd
    mapping.write_text(MAPPING + 'modle = "m"\n')
    ended = run("ingest", log, "--mapping", mapping)
    assert (ended.code, ended.out) == (1, "")
    assert f"{mapping} line 7: modle is no field of run" in ended.complaint
    for arguments in (["--format", "mapped"], ["--format", "codex", "--mapping", mapping], ["--discover"]):
        assert run("ingest", log, *arguments).code == 2


def test_a_source_with_a_mapping_is_loaded(odd: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    log, mapping = odd
    monkeypatch.setenv("ANALYTICS_SOURCES", json.dumps([{"path": str(log), "mapping": str(mapping)}]))
    settings = load_settings()
    result = load(Warehouse(settings.warehouse_path, settings.published_path), settings, log_files(settings))
    assert (result.records, result.problems) == ({"run": 2}, [])


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home; of the logs of agents, only Codex's are there."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "APPDATA", "AIDER_ANALYTICS_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    session = tmp_path / "user" / ".codex" / "sessions" / "rollout-1.jsonl"
    session.parent.mkdir(parents=True)
    said = {"type": "user_message", "message": "hi"}
    lines = [("session_meta", {"id": "s"}), ("event_msg", said)]
    session.write_text(
        "".join(
            json.dumps({"timestamp": "2026-11-01T10:00:00Z", "type": kind, "payload": payload}) + "\n"
            for kind, payload in lines
        )
    )
    return session


def test_ingest_finds_the_logs_of_agents_and_says_so_first(run: Command, agents: Path) -> None:
    ended = run("ingest", "--discover")
    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.splitlines()
    assert first == f"found    Codex: {agents.parent} (1 file, 0.0 MB)"
    assert "1 new (1 run)" in "\n".join(rest)
    answer = json.loads(run("ingest", "--discover", "--json").out)
    assert answer["unchanged"] == 1
    assert answer["found"] == [
        {
            "agent": "Codex",
            "format": "codex",
            "path": str(agents.parent),
            "files": 1,
            "bytes": agents.stat().st_size,
        }
    ]
    assert str(agents.parent) in answer["looked"]


def test_ingest_that_finds_no_agents_says_where_it_looked(run: Command, agents: Path, home: Path) -> None:
    agents.unlink()
    ended = run("ingest", "--discover")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("no logs of agents in ")
    assert str(agents.parent) in ended.out
    assert not home.exists()


def test_ingest_leaves_dagster_alone(logs: Path) -> None:
    code = (
        "import sys; from analytics_pipeline import cli\n"
        f"try: cli.main(['ingest', {str(logs)!r}])\n"
        "finally: print('dagster' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1] == "False"


def test_progress_is_shown_on_a_terminal_only(logs: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "analytics_pipeline", "ingest", str(logs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as ingest:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        assert ingest.stdout is not None
        assert b"\x1b" not in ingest.stdout.read()
    assert b"starting" in shown


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """What `materialize` asked the runner for; nothing is made."""
    kept: dict[str, Any] = {}

    def materialize(settings: object, **arguments: Any) -> Outcome:
        kept.update(arguments)
        return Outcome(days=2, runs=2, now=NOW, problems=[("bad.jsonl", "cannot be read: mend it")], waiting=1)

    monkeypatch.setattr(runner, "materialize", materialize)
    Warehouse(home / "warehouse.duckdb", home / "analytics.duckdb").publish()
    return kept


def test_materialize_takes_days_and_times_in_the_configured_zone(
    run: Command, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_TIMEZONE", "Asia/Tokyo")
    run("materialize", "--from", "2026-11-01", "--to", "2026-11-02T16:00:00Z", "--as-of", "2026-11-03T00:00")
    assert asked["first"] == date(2026, 11, 1)
    assert asked["last"] == date(2026, 11, 3)  # it is past midnight in Tokyo
    assert asked["as_of"] == datetime(2026, 11, 2, 15, tzinfo=UTC)
    run("materialize", "--full", "--as-of", "latest")
    assert (asked["full"], asked["as_of"], asked["first"]) == (True, "latest", None)


def test_materialize_tells_of_unreadable_files_and_goes_on(run: Command, asked: dict[str, Any], home: Path) -> None:
    ended = run("materialize")
    assert ended.code == 0
    assert ended.complaint == "bad.jsonl: cannot be read: mend it"
    assert "2 days" in ended.out
    assert "2026-11-21 15:00 UTC" in ended.out
    assert str(home / "analytics.duckdb") in ended.out
    assert "1 other day still to be made: analytics-pipeline materialize" in ended.out
    assert json.loads(run("materialize", "--json").out) == {
        "days": 2,
        "runs": 2,
        "now": "2026-11-21T15:00:00Z",
        "waiting": 1,
        "published": str(home / "analytics.duckdb"),
        "known_cost": 0.0,
        "unpriced_calls": 0,
        "model_calls": 0,
        "problems": [{"path": "bad.jsonl", "problem": "cannot be read: mend it"}],
    }


def test_a_failed_run_is_one_line_and_1(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RunFailedError("run 1234 of load failed: run_logs: no room left\non the disk")

    monkeypatch.setattr(runner, "materialize", fail)
    ended = run("materialize")
    assert ended.code == 1
    assert "run 1234 of load failed: run_logs: no room left on the disk" in ended.complaint


def test_materialize_reads_the_sources_and_finds_nothing_to_do_again(run: Command, filled: Path, logs: Path) -> None:
    ended = run("materialize")
    assert (ended.code, ended.err) == (0, "")
    assert "nothing to do" in ended.out
    (filled / "run_logs").mkdir()
    (filled / "run_logs" / "prose.log").write_text("Once upon a time\nthere was a log\n")
    ended = run("materialize")
    assert ended.code == 0
    assert "prose.log: its format is not known" in ended.complaint


def test_simulate_says_what_it_wrote_and_replaces_it(run: Command, tmp_path: Path) -> None:
    small = ("--days", 3, "--runs-per-day", 5, "--end", "2026-11-21")
    ended = run("simulate", "--out", tmp_path / "sim", *small)
    assert ended.code == 0
    assert "wrote" in ended.out
    assert "3 days until 2026-11-21 00:00 UTC" in ended.out
    written = {path.name: path.read_bytes() for path in (tmp_path / "sim").iterdir()}
    assert "truth.json" in written
    ended = run("simulate", "--out", tmp_path / "sim", *small)
    assert "replaced" in ended.out
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "sim").iterdir()}
    answer = json.loads(run("simulate", "--out", tmp_path / "sim", *small, "--json").out)
    assert answer["records"]["run"] == 15
    assert answer["incidents"] == json.loads(written["truth.json"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_simulate_into_a_closed_folder_is_one_line_and_1(run: Command, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert run("simulate", "--out", tmp_path / "sim").code == 1


def test_simulate_onto_a_file_is_one_line_and_1(run: Command, tmp_path: Path) -> None:
    (tmp_path / "sim").touch()
    ended = run("simulate", "--out", tmp_path / "sim")
    assert ended.code == 1
    assert "sim: " in ended.complaint
