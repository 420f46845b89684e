"""`serve` and `up`: the processes that stay, how they start together and end together.

`up` starts a code server, Dagster's daemon, its UI and the API, each as a process in a session of its own, and watches
them: a signal, or the end of one of them, ends them all. It holds a lock on the home, and so does every daemon that it
started: two daemons on one home would dequeue each other's runs.

Does not belong here: what the API answers (serving/), what runs when (automation.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from analytics_pipeline.cli.terminal import CommandError
from analytics_pipeline.stale import FIRST_DAY_FILE

if TYPE_CHECKING:
    from analytics_pipeline.settings import Settings

LOCK_FILE = "up.lock"
UI_HOST = "127.0.0.1"
LOCATION = "analytics_pipeline"
CODE_SERVER = "code-server"
LOOK_SECONDS = 0.2
START_SECONDS = 120.0
STOP_SECONDS = 15.0
LARGEST_LOG = 10_000_000
"""Bytes; a larger log is moved aside, in place of the one that was moved before."""

_PREPARE = (
    "import dagster as dg; from analytics_pipeline import runner, settings; "
    "runner.dagster_home(settings.load_settings()); dg.Definitions.validate_loadable(runner.build_defs())"
)
_RELOAD = "import sys; from dagster._grpc.client import DagsterGrpcClient as C; C(socket=sys.argv[1]).reload_code(120)"


def serve() -> None:
    """Dashboard and API until SIGINT or SIGTERM."""
    from analytics_pipeline.settings import load_settings

    settings = load_settings()
    host, port = settings.serve.host, settings.serve.port
    _need_free_port(host, port, "set serve.port")
    from analytics_pipeline.serving import api

    print(f"API {_url(host, port)} (Ctrl-C stops it)", flush=True)
    try:
        api.serve(settings)
    except api.ServeError as error:
        raise CommandError(str(error)) from None


def up(ui_port: int | None) -> None:
    """Everything until SIGINT, SIGTERM or SIGHUP; without a port there is no UI."""
    from analytics_pipeline.event_log import BATCH_SIZE, BATCH_VARIABLE
    from analytics_pipeline.settings import config_file, load_settings

    settings = load_settings()
    config = config_file()
    environment = os.environ | {
        "ANALYTICS_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        "PYTHONUNBUFFERED": "1",
        BATCH_VARIABLE: BATCH_SIZE,
    }
    if config:
        environment["ANALYTICS_CONFIG"] = str(config)
    with home_lock(settings.home) as lock, _Signals() as signals, tempfile.TemporaryDirectory(prefix="up-") as scratch:
        _need_free_port(settings.serve.host, settings.serve.port, "set serve.port")
        if ui_port is not None:
            _need_free_port(UI_HOST, ui_port, "choose another with --ui-port")
        print(f"home {settings.home}; starting …", flush=True)
        _prepare(environment)
        services = _Services(settings, environment, lock, signals, Path(scratch))
        try:
            services.start(ui_port)
            services.watch()
            print("\nstopping …" if sys.stdout.isatty() else "stopping …", flush=True)  # not behind a shown ^C
        finally:
            services.stop()
    print("stopped")


# One `up` a home


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[int]:
    """The descriptor of the home's lock, which a child can inherit; the file names the processes that hold it.

    Raises:
        CommandError: Another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(_who_holds(home)) from None
        keep_holders(descriptor, [os.getpid()])
        yield descriptor
    finally:
        os.close(descriptor)


def keep_holders(descriptor: int, processes: list[int]) -> None:
    """Write into the lock file who holds it: `up` first, then what it started."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (" ".join(str(process) for process in processes) + "\n").encode(), 0)


def holders(home: Path) -> list[int]:
    """The living processes that the lock file names where the lock is held; empty where it is free."""
    path = home / LOCK_FILE
    if not path.exists():
        return []
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return [process for process in map(int, file.read().split()) if _is_alive(process)]
    return []


def _who_holds(home: Path) -> str:
    living = holders(home)
    if not living:
        return f"another `up` is starting on {home}: wait for it, or use another ANALYTICS_HOME"
    if is_left_behind(home, living):
        processes = " ".join(str(process) for process in living)
        return f"a killed `up` left processes on {home}: stop them (kill {processes}), or use another ANALYTICS_HOME"
    return f"another `up` (process {living[0]}) runs on {home}: stop it, or use another ANALYTICS_HOME"


def is_left_behind(home: Path, living: list[int]) -> bool:
    """Whether `up` itself is not among the living holders."""
    return (home / LOCK_FILE).read_text("ascii").split()[:1] != [str(living[0])]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# Before anything starts


def _need_free_port(host: str, port: int, remedy: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0]  # Python 3.11 says the address again
        raise CommandError(f"cannot listen on {host}:{port} ({reason}): stop what uses it, or {remedy}") from None


def _prepare(environment: dict[str, str]) -> None:
    """Make Dagster's home and see that the code location loads, before a daemon tries it for ever."""
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for `up` alone
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise CommandError(f"the code location does not load: {said[-1].strip()}")


# Processes


