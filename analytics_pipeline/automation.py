"""What runs when: jobs, the schedule and the sensors, on one page.

- `refresh` is the usual run: load, today's days, what speaks about now, publish. The sensor `new_logs` asks for it when a
  log file differs from what was read, the schedule once an hour, so that days and windows move on without logs too.
- `catch_up` makes days that wait (touched by late data, or missed in downtime) as spans; the sensor `waiting_days` asks.
- `speak` makes what hangs below the days and publishes; the sensor `days_by_hand` asks for it when days were
  materialized by hand, however they were launched.
- `failed_runs` keeps every failure where `doctor` finds it.

Sensors decide by what was read and made (the published copy's ledger and marks), not by which job ran, so that a run
launched from the asset page counts like any other. `AutomationCondition.eager()` does not serve: below daily assets it
never fires while any old day is missing, and days made again do not flow on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg

from analytics_pipeline.assets.now import NOW_ASSETS
from analytics_pipeline import stale
from analytics_pipeline.load import files, log_files
from analytics_pipeline.partitions import Span, spans
from analytics_pipeline.serving.published import Published
from analytics_pipeline.settings import Settings

DAYS = ("hourly_summaries", "cluster_baselines", "session_analytics", "tool_profiles")
NOW = tuple(asset.key.to_user_string() for asset in NOW_ASSETS)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
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
    """The schedule and the sensors for these settings; `first_day` is the first partition that the location knows."""

    def refresh_request(now: datetime, run_key: str | None = None) -> dg.RunRequest:
        span = today_span(now, settings)
        return dg.RunRequest(run_key=run_key, tags=range_tags(Span(max(span.first, first_day), span.last)))

    @dg.schedule(
        job=refresh_job,
        cron_schedule="2 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every hour: today's partition and what speaks about now, logs or not.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return refresh_request(context.scheduled_execution_time)

    @dg.sensor(
        job=refresh_job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a refresh when a log file differs from what was read and published.",
    )
    def new_logs(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        reason = _wait(context, "refresh")
        if reason:
            return dg.SkipReason(reason)
        unread = files.differing(log_files(settings), _ledger(settings))
        if not unread:
            return dg.SkipReason("every log file is read")
        context.log.info(f"{len(unread)} log files to read, such as {unread[0]}")
        return refresh_request(datetime.now(UTC))

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
        span = _oldest_waiting(settings, first_day, today_span(datetime.now(UTC), settings))
        return dg.RunRequest(tags=range_tags(span)) if span else dg.SkipReason("no day waits")

    @dg.sensor(
        job=speak_job,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="After days were made by hand: makes what hangs below them, and publishes.",
    )
    def days_by_hand(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        newest = _newest_by_hand(context)
        if newest is None:
            return dg.SkipReason("no day was made by hand")
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"below-{newest}")], cursor=str(newest)
        )

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
            "error": context.failure_event.message,
        }
        with (settings.home / "failures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(failure) + "\n")

    return [hourly], [new_logs, waiting_days, days_by_hand, failed_runs]


def _wait(context: dg.SensorEvaluationContext, job: str) -> str | None:
    """Why not to ask for a run of the job now; None if nothing speaks against it."""
    active = context.instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ACTIVE), limit=1)
    if active:
        return f"a run of {job} is under way"
    last = context.instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    if last and last[0].dagster_run.status == dg.DagsterRunStatus.FAILURE and last[0].end_time:
        since = datetime.now(UTC) - datetime.fromtimestamp(last[0].end_time, UTC)
        if since < PAUSE_AFTER_FAILURE:
            return f"the last run of {job} failed {since.seconds} s ago"
    return None


@cache
def _published(path: Path) -> Published:
    return Published(path)


def _ledger(settings: Settings) -> dict[str, files.LedgerEntry]:
    """What was read of which file, as published."""
    if not settings.published_path.exists():
        return {}
    with _published(settings.published_path).read() as connection:
        return files.read_ledger(connection)


def _oldest_waiting(settings: Settings, first_day: date, today: Span) -> Span | None:
    """The oldest unbroken span of days that wait, before those that every refresh makes."""
    if not settings.published_path.exists():
        return None
    with _published(settings.published_path).read() as connection:
        waiting = stale.pending(connection, today.first - timedelta(days=1), DAYS)
    days = [day for day in waiting if day >= first_day]
    if not days:
        return None
    span = spans(days)[0]
    return Span(span.first, min(span.last, span.first + timedelta(days=LONGEST_SPAN - 1)))


def _newest_by_hand(context: dg.SensorEvaluationContext) -> int | None:
    """The newest materialization of a day, since the cursor, by a finished run that did not publish itself."""
    cursor = int(context.cursor or 0)
    newest = None
    for storage_id, run_id in _materializations(context, cursor):
        run = context.instance.get_run_by_id(run_id)
        if run is None or run.status != dg.DagsterRunStatus.SUCCESS:
            continue
        selected = {key.to_user_string() for key in run.asset_selection or ()}
        publishes = "published" in selected or (not selected and run.job_name in ("refresh", "catch_up"))
        if not publishes and run.job_name != "days":
            newest = max(newest or 0, storage_id)
    return newest


def _materializations(context: dg.SensorEvaluationContext, cursor: int) -> Iterator[tuple[int, str]]:
    """(storage id, run id) of one materialization a run of each daily asset since the cursor, newest first."""
    for asset in DAYS:
        seen: set[str] = set()
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_storage_id=cursor), limit=500
        ).records
        for record in records:
            if record.run_id not in seen:
                seen.add(record.run_id)
                yield record.storage_id, record.run_id
