"""`materialize` as one call: load, then the Dagster jobs in this process for every day that waits, then publish.

The runs are kept in the same Dagster home that `up` shows, so that the UI tells what the command did.

Belongs here: which runs a materialization needs. Does not belong here: what runs by itself (automation.py), what a run
makes (assets/).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from analytics_pipeline import automation, engine, progress, stale, state
from analytics_pipeline.assets.common import AS_OF_TAG, PASSED_DAY_TAG
from analytics_pipeline.assets.load import PROBLEMS
from analytics_pipeline.definitions import build_defs
from analytics_pipeline.event_log import BATCH_SIZE, BATCH_VARIABLE, storage_config
from analytics_pipeline.load import files
from analytics_pipeline.partitions import Clock, Span, spans
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb


class RunFailedError(Exception):
    """A run failed; the text says which step and why, in one line."""


@dataclass
class Plan:
    """The runs that a materialization needs after the load.

    Attributes:
        clock: Now, for the last run.
        days: Spans of which only the days are made.
        last: The span made together with what speaks about now; None where no day waits.
        passed: Passed days of which what speaks about now is made too, each as of its end.
    """

    clock: Clock
    days: list[Span] = field(default_factory=list)
    last: Span | None = None
    passed: list[date] = field(default_factory=list)


@dataclass
class Outcome:
    """What a materialization did.

    Attributes:
        days: Days made; without one, only what speaks about now was made, or nothing.
        runs: Runs that it took; one where nothing was to be done but look for logs.
        now: The instant that was now.
        problems: (path, what is wrong and what to do) for each file that could not be read.
        waiting: Days outside an asked span that do not show yet what the logs hold.
    """

    days: int
    runs: int
    now: datetime
    problems: list[tuple[str, str]]
    waiting: int = 0


def dagster_home(settings: Settings) -> Path:
    """The Dagster home under the pipeline's home: the project's dagster.yaml and where its event log is."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    common = (resources("analytics_pipeline") / "dagster.yaml").read_text("utf-8")
    own = json.dumps(storage_config(home))[1:-1]  # JSON is YAML
    wanted = f"{common}\n# the event log of this home: analytics_pipeline/event_log.py\n{own}\n"
    file = home / "dagster.yaml"
    if not file.exists() or file.read_text("utf-8") != wanted:
        file.write_text(wanted, encoding="utf-8")
    return home


