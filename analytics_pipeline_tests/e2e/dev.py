"""`dagster dev` as a person starts it in a clone, and what the UI asks it over GraphQL.

Does not belong here: any assertion about the pipeline.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
FINAL = ("SUCCESS", "FAILURE", "CANCELED")
REPOSITORY = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "data", "*.egg-info", "__pycache__", "analytics_pipeline_tests")


class NotInTimeError(Exception):
    """What was waited for did not come."""


def until(look: Callable[[], Found | None], what: str, seconds: float = 180, every: float = 0.5) -> Found:
    """The first answer of `look` that is true."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(every)
    raise NotInTimeError(f"{what}: not within {seconds:.0f} s")


@dataclass(frozen=True)
class Run:
    """A run as the UI lists it."""

    run_id: str
    job: str
    status: str
    tags: dict[str, str]


@dataclass
class Dev:
    """A running `dagster dev` and the home that it works on."""

    port: int
    home: Path
    process: subprocess.Popen[bytes]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        if "errors" in answer:
            raise RuntimeError(answer["errors"])
        return dict(answer["data"])

    def answers(self) -> bool:
        """Whether the webserver has loaded the code location."""
        if self.process.poll() is not None:
            raise RuntimeError(f"dagster dev ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            return bool(self.repositories())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def log(self) -> str:
        """What the processes have printed."""
        return (self.home / "dev.log").read_text(errors="replace")

    def repositories(self) -> list[dict[str, Any]]:
        """Loaded repositories with their assets."""
        found = self.ask(
            "{repositoriesOrError {__typename ... on RepositoryConnection {nodes {name location {name} "
            "assetNodes {assetKey {path}} sensors {name sensorState {status}} jobs {name}}}}}"
        )["repositoriesOrError"]
        return list(found["nodes"])

    def launch(self, assets: Iterable[str], tags: dict[str, str]) -> str:
        """What the button "Materialize" of the asset pages does; returns the run's id."""
        params = {
            "selector": self._selector() | {"pipelineName": "__ASSET_JOB", "assetSelection": _keys(assets)},
            "mode": "default",
            "runConfigData": "{}",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self.ask(
            "mutation ($params: ExecutionParams!) {launchPipelineExecution(executionParams: $params) {__typename "
            "... on LaunchRunSuccess {run {runId}} ... on PythonError {message} "
            "... on RunConfigValidationInvalid {errors {message}}}}",
            params=params,
        )["launchPipelineExecution"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(answer)
        return str(answer["run"]["runId"])

    def backfill(self, assets: Iterable[str], partitions: list[str]) -> str:
        """A backfill from the asset page; returns its id."""
        answer = self.ask(
            "mutation ($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {__typename "
            "... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}",
            params={"assetSelection": _keys(assets), "partitionNames": partitions, "title": "by hand"},
        )["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise RuntimeError(answer)
        return str(answer["backfillId"])

    def runs(self, tags: dict[str, str] | None = None, job: str | None = None) -> list[Run]:
        """Runs with these tags, the newest first."""
        wanted = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()], "pipelineName": job}
        answer = self.ask(
            "query ($wanted: RunsFilter) {runsOrError(filter: $wanted, limit: 50) {... on Runs {results "
            "{runId status jobName tags {key value}}}}}",
            wanted=wanted,
        )["runsOrError"]
        return [
            Run(run["runId"], run["jobName"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]})
            for run in answer["results"]
        ]

    def status(self, run_id: str) -> str:
        """A run's status."""
        query = "query ($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
        return str(self.ask(query, id=run_id)["runOrError"]["status"])

    def finished(self, run_id: str) -> str:
        """A run's status once it has ended."""
        return until(lambda: status if (status := self.status(run_id)) in FINAL else None, f"run {run_id} ends")

    def events(self, run_id: str) -> list[dict[str, str]]:
        """Type and message of what a run has told."""
        query = (
            "query ($id: ID!) {logsForRun(runId: $id) {... on EventConnection "
            "{events {__typename ... on MessageEvent {message}}}}}"
        )
        return list(self.ask(query, id=run_id)["logsForRun"]["events"])

    def worker(self, run_id: str) -> int:
        """Id of the process of a run that is in one of its steps."""

        def in_step() -> int | None:
            events = self.events(run_id)
            started = any(event["__typename"] == "ExecutionStepStartEvent" for event in events)
            pids = [re.search(r"in process \(pid: (\d+)\)", event.get("message", "")) for event in events]
            return next((int(pid[1]) for pid in pids if pid), None) if started else None

        return until(in_step, f"run {run_id} begins a step", every=0.1)

    def is_idle(self) -> bool:
        """Whether no run is under way or waits."""
        return all(run.status in FINAL for run in self.runs())

    def processes(self) -> set[int]:
        """Every process of this home, children of children and orphans too."""
        mark = f"ANALYTICS_HOME={self.home}".encode()
        return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _has(entry, mark)}

    def stop(self) -> set[int]:
        """End it as Ctrl-C does; the processes that are left after a minute, which are then killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            until(lambda: self.process.poll() is not None and not self.processes(), "its processes end", seconds=60)
        except NotInTimeError:
            left = self.processes()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            return left
        finally:
            self.process.wait(60)
        return set()

    def _selector(self) -> dict[str, str]:
        (repository,) = self.repositories()
        return {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}


def _keys(assets: Iterable[str]) -> list[dict[str, list[str]]]:
    return [{"path": [asset]} for asset in assets]


def _has(entry: Path, mark: bytes) -> bool:
    try:
        return mark in (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours
        return False


def clone(target: Path) -> Path:
    """The repository as a fresh clone has it, uncommitted changes included."""
    shutil.copytree(REPOSITORY, target, symlinks=True, ignore=_LEFT_OUT)
    return target


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path, folder: Path) -> Iterator[Dev]:
    """`dagster dev` in the folder without DAGSTER_HOME, up to its first answer; stopped in the end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER_", "ANALYTICS_"))}
    environment |= {"ANALYTICS_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    port = free_port()
    with (home / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    dev = Dev(port, home, process)
    try:
        until(dev.answers, "the webserver answers", seconds=240)
        yield dev
    finally:
        dev.stop()