class _Signals:
    """Notes a signal that asks to stop; whoever waits looks here. What it starts has default handlers again."""

    def __init__(self) -> None:
        self.stop = False

    def __enter__(self) -> _Signals:
        self._before = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # nohup stays nohup
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.stop = True


class _Stopped(Exception):
    """A signal came while something was awaited."""


@dataclass(frozen=True)
class _Service:
    """A process in a session of its own, which what it starts stays in."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def signal(self, number: int) -> bool:
        """Send it to every process of the session; whether there is one."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # PermissionError: nothing but zombies, on macOS
            return False
        return True

    def is_running(self) -> bool:
        """Whether any process of the session is left."""
        return self.process.poll() is None or self.signal(0)


class _Services:
    """What `up` started, in that order."""

    def __init__(
        self, settings: Settings, environment: dict[str, str], lock: int, signals: _Signals, scratch: Path
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.lock = lock
        self.signals = signals
        self.code_socket = scratch / "code.sock"
        self.workspace = scratch / "workspace.yaml"
        self.logs = settings.home / "logs"
        self.running: list[_Service] = []
        self._first_day = self._kept_first_day()

    def start(self, ui_port: int | None) -> None:
        """Start everything, and say where it is once it answers."""
        self.logs.mkdir(exist_ok=True)
        location = {"grpc_server": {"socket": str(self.code_socket), "location_name": LOCATION}}
        self.workspace.write_text(json.dumps({"load_from": [location]}))  # JSON is YAML
        host, port = self.settings.serve.host, self.settings.serve.port
        try:
            self._look()
            self._start("api", "analytics_pipeline", "serve")
            code = ("--module-name", "analytics_pipeline.definitions", "--location-name", LOCATION)
            served = ("--socket", str(self.code_socket), "--log-level", "warning")
            self._start(CODE_SERVER, "dagster", "code-server", "start", *code, *served)
            self._await(self.code_socket.exists)
            workspace = ("--workspace", str(self.workspace))
            self._start("daemon", "dagster._daemon", "run", "--log-level", "warning", *workspace)
            if ui_port is not None:
                address = ("--host", UI_HOST, "--port", str(ui_port))
                self._start("ui", "dagster_webserver", *address, "--dagster-log-level", "warning", *workspace)
                self._await(lambda: _answers(UI_HOST, ui_port))
            self._await(lambda: _answers(host, port))
        except _Stopped:
            return
        if ui_port is not None:
            print(f"Dagster UI  {_url(UI_HOST, ui_port)}")
        print(f"API         {_url(host, port)}")
        print(f"logs        {self.logs}")
        print("Ctrl-C stops everything", flush=True)

    def _start(self, name: str, module: str, *arguments: str) -> None:
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self.lock],
            )
        self.running.append(_Service(name, log, process))
        keep_holders(self.lock, [os.getpid(), *(service.process.pid for service in self.running)])

    def _await(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            self._look()
            if time.monotonic() > deadline:
                raise CommandError(f"nothing answered within {START_SECONDS:.0f} s; see the logs in {self.logs}")
            time.sleep(LOOK_SECONDS)

    def watch(self) -> None:
        """Wait for a signal; meanwhile reload the code location when the first partition moves, and bound the logs."""
        with contextlib.suppress(_Stopped):
            while True:
                self._look()
                if (first_day := self._kept_first_day()) not in ("", self._first_day):
                    self._first_day = first_day
                    self._reload()
                for service in self.running:
                    _bound(service.log)
                time.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        """Go on, unless a signal came or a process ended."""
        if self.signals.stop:
            raise _Stopped
        for service in self.running:
            code = service.process.poll()
            if code is not None:
                raise CommandError(f"{service.name} ended with exit code {code}, so all was stopped; see {service.log}")

    def _kept_first_day(self) -> str:
        try:
            return (self.settings.home / FIRST_DAY_FILE).read_text("ascii")
        except FileNotFoundError:
            return ""

    def _reload(self) -> None:
        """Have the code location loaded anew, so that it knows the partitions before its former first one."""
        code_server = next(service for service in self.running if service.name == CODE_SERVER)
        with code_server.log.open("ab") as output:
            subprocess.run(
                [sys.executable, "-c", _RELOAD, str(self.code_socket)],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
            )

    def stop(self) -> None:
        """End every process and whatever it started: the code server last, for the others use it."""
        code_servers = [service for service in self.running if service.name == CODE_SERVER]
        for services in ([service for service in self.running if service.name != CODE_SERVER], code_servers):
            for service in services:
                service.signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline and any(service.is_running() for service in services):
                time.sleep(LOOK_SECONDS / 4)
            for service in services:
                service.signal(signal.SIGKILL)
                service.process.wait()


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((_reachable(host), port), timeout=1):
        return True
    return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # what listens everywhere, listens here


def _url(host: str, port: int) -> str:
    shown = _reachable(host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def _bound(log: Path) -> None:
    """Move a log aside that has grown too long; its writer goes on at the beginning of the emptied file."""
    if log.stat().st_size > LARGEST_LOG:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