def materialize(
    settings: Settings,
    *,
    first: date | None = None,
    last: date | None = None,
    full: bool = False,
    as_of: datetime | str | None = None,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Load what is new, make what waits, publish.

    Args:
        settings: Where and how.
        first: First day of a span to make again.
        last: Last day of that span; its end is then now.
        full: Make every day again.
        as_of: The instant to take for now; `latest` is a microsecond after the newest start of any record.
        on_step: Told the name of each step that begins, its number and how many there are at least.

    Raises:
        RunFailedError: A run failed; what was made before it stays.
    """
    told = on_step or (lambda name, number, total: None)
    os.environ.setdefault(BATCH_VARIABLE, BATCH_SIZE)
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        automation.fail_abandoned_runs(instance)
        runs = _Runs(settings, instance, told)
        problems = _problems(runs.execute("load", {}))
        plan = _plan(settings, first=first, last=last, full=full, as_of=as_of)
        if plan is None:
            return Outcome(0, runs.done, datetime.now(UTC), problems)
        runs.expect(plan)
        for span in plan.days:
            runs.execute("days", automation.range_tags(span) | _now_tags(plan.clock))
        for day in plan.passed:
            runs.execute("speak", {PASSED_DAY_TAG: day.isoformat()}, automation.NOW[:-1])
        if plan.last:
            runs.execute("catch_up", automation.range_tags(plan.last) | _now_tags(plan.clock))
        else:
            runs.execute("speak", _now_tags(plan.clock))
        made = sum(len(span) for span in plan.days) + (len(plan.last) if plan.last else 0)
        waiting = _waiting(settings) if first or last else 0
        return Outcome(made, runs.done, plan.clock.now, problems, waiting)


def _waiting(settings: Settings) -> int:
    """How many days, up to the real today, wait to be made."""
    with WarehouseResource.of(settings).get_connection() as connection:
        return len(stale.due(connection, Clock(datetime.now(UTC), settings.zone), automation.DAYS))


def _now_tags(clock: Clock) -> dict[str, str]:
    if clock.passed_day:
        return {PASSED_DAY_TAG: clock.passed_day.isoformat()}
    return {AS_OF_TAG: clock.now.isoformat()}


def _plan(
    settings: Settings, *, first: date | None, last: date | None, full: bool, as_of: datetime | str | None
) -> Plan | None:
    """What to make; None where nothing waits and nothing was asked for."""
    with WarehouseResource.of(settings).get_connection() as connection:
        latest = engine.query(connection, "latest_start").fetchone()
        newest = latest[0] if latest else None
        clock = _clock(settings, as_of, last, newest)
        oldest = stale.kept_first_day(settings.home)
        waiting = stale.due(connection, clock, automation.DAYS)
        unpublished = bool(stale.due(connection, clock, ("daily_series",))) or _is_unpublished(connection, settings)
    asked = first is not None or last is not None or full
    begin = oldest if full or first is None or oldest is None else max(first, oldest)
    end = max(stale.last_day(asset, clock) for asset in automation.DAYS)
    days = list(Span(begin, end)) if asked and begin else waiting
    if not days and not unpublished and as_of is None:
        return None
    found = spans(days)
    if first is not None:
        return Plan(clock, found, None, [day for day in days if day < clock.today])
    return Plan(clock, found[:-1], found[-1] if found else None)


def _is_unpublished(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether the warehouse holds what the published copy does not show, as after a run that was killed."""
    made, published = (state.fact(connection, name) or "" for name in (state.MADE_AT, "published_at"))
    if made > published or not settings.published_path.exists():
        return True
    return files.read_ledger(connection) != automation.published_ledger(settings)


def _clock(settings: Settings, as_of: datetime | str | None, last: date | None, newest: datetime | None) -> Clock:
    if as_of == "latest":
        instant = newest.replace(tzinfo=UTC) + timedelta(microseconds=1) if newest else datetime.now(UTC)
        return Clock(instant, settings.zone)
    if isinstance(as_of, datetime):
        return Clock(as_of, settings.zone)
    clock = Clock(datetime.now(UTC), settings.zone)
    return Clock.at_end_of(last, settings.zone) if last is not None and last < clock.today else clock


class _Runs:
    """Runs of this process, one after the other."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, told: Callable[[str, int, int], None]) -> None:
        self.settings = settings
        self.instance = instance
        self.told = told
        self.done = 0
        self._step = 0
        self._total = 1

    def expect(self, plan: Plan) -> None:
        """How many steps are still to come."""
        days, now = len(automation.DAYS), len(automation.NOW)
        self._total += len(plan.days) * days + len(plan.passed) * (now - 1) + (days if plan.last else 0) + now

    def execute(self, job: str, tags: dict[str, str], assets: Sequence[str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a job, or these assets of it, here; definitions are made anew: a load may move the first partition."""
        definition = build_defs(self.settings).resolve_job_def(job)
        with progress.listening(self._on_step):
            result = definition.execute_in_process(
                instance=self.instance,
                tags=tags | {automation.PROCESS_TAG: str(os.getpid())},
                asset_selection=None if assets is None else [dg.AssetKey(asset) for asset in assets],
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        self.done += 1
        if not result.success:
            raise RunFailedError(f"run {result.run_id[:8]} of {job} failed: {'; '.join(_faults(result))}")
        return result

    def _on_step(self, name: str) -> None:
        self._step += 1
        self.told(name, self._step, max(self._total, self._step))


def _problems(result: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    """The files that a load could not read, and why."""
    (loaded,) = result.asset_materializations_for_node("run_logs")
    table = loaded.metadata[PROBLEMS]
    assert isinstance(table, dg.TableMetadataValue)
    return [(str(record.data["path"]), str(record.data["problem"])) for record in table.records]


def _faults(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """What went wrong, one line a step or check."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause if error and error.cause else error
            message = cause.message.strip().splitlines()[0] if cause else event.message
            yield f"{event.step_key}: {message}"
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            yield f"check {evaluation.check_name} of {evaluation.asset_key.to_user_string()}: {evaluation.description}"
