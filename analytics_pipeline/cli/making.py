"""`ingest`, `materialize`, `simulate`: what the commands that make something do and say.

Does not belong here: reading logs (load/), making tables (runner.py, assets/), the simulated world (simulate.py).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from analytics_pipeline.cli import terminal
from analytics_pipeline.cli.terminal import CommandError
from analytics_pipeline.insights import wording
from analytics_pipeline.insights.wording import count

if TYPE_CHECKING:
    from analytics_pipeline.load import LoadResult
    from analytics_pipeline.load.files import LogFile
    from analytics_pipeline.settings import Settings
    from analytics_pipeline.sources.discovery import Logs, Place


def ingest(paths: list[Path], format: str, mapping: Path | None, *, as_json: bool) -> None:
    """Load files and folders; ends with exit code 1 where one of them could not be read."""
    from analytics_pipeline.load import files

    if not paths:
        raise typer.BadParameter("name the logs, or have them found with --discover", param_hint="PATH")
    _check_format(format, mapping)
    given = mapping.expanduser().absolute() if mapping else None
    form = "mapped" if given else format
    _load([files.LogFile(path.expanduser(), form, mapping=given) for path in paths], {}, as_json=as_json)


def _check_format(format: str, mapping: Path | None) -> None:
    from analytics_pipeline import sources
    from analytics_pipeline.sources import mapped

    if format not in ("auto", *sources.registry):
        known = ", ".join(["auto", *sources.registry])
        raise typer.BadParameter(f"{format!r} is no format; choose one of: {known}", param_hint="--format")
    if format == "mapped" and mapping is None:
        raise typer.BadParameter("the format mapped needs --mapping FILE.toml", param_hint="--format")
    if mapping is None:
        return
    if format not in ("auto", "mapped"):
        raise typer.BadParameter(f"goes with --format mapped, not with {format}", param_hint="--mapping")
    try:
        mapped.load(mapping.expanduser())
    except mapped.MappingError as error:
        raise CommandError(str(error)) from None


def discover(paths: list[Path], format: str, mapping: Path | None, *, as_json: bool) -> None:
    """Find the logs of this machine's own agents, say what is there, and load it."""
    from analytics_pipeline.load import files
    from analytics_pipeline.sources import discovery

    if paths or format != "auto" or mapping:
        raise typer.BadParameter("goes without PATH, --format and --mapping", param_hint="--discover")
    found, looked = discovery.discover(Path.home(), os.environ)
    if not as_json:
        _say_found(found, looked)
    logs = [files.LogFile(file, logs.place.format) for logs in found for file in logs.files]
    if logs or as_json:
        _load(logs, _found_as_json(found, looked), as_json=as_json)


def _say_found(found: list[Logs], looked: list[Place]) -> None:
    if not found:
        print(f"no logs of agents in {', '.join(str(place.path) for place in looked)}")
    for logs in found:
        size = f"{count(len(logs.files), 'file')}, {logs.bytes / 1e6:,.1f} MB"
        print(f"found    {logs.place.agent}: {logs.place.path} ({size})", flush=True)


def _found_as_json(found: list[Logs], looked: list[Place]) -> dict[str, Any]:
    return {
        "found": [
            {
                "agent": logs.place.agent,
                "format": logs.place.format,
                "path": str(logs.place.path),
                "files": len(logs.files),
                "bytes": logs.bytes,
            }
            for logs in found
        ],
        "looked": [str(place.path) for place in looked],
    }


def _load(logs: list[LogFile], answer: dict[str, Any], *, as_json: bool) -> None:
    from analytics_pipeline.load import files, load
    from analytics_pipeline.settings import load_settings
    from analytics_pipeline.warehouse import Warehouse

    settings = load_settings()
    with terminal.progress_bar() as show:
        result = load(Warehouse(settings.warehouse_path, settings.published_path), settings, logs, progress=show)
    if as_json:
        terminal.print_json({**answer, **_as_json(result)})
    else:
        _say_loaded(result, found_logs=bool(files.find(logs).files))
    _say_problems(result.problems)
    raise typer.Exit(1 if result.problems else 0)


def _say_loaded(result: LoadResult, *, found_logs: bool) -> None:
    passed_over = f"{count(result.passed_over, 'other file')} passed over"
    if not found_logs:
        if not result.problems:
            print(f"no logs there: {passed_over} (a folder's logs end in .jsonl, .ndjson, .json, .csv, .log …)")
        return
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in result.records.items())
    lines = {
        "files": f"{result.files:,} read, {result.unchanged:,} as they were before, {passed_over}",
        "records": f"{sum(result.records.values()):,} new{f' ({kinds})' if kinds else ''}, {result.copies:,} known",
        "rejects": f"{result.rejects:,}{' (analytics-pipeline doctor says why)' if result.rejects else ''}",
        "cost": wording.known_cost(result.cost_usd, result.unpriced_calls, result.model_calls),
        "hours": f"{len(result.hours):,} touched" + _span(result.hours),
    }
    for name, said in lines.items():
        print(f"{name:<8} {said}")
    if result.records:
        print("next: analytics-pipeline materialize")


