"""What runs when: jobs, the schedule and the sensors, on one page.

- `refresh` is the usual run: load, today's days, what speaks about now, publish. The sensor `new_logs` asks for it when
  a log file differs from what was read, the schedule once an hour, so that days and windows move on without logs too.
- `catch_up` makes days that wait (touched by late data, or missed in downtime) as spans; the sensor `waiting_days`
  asks.
- `speak` makes what hangs below the days and publishes; the sensor `days_by_hand` asks for it when days were
  materialized by hand, however they were launched.
- `failed_runs` keeps every failure where `doctor` finds it.

Sensors decide by what was read and made (the published copy's ledger and marks, materializations), not by which job
ran, so that a run launched from the asset page counts like any other. They keep no run keys: a key is spent even where
its run failed. `AutomationCondition.eager()` does not serve: below daily assets it never fires while any old day is
missing, and days made again do not flow on.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg

from analytics_pipeline import stale
from analytics_pipeline.assets.common import KNOWN_FROM_TAG
from analytics_pipeline.assets.now import NOW_ASSETS
from analytics_pipeline.load import files, log_files
from analytics_pipeline.partitions import Span, spans
from analytics_pipeline.serving.published import Published
from analytics_pipeline.settings import Settings

DAYS = ("hourly_summaries", "cluster_baselines", "session_analytics", "tool_profiles")
NOW = tuple(asset.key.to_user_string() for asset in NOW_ASSETS)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
TO_COME = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)
ACTIVE = (*TO_COME, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
SOUND = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)
PROCESS_TAG = "analytics/process"
"""Run tag: id of the process of the command in which the run is; those that `dagster` launches have none."""
PAUSE_AFTER_FAILURE = timedelta(seconds=60)
"""How long a sensor waits after its run failed, so that a full disk does not make a run every five seconds."""
LONGEST_SPAN = 92
"""Days of one catch-up run, so that a failure costs little."""
AFTER_MIDNIGHT = timedelta(hours=1)
"""For so long a refresh makes the day before again too: its last records may just have come."""

load_job = dg.define_asset_job(
    "load", selection=dg.AssetSelection.assets("run_logs"), description="Only read what is new in the log files."
)
refresh_job = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.assets("run_logs", *DAYS, *NOW),
    description="Load, make today, make what speaks about now, publish.",
)
catch_up_job = dg.define_asset_job(
    "catch_up",
    selection=dg.AssetSelection.assets(*DAYS, *NOW),
    description="Make a span of days again, then what speaks about now, and publish.",
)
days_job = dg.define_asset_job(
    "days", selection=dg.AssetSelection.assets(*DAYS), description="Make a span of days again, without publishing."
)
speak_job = dg.define_asset_job(
    "speak",
    selection=dg.AssetSelection.assets(*NOW),
    description="Make what hangs below the days and what speaks about now, and publish.",
)
JOBS = [load_job, refresh_job, catch_up_job, days_job, speak_job]


def range_tags(span: Span) -> dict[str, str]:
    """The run tags by which one run makes a span of days."""
    return {RANGE_START: span.first.isoformat(), RANGE_END: span.last.isoformat()}


def today_span(now: datetime, settings: Settings) -> Span:
    """The days that a refresh makes: today, in UTC and in the reporting zone, and yesterday just after midnight."""
    shown = [now.astimezone(zone).date() for zone in (UTC, settings.zone)]
    before = [(now - AFTER_MIDNIGHT).astimezone(zone).date() for zone in (UTC, settings.zone)]
    return Span(min(before), max(shown))


def build_automation(
    settings: Settings, first_day: date
) -> tuple[list[dg.ScheduleDefinition], list[dg.SensorDefinition]]:
    """The schedule and the sensors for these settings; `first_day` is the first partition of the code location."""

    def request(span: Span) -> dg.RunRequest:
        """A run of these days as far as they are partitions; it makes older ones that wait by itself."""
        known = Span(max(span.first, first_day), max(span.last, first_day))
        return dg.RunRequest(tags=range_tags(known) | {KNOWN_FROM_TAG: first_day.isoformat()})

    @dg.schedule(
        job=refresh_job,
        cron_schedule="2 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every hour: today's partition and what speaks about now, logs or not.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return request(today_span(context.scheduled_execution_time, settings))

    @dg.sensor(
        job=refresh_job,
        minimum_interval_seconds=1,  # the daemon looks every 5 s; with 5 here it would miss every other round
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a refresh when a log file differs from what was read and published.",
    )
    def new_logs(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        fail_abandoned_runs(context.instance)
        reason = _wait(context, "refresh", TO_COME)  # one that has begun may have read before the log grew
        if reason:
            return dg.SkipReason(reason)
        unread = files.differing(log_files(settings), published_ledger(settings))
        if not unread:
            return dg.SkipReason("every log file is read")
        as_found = _fingerprint(unread)
        if as_found == context.cursor and (status := _last_status(context, "refresh")) in SOUND:
            state = "are being" if status == dg.DagsterRunStatus.STARTED else "cannot be"
            return dg.SkipReason(f"{len(unread)} log files {state} read as they are, such as {unread[0]}")
        context.log.info(f"{len(unread)} log files to read, such as {unread[0]}")
        return dg.SensorResult(run_requests=[request(today_span(datetime.now(UTC), settings))], cursor=as_found)

    @dg.sensor(
        job=catch_up_job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for days that wait to be made: touched by late data, or missed while nothing ran.",
    )
    def waiting_days(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        reason = _wait(context, "catch_up")
        if reason:
            return dg.SkipReason(reason)
        span = _oldest_waiting(settings, datetime.now(UTC))
        return request(span) if span else dg.SkipReason("no day waits")

    @dg.sensor(
        job=speak_job,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="After days were made by hand: makes what hangs below them, and publishes.",
    )
    def days_by_hand(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        reason = _wait(context, "speak")
        if reason:
            return dg.SkipReason(reason)
        spoken = _last_spoken(context)
        if not _made_by_hand_since(context, spoken):
            return dg.SensorResult(skip_reason="no day was made by hand", cursor=str(spoken))
        return dg.SensorResult(run_requests=[dg.RunRequest()])

    @dg.run_failure_sensor(
        name="failed_runs",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps every failed run in <home>/failures.jsonl, which doctor reads.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        failure = {
            "failed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "run_id": context.dagster_run.run_id,
            "job": context.dagster_run.job_name,
            "error": "; ".join([context.failure_event.message or "failed", *_causes(context)]),
        }
        with (settings.home / "failures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(failure) + "\n")

    return [hourly], [new_logs, waiting_days, days_by_hand, failed_runs]


def fail_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed that can never end, for the process that they ran in, or that watched them, is gone.

    Dagster's server marks a run whose process died under it; a run that died together with its server (the machine
    stopped, or everything was killed) would hold the queue until its time is up.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if not _is_watched(record.dagster_run.tags):
            instance.report_run_failed(record.dagster_run, "The process of this run is gone.")


def _is_watched(tags: Mapping[str, str]) -> bool:
    """Whether a run's own process (that of a command) or the server that started it (by its socket) is there."""
    if PROCESS_TAG in tags:
        return Path(f"/proc/{tags[PROCESS_TAG]}").exists() if Path("/proc/self").exists() else True
    server = json.loads(tags.get("dagster/grpc_info", "{}")).get("socket")
    return server is None or _answers(server)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as end:
        try:
            end.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _wait(
    context: dg.SensorEvaluationContext, job: str, statuses: Sequence[dg.DagsterRunStatus] | None = None
) -> str | None:
    """Why not to ask for a run of the job now, beside one in these states; None if nothing speaks against it."""
    wanted = dg.RunsFilter(job_name=job, statuses=[*(statuses or ACTIVE)])
    if context.instance.get_run_records(wanted, limit=1):
        return f"a run of {job} is under way"
    last = _last_run(context, job)
    if last and last.dagster_run.status == dg.DagsterRunStatus.FAILURE and last.end_time:
        since = datetime.now(UTC) - datetime.fromtimestamp(last.end_time, UTC)
        if since < PAUSE_AFTER_FAILURE:
            return f"the last run of {job} failed {since.seconds} s ago"
    return None


