"""`up` and `serve`: one a home, all started and all ended together, as real processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_pipeline.cli import checkup, services
from analytics_pipeline.cli.terminal import CommandError
from analytics_pipeline.settings import load_settings

from .conftest import Command

PATIENCE = 120.0
"""Seconds; a busy machine starts Dagster slowly."""


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.1)


def is_gone(session: int) -> bool:
    """Whether no process of the session is left."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# The lock


def test_a_home_has_one_up(home: Path) -> None:
    with services.home_lock(home):
        assert services.holders(home) == [os.getpid()]
        with pytest.raises(CommandError, match=rf"another `up` \(process {os.getpid()}\) runs on {home}"):
            services.home_lock(home).__enter__()
        assert services.holders(home) == [os.getpid()]
    assert services.holders(home) == []
    with services.home_lock(home):
        pass


def test_what_a_killed_up_left_behind_holds_the_lock(home: Path) -> None:
    with services.home_lock(home) as lock:
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        services.keep_holders(lock, [gone.pid, left.pid])
    with pytest.raises(CommandError, match=rf"stop them \(kill {left.pid}\)"):
        services.home_lock(home).__enter__()
    finding = {finding.check: finding for finding in checkup.look()}["up"]
    assert (finding.state, finding.remedy) == ("problem", f"stop them: kill {left.pid}")
    left.communicate(b"\n")
    assert services.holders(home) == []


def test_a_taken_port_ends_up_before_anything_starts(run: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        taken = run("up", "--ui-port", port)
        monkeypatch.setenv("ANALYTICS_SERVE__PORT", str(port))
        others = [run("up", "--no-ui"), run("serve")]
    assert taken.code == 1
    assert f"127.0.0.1:{port} (Address already in use)" in taken.complaint
    assert "--ui-port" in taken.complaint
    for other in others:
        assert (other.code, other.out) == (1, "")
        assert "set serve.port" in other.complaint
    assert not (home / "logs").exists()


# Processes


class Quick(services._Services):
    """Services that are started one by one."""

    def begin(self, name: str, code: str) -> services._Service:
        (self.logs / f"{name}.py").write_text(code)
        self._start(name, f"{name}")
        return self.running[-1]


@pytest.fixture
def quick(home: Path, tmp_path: Path) -> Iterator[Quick]:
    """Services over modules in the home's folder of logs."""
    logs = home / "logs"
    logs.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(logs), "PYTHONUNBUFFERED": "1"}
    with services.home_lock(home) as lock, services._Signals() as signals:
        made = Quick(load_settings(), environment, lock, signals, tmp_path)
        yield made
        made.stop()


def test_stop_ends_what_the_processes_started(quick: Quick) -> None:
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    services_ = [quick.begin("one", child + "print('up'); time.sleep(600)"), quick.begin("two", child + "print('up')")]
    until(lambda: all("up" in service.log.read_text() for service in services_), "both are up")
    quick.stop()
    assert all(is_gone(service.process.pid) for service in services_)


def test_stop_kills_what_will_not_end(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "STOP_SECONDS", 0.5)
    deaf = quick.begin(
        "deaf",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)",
    )
    until(lambda: "up" in deaf.log.read_text(), "it is up")
    quick.stop()
    assert deaf.process.returncode == -signal.SIGKILL


def test_the_end_of_one_is_told_with_its_log(quick: Quick) -> None:
    ended = quick.begin("ended", "raise SystemExit(3)")
    with pytest.raises(CommandError, match=rf"ended ended with exit code 3, .*; see {ended.log}"):
        quick.watch()


def test_children_hear_signals_that_the_shell_had_ignored(quick: Quick) -> None:
    handlers = quick.begin(
        "handlers",
        "import signal, time; print([signal.getsignal(s) for s in (2, 15)] == "
        "[signal.default_int_handler, signal.SIG_DFL]); time.sleep(600)",
    )
    until(lambda: handlers.log.read_text(), "it says its handlers")
    assert handlers.log.read_text() == "True\n"


def test_a_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LARGEST_LOG", 10)
    log = tmp_path / "daemon.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"twelve bytes")
        services._bound(log)
        writer.write(b"more")
        services._bound(log)
    assert log.read_bytes() == b"more"
    assert (tmp_path / "daemon.log.1").read_bytes() == b"twelve bytes"


# All of it


