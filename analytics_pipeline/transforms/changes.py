"""Tests of what changed from one period to the next, for every scope and metric: what trends and findings rest on.

Belongs here: reading the days of scopes and handing them to statistics/change.py. Does not belong here: how large a
change matters, and what is said of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.statistics import change

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from analytics_pipeline.partitions import Clock

    Days = dict[tuple[str, str, str | None, str], NDArray[np.float64]]

Key = tuple[str, str, str | None, str]
"""org_id, scope_kind, scope (None: unknown), metric."""

TOTALS = ("cost", "tokens", "runs")
AVERAGES = ("duration", "cost_per_run")
RATES = {"failure_rate": ("failed", "finished"), "qa_pass_rate": ("qa_passed", "qa_checked")}

MINIMUM_DAYS = change.WEEK
"""Days of a period below which nothing is tested."""


@dataclass(frozen=True)
class Comparison:
    """What is known of a change beside its size.

    Attributes:
        p_rise: One-sided p of a rise, 0-1; 1 - p_rise is that of a fall.
        adjusted: Relative change free of mix and input size (0.3 is +30 %), of an average; None of others.
        since: Reporting day on which an average began to shift, where that can be told.
        previous: Of a rate, its value in the earlier period.
        current: Of a rate, its value in the later period.
        trials: Of a rate, what it divides by in the later period.
    """

    p_rise: float
    adjusted: float | None = None
    since: date | None = None
    previous: float | None = None
    current: float | None = None
    trials: int = 0

    @property
    def p_value(self) -> float:
        """Two-sided."""
        return min(1.0, 2 * min(self.p_rise, 1 - self.p_rise))


def compare(
    connection: duckdb.DuckDBPyConnection,
    clock: Clock,
    periods: Iterable[int],
    *,
    org_id: str | None = None,
    models: bool = True,
) -> dict[int, dict[Key, Comparison]]:
    """By period, the test of every metric of every scope that can be tested: its window against the one before.

    Keeps `run_verdicts` of all days that it reads.

    Args:
        connection: Where `runs`, `calls` and `qa_results` are; temporary tables are made.
        clock: Now; what started later is not known.
        periods: Lengths of the windows in days; one below 7 has no tests. All are read at once.
        org_id: The org, or every one.
        models: Whether scopes of kind `model` are wanted.
    """
    found: dict[int, dict[Key, Comparison]] = {days: {} for days in periods}
    cuts = {days: blocks for days in found if (blocks := change.blocks_of(days)) is not None}
    if not cuts:
        return found
    oldest = 2 * max(cuts)
    history = max(oldest, *(blocks.days for blocks in cuts.values()))
    _, ends_at = clock.window(1)
    parameters: engine.Parameters = {
        "ends_at": ends_at,
        "known_until": min(ends_at, clock.naive),
        "starts_at": ends_at - timedelta(days=history),
        "oldest": oldest,
        "items_from": ends_at - timedelta(days=oldest),
        "blocks": history,
        "org": org_id,
    }
    kinds = ("run", "model") if models else ("run",)
    orgs: Days = {}
    verdicts_of = {"starts_at": parameters["starts_at"], "ends_at": parameters["known_until"]}
    engine.make(connection, "run_verdicts", "run_verdicts", **verdicts_of)
    for kind in kinds:
        if kind == "model":
            engine.make(connection, "change_calls", "change_calls", **parameters)
        sums = _by_scope(engine.rows(connection, f"change_{kind}s", **parameters), history)
        orgs |= {key: runs for key, runs in sums.items() if key[1] == "org" and key[3] == "runs"}
        engine.make(connection, "change_items", f"change_{kind}_items", **parameters)
        for days, blocks in cuts.items():
            residuals = _by_scope(engine.rows(connection, "change_residuals", days=days), 2 * days)
            within = max(blocks.days, 2 * days)
            found[days] |= _total_tests(_within(sums, within), _within(orgs, within), blocks)
            found[days] |= _rate_tests(sums, days)
            found[days] |= _average_tests(residuals, days, ends_at, clock)
    return found


def _within(sums: Days, history: int) -> Days:
    """The same sums by day with a shorter history: first of all what is older."""
    import numpy as np

    return {key: np.append(days[:-history].sum(), days[-history:]) for key, days in sums.items()}


def q_values(p_values: Mapping[Any, float | None]) -> dict[Any, float | None]:
    """The q of each test of one report, by the keys of its p; None stays."""
    import numpy as np

    q = change.benjamini_hochberg([np.nan if p is None else p for p in p_values.values()])
    return {key: None if np.isnan(value) else float(value) for key, value in zip(p_values, q, strict=True)}


def _by_scope(rows: Iterable[Mapping[str, Any]], history: int) -> Days:
    """Sums by day (the newest last) of every scope and column, shape (history + 1,); first of all, what is older."""
    import numpy as np

    sums: Days = {}
    for row in rows:
        for kind, scope in _scopes(row):
            prefix = f"{row['metric']}:" if "metric" in row else ""
            for name, value in row.items():
                if name in _DIMENSIONS:
                    continue
                key = (row["org_id"], kind, scope, prefix + name)
                if key not in sums:
                    sums[key] = np.zeros(history + 1)
                sums[key][history - row["block"]] += value
    return sums


_DIMENSIONS = ("org_id", "project", "pipeline_id", "model", "metric", "block")


def _scopes(row: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    if "project" not in row or row.get("model") is not None:
        return [("model", row["model"])]
    return [("org", row["org_id"]), ("project", row["project"]), ("pipeline", row["pipeline_id"])]


def _total_tests(sums: Days, orgs: Days, blocks: change.Blocks) -> dict[Key, Comparison]:
    """Scopes of as many known blocks are tested together; a block begun too late is no yardstick.

    Of a scope that was not there before the tested block its org's earlier blocks say so.
    """
    import numpy as np

    groups: dict[int, list[Key]] = {}
    for org_id, kind, scope, name in sums:
        if name in TOTALS:
            runs = sums[org_id, kind, scope, "runs"]
            is_new = not runs[: -blocks.length].any()
            earlier = _known_blocks(orgs.get((org_id, "org", org_id, "runs"), runs) if is_new else runs, blocks) - 1
            groups.setdefault(earlier, []).append((org_id, kind, scope, name))
    found: dict[Key, Comparison] = {}
    for earlier, keys in sorted(groups.items()):
        if earlier < 1:
            continue
        days = np.array([sums[key][-blocks.length * (earlier + 1) :] for key in keys])
        p = change.total_tests(days, blocks.length)
        found |= {key: Comparison(float(value)) for key, value in zip(keys, p, strict=True) if not np.isnan(value)}
    return found


def _known_blocks(runs: NDArray[np.float64], blocks: change.Blocks) -> int:
    """How many blocks, the tested one included, the runs of a scope reach back over; a seventh may lack."""
    import numpy as np

    if runs[0] > 0:
        return blocks.earlier + 1
    used = np.flatnonzero(runs)
    known = runs.size - int(used[0]) if used.size else 0
    return min((known + blocks.length // 7) // blocks.length, blocks.earlier + 1)


def _rate_tests(sums: Days, days: int) -> dict[Key, Comparison]:
    import numpy as np

    scopes = [key[:3] for key in sums if key[3] == "failed"]
    if not scopes:
        return {}
    found: dict[Key, Comparison] = {}
    for metric, (hits, trials) in RATES.items():
        x, n = (np.array([_periods(sums, scope, name, days) for scope in scopes]) for name in (hits, trials))
        worth = change.effective_share(x, n)
        (x0, x1), (n0, n1) = x.sum(axis=2).T, n.sum(axis=2).T
        p = change.rate_rises(worth * x0, worth * n0, worth * x1, worth * n1)
        for i in np.flatnonzero(~np.isnan(p)):
            found[*scopes[i], metric] = Comparison(
                float(p[i]), previous=float(x0[i] / n0[i]), current=float(x1[i] / n1[i]), trials=int(n1[i])
            )
    return found


def _periods(sums: Days, scope: tuple[str, str, str | None], name: str, days: int) -> NDArray[np.float64]:
    """Sums by period and day, shape (2, days), the earlier period first."""
    if name == "finished":
        return _periods(sums, scope, "succeeded", days) + _periods(sums, scope, "failed", days)
    return sums[*scope, name][-2 * days :].reshape(2, days)


def _average_tests(residuals: Days, days: int, ends_at: datetime, clock: Clock) -> dict[Key, Comparison]:
    import numpy as np

    found: dict[Key, Comparison] = {}
    for (org_id, kind, scope, name), sums in residuals.items():
        metric = name.removesuffix(":residual")
        if metric not in AVERAGES:
            continue
        key: Key = (org_id, kind, scope, metric)
        runs = residuals[org_id, kind, scope, f"{metric}:runs"]
        means = (sums / np.where(runs > 0, runs, np.nan))[-2 * days :]
        shift = change.mean_shift(means[:days], means[days:])
        if shift.p is not None:
            found[key] = Comparison(shift.p, shift.change, _since(means, days, ends_at, clock))
    return found


def _since(means: NDArray[np.float64], days: int, ends_at: datetime, clock: Clock) -> date | None:
    """The reporting day in which lie most of the 24 hours with which the shift began."""
    index = change.change_day(means[:days], means[days:])
    if index is None:
        return None
    middle = ends_at - timedelta(days=days - index) + timedelta(hours=12)
    return middle.replace(tzinfo=UTC).astimezone(clock.zone).date()