def _last_run(context: dg.SensorEvaluationContext, job: str) -> dg.RunRecord | None:
    return next(iter(context.instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)


def _last_status(context: dg.SensorEvaluationContext, job: str) -> dg.DagsterRunStatus | None:
    last = _last_run(context, job)
    return last.dagster_run.status if last else None


def _fingerprint(paths: Iterable[str]) -> str:
    """What changes when any of the files does, in content or in who may read it."""
    hashed = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # gone since it was found
        hashed.update(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return hashed.hexdigest()


@cache
def _published(path: Path) -> Published:
    return Published(path)


def published_ledger(settings: Settings) -> dict[str, files.LedgerEntry]:
    """What was read of which file, as published."""
    if not settings.published_path.exists():
        return {}
    with _published(settings.published_path).read() as connection:
        return files.read_ledger(connection)


def _oldest_waiting(settings: Settings, now: datetime) -> Span | None:
    """The oldest unbroken span of days that wait, before those that every refresh makes."""
    if not settings.published_path.exists():
        return None
    with _published(settings.published_path).read() as connection:
        days = stale.pending(connection, today_span(now, settings).first - timedelta(days=1), DAYS)
    if not days:
        return None
    span = spans(days)[0]
    return Span(span.first, min(span.last, span.first + timedelta(days=LONGEST_SPAN - 1)))


def _last_spoken(context: dg.SensorEvaluationContext) -> int:
    """Storage id of the newest publication by a finished run that made all that hangs below the days."""
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("published"), after_storage_id=int(context.cursor or 0)), limit=50
    ).records
    spoken = (r.storage_id for r in records if _has_spoken(context.instance.get_run_by_id(r.run_id)))
    return next(spoken, int(context.cursor or 0))


def _has_spoken(run: dg.DagsterRun | None) -> bool:
    if run is None or run.status != dg.DagsterRunStatus.SUCCESS:
        return False
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    return selected >= set(NOW) if selected else run.job_name in (refresh_job.name, catch_up_job.name, speak_job.name)


def _made_by_hand_since(context: dg.SensorEvaluationContext, spoken: int) -> bool:
    """Whether a finished run has made a day since, that is neither of a command nor will speak itself."""
    run_ids = {
        record.run_id
        for asset in DAYS
        for record in context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_storage_id=spoken), limit=500
        ).records
    }
    runs = (context.instance.get_run_by_id(run_id) for run_id in run_ids)
    return any(
        run.status == dg.DagsterRunStatus.SUCCESS and PROCESS_TAG not in run.tags and not _has_spoken(run)
        for run in runs
        if run
    )


def _causes(context: dg.RunFailureSensorContext) -> Iterator[str]:
    """The error of each step that failed, in one line."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        cause = error.cause if error and error.cause else error
        if cause:
            yield f"{event.step_key}: {cause.message.strip().splitlines()[0]}"