class Up:
    """`up` in the background of a shell script, which has it ignore SIGINT."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.port = free_port()
        self.output = home.parent / "up.out"
        command = shlex.join([sys.executable, "-m", "analytics_pipeline", "up", *arguments])
        script = f"{command} & echo $! > up.pid; wait $!; echo $? > up.code"
        environment = os.environ | {"ANALYTICS_SERVE__PORT": str(self.port)}
        with self.output.open("wb") as output:
            self.shell = subprocess.Popen(
                ["bash", "-c", script], cwd=home.parent, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        until(lambda: "Ctrl-C" in self.said or self.shell.poll() is not None, "it is up, or has failed")

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def pid(self) -> int:
        return int((self.home.parent / "up.pid").read_text())

    def ended(self) -> int:
        """Its exit code, once it has ended and left nothing behind."""
        sessions = [int(word) for word in (self.home / services.LOCK_FILE).read_text().split()][1:]
        self.shell.wait(PATIENCE)
        assert sessions
        assert all(is_gone(session) for session in sessions)
        assert services.holders(self.home) == []
        return int((self.home.parent / "up.code").read_text())


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up`, and sees to it that nothing is left of it."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(home, *arguments))
        return started[-1]

    yield start
    for up in started:
        if up.shell.poll() is None:
            os.kill(up.pid, signal.SIGTERM)
            up.shell.wait(PATIENCE)


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_in_the_background_is_stopped_by(number: signal.Signals, start: Callable[..., Up], home: Path) -> None:
    up = start("--no-ui")
    second = subprocess.run(
        [sys.executable, "-m", "analytics_pipeline", "up", "--no-ui"], capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) == 1
    assert f"process {up.pid}" in second.stderr
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/healthz") as answer:
        assert answer.status == 200
    os.kill(up.pid, number)
    assert up.ended() == 0
    assert up.said.splitlines()[-1] == "stopped"
    assert sorted(path.name for path in (home / "logs").iterdir()) == ["api.log", "code-server.log", "daemon.log"]


@pytest.mark.e2e
def test_up_ends_with_the_first_process_that_ends(start: Callable[..., Up], home: Path) -> None:
    up = start("--no-ui")
    os.kill(int((home / services.LOCK_FILE).read_text().split()[1]), signal.SIGKILL)
    assert up.ended() == 1
    assert f"api ended with exit code -9, so all was stopped; see {home / 'logs' / 'api.log'}" in up.said


@pytest.mark.e2e
def test_up_reads_new_logs_and_knows_their_first_day_as_a_partition(start: Callable[..., Up], home: Path) -> None:
    port = free_port()
    up = start("--ui-port", str(port))
    day = (datetime.now(UTC) - timedelta(days=40)).date()
    (home / "run_logs").mkdir()
    record = {"record": "run", "run_id": "r", "started_at": f"{day}T10:00:00Z", "status": "succeeded"}
    (home / "run_logs" / "a.jsonl").write_text(json.dumps(record) + "\n")

    def partitions() -> list[str]:
        query = '{assetNodeOrError(assetKey: {path: ["session_analytics"]}) {... on AssetNode {partitionKeys}}}'
        return list(ask(port, query)["assetNodeOrError"]["partitionKeys"])

    until(lambda: partitions()[0] == str(day), "the UI shows the first day")

    def newest_run() -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/readyz") as answer:
                return str(json.load(answer)["newest_run_at"])
        except urllib.error.HTTPError:  # 503: nothing is published yet
            return None

    until(lambda: newest_run() == f"{day}T10:00:00.000Z", "the API shows the run")
    os.kill(up.pid, signal.SIGTERM)
    assert up.ended() == 0


def ask(port: int, query: str) -> Any:
    """Dagster's GraphQL."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["data"]


@pytest.mark.e2e
def test_a_code_location_that_does_not_load_ends_up_with_its_error(home: Path, tmp_path: Path) -> None:
    (tmp_path / "dagster_duckdb.py").write_text("raise ImportError('this one is broken')")
    done = subprocess.run(
        [sys.executable, "-m", "analytics_pipeline", "up", "--no-ui"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "ANALYTICS_SERVE__PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the code location does not load: ImportError: this one is broken" in done.stderr
    assert services.holders(home) == []


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_in_the_background_is_stopped_by(number: signal.Signals, home: Path) -> None:
    port = free_port()
    serve = subprocess.Popen(
        ["bash", "-c", f"exec {sys.executable} -m analytics_pipeline serve"],
        env=os.environ | {"ANALYTICS_SERVE__PORT": str(port)},
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert serve.stdout is not None
    assert f"http://127.0.0.1:{port}" in serve.stdout.readline().decode()
    until(lambda: services._answers("127.0.0.1", port), "it answers")
    serve.send_signal(number)
    serve.communicate(timeout=PATIENCE)
    assert serve.returncode == 0