def _span(hours: list[datetime]) -> str:
    return f", {hours[0]:%Y-%m-%d %H:00} to {hours[-1]:%Y-%m-%d %H:00} UTC" if hours else ""


def _say_problems(problems: list[tuple[str, str]]) -> None:
    for path, problem in problems:
        terminal.warn(f"{path}: {problem}")


def _as_json(result: LoadResult) -> dict[str, Any]:
    return {
        "files": result.files,
        "unchanged": result.unchanged,
        "passed_over": result.passed_over,
        "records": result.records,
        "copies": result.copies,
        "rejects": result.rejects,
        "cost_usd": result.cost_usd,
        "unpriced_calls": result.unpriced_calls,
        "model_calls": result.model_calls,
        "hours": {
            "count": len(result.hours),
            "first": terminal.shown_instant(result.hours[0] if result.hours else None),
            "last": terminal.shown_instant(result.hours[-1] if result.hours else None),
        },
        "problems": [{"path": path, "problem": problem} for path, problem in result.problems],
    }


def materialize(*, first: str | None, last: str | None, full: bool, as_of: str | None, as_json: bool) -> None:
    """Load, make what waits or what was asked for, publish; a file that cannot be read is told, and is no failure."""
    from analytics_pipeline.settings import load_settings

    settings = load_settings()
    zone = settings.zone
    now = terminal.as_of_instant(as_of, zone)
    begin, end = (
        None if text is None else terminal.instant(text, zone, option).astimezone(zone).date()
        for text, option in ((first, "--from"), (last, "--to"))
    )
    if full and (begin or end):
        raise typer.BadParameter("makes every day, so it goes without --from and --to", param_hint="--full")
    if begin and end and begin > end:
        raise typer.BadParameter(f"{end} is before --from {begin}", param_hint="--to")

    from analytics_pipeline import runner

    started = time.monotonic()
    try:
        with terminal.progress_bar() as show:
            outcome = runner.materialize(
                settings,
                first=begin,
                last=end,
                full=full,
                as_of=now,
                on_step=lambda name, number, total: show(name, (number - 1) / total),
            )
    except runner.RunFailedError as error:
        raise CommandError(
            f"{error}; what was published before stays, and Dagster's UI (`up`) has the whole run"
        ) from None
    _say_problems(outcome.problems)
    if as_json:
        terminal.print_json(_made(outcome, settings))
    else:
        _say_made(outcome, settings, time.monotonic() - started)


def _made(outcome: Any, settings: Settings) -> dict[str, Any]:
    return {
        "days": outcome.days,
        "runs": outcome.runs,
        "now": terminal.shown_instant(outcome.now),
        "waiting": outcome.waiting,
        "published": str(settings.published_path),
        **dict(zip(("known_cost", "unpriced_calls", "model_calls"), _cost(settings), strict=True)),
        "problems": [{"path": path, "problem": problem} for path, problem in outcome.problems],
    }


def _say_made(outcome: Any, settings: Settings, seconds: float) -> None:
    if outcome.runs == 1:
        print(f"nothing to do: {settings.published_path} shows every log")
        return
    size = settings.published_path.stat().st_size
    now = outcome.now.astimezone(settings.zone)
    made = f"{count(outcome.days, 'day')} and what follows" if outcome.days else "what speaks about now"
    print(f"made {made} in {seconds:.1f} s, now being {now:%Y-%m-%d %H:%M %Z}")
    print(f"published {settings.published_path} ({size / 1e6:,.1f} MB): {wording.known_cost(*_cost(settings))}")
    if outcome.waiting:
        print(f"{count(outcome.waiting, 'other day')} still to be made: analytics-pipeline materialize")


def _cost(settings: Settings) -> tuple[float | None, int, int]:
    """Known cost of all published calls, how many are unpriced, and how many ought to have a price."""
    from analytics_pipeline.assets.common import cost_of
    from analytics_pipeline.serving.published import Published

    with Published(settings.published_path).read() as cursor:
        return cost_of(cursor)


def simulate(out: Path, *, days: int, runs_per_day: float, seed: int, end: str | None, as_json: bool) -> None:
    """Write a simulated world's logs and truth.json."""
    from analytics_pipeline import simulate as world
    from analytics_pipeline.settings import load_settings

    until = terminal.instant(end, load_settings().zone, "--end") if end else datetime.now(UTC)
    replaced = [name for name in world.FILES if (out / name).exists()]
    with terminal.progress_bar() as show:
        written = world.simulate(
            out,
            days=days,
            runs_per_day=runs_per_day,
            seed=seed,
            end=until,
            progress=lambda share: show("simulating", share),
        )
    if as_json:
        terminal.print_json({"out": str(out), "end": terminal.shown_instant(until), **written})
        return
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in written["records"].items())
    size, names = sum(written["files"].values()), len(written["files"])
    print(f"{'replaced the logs in' if replaced else 'wrote'} {out}: {size / 1e6:,.1f} MB in {names} files")
    print(f"records  {sum(written['records'].values()):,} ({kinds})")
    print(f"time     {count(days, 'day')} until {until:%Y-%m-%d %H:%M} UTC")
    print(f"planted  {count(len(written['incidents']), 'incident')}, listed in {out / 'truth.json'}")
