"""Changes between periods: false and true findings, with the pipeline's own tests on worlds of known truth."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, ttest_ind

from analytics_pipeline import engine, schema
from analytics_pipeline.insights import rules
from analytics_pipeline.partitions import Clock
from analytics_pipeline.statistics import change
from analytics_pipeline.transforms import changes
from benchmarks.accuracy import Figure
from benchmarks.accuracy.change_worlds import day_logs, run_counts, totals

SEEDS = range(1000, 1020)
_SCOPES, _CHANGED, _WEEKS = 60, 6, 5
_REPORTS_A_SEED = 3
_QUIET_SCOPES = 400
_END = datetime(2026, 3, 31, tzinfo=UTC)


def figures() -> list[Figure]:
    """False and true findings of reports, false alarms without change, a pure shift of input sizes, failure levels."""
    return [*_reports(), *_quiet(), _size_shift(), *_whole_reports(), _failure_level()]


def _reports() -> list[Figure]:
    counted: dict[str, list[tuple[int, int]]] = {"own": [], "naive": [], "peer": []}
    for seed in SEEDS:
        for report in range(_REPORTS_A_SEED):
            days, is_changed = _report(np.random.default_rng([seed, report]))
            rise = days[:, -7:].sum(axis=1) / days[:, -14:-7].sum(axis=1) - 1
            q = change.benjamini_hochberg(change.total_tests(days, 7))
            ranks = mannwhitneyu(days[:, -7:], days[:, -14:-7], alternative="greater", axis=1).pvalue
            for name, flag in (
                ("own", (rise >= 0.5) & (q < 0.1)),
                ("naive", rise >= 0.5),
                ("peer", (rise >= 0.5) & (change.benjamini_hochberg(ranks) < 0.1)),
            ):
                counted[name].append((int((flag & ~is_changed).sum()), int((flag & is_changed).sum())))
    false, power = ({name: np.mean([row[i] for row in rows]) for name, rows in counted.items()} for i in (0, 1))
    detail = f"{len(counted['own'])} reports of 60 scopes with 8 to 600 runs a week, 6 of them doubled"
    return [
        Figure("changes", "false cost spikes a report", float(false["own"]), 0.3, "lower", float(false["naive"]),
               ("Mann-Whitney 7 against 7 d, BH", float(false["peer"])), detail),
        Figure("changes", "power: doubled scopes found", float(power["own"]) / _CHANGED, 0.5, "higher",
               float(power["naive"]) / _CHANGED, ("Mann-Whitney 7 against 7 d, BH", float(power["peer"]) / _CHANGED),
               detail),
    ]  # fmt: skip


def _report(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    weekly = np.exp(rng.uniform(np.log(8), np.log(600), _SCOPES))
    days = totals(day_logs(rng, run_counts(rng, weekly, 7 * _WEEKS)))
    days[:_CHANGED, -7:] *= 2
    return days, np.arange(_SCOPES) < _CHANGED


def _quiet() -> list[Figure]:
    found = []
    for weekly, target in ((5, 0.10), (20, 0.055), (50, 0.055), (200, 0.055)):
        flagged, large = [], []
        for seed in SEEDS:
            rng = np.random.default_rng([seed, weekly])
            days = totals(day_logs(rng, run_counts(rng, np.full(_QUIET_SCOPES, float(weekly)), 7 * _WEEKS)))
            with np.errstate(divide="ignore", invalid="ignore"):
                is_large = np.abs(days[:, -7:].sum(axis=1) / days[:, -14:-7].sum(axis=1) - 1) >= 0.1
            flagged.append(is_large & (change.two_sided(change.total_tests(days, 7)) < 0.05))
            large.append(is_large)
        found.append(
            Figure("changes", f"flagged without change, {weekly} runs a week", float(np.mean(flagged)), target,
                   "lower", float(np.mean(large)), None,
                   f"{_QUIET_SCOPES * len(SEEDS):,} scopes, nominal 5 %; naive: 10 % or more")
        )  # fmt: skip
    return found


def _size_shift() -> Figure:
    """Every pipeline's inputs grow, and nothing else: what the pipeline says through its own SQL."""
    flagged, raw = [], []
    for seed in SEEDS[:10]:
        frame = _runs(np.random.default_rng(seed), is_shifted=True)
        judged = rules.verdicts(_tests(frame))
        for name, runs in frame.groupby("pipeline_id"):
            verdict = judged["default", str(name)]["duration"]
            flagged.append(verdict.is_significant and (verdict.test.adjusted or 0) >= 0.3)
            before, after = (runs.duration_ms[runs.week == week] for week in (0, 1))
            raw.append(after.mean() >= 1.3 * before.mean() and ttest_ind(after, before, equal_var=False).pvalue < 0.05)
    return Figure(
        "changes", "performance_degradation when only inputs grow", float(np.mean(flagged)), 0.02, "lower",
        float(np.mean(raw)), None, f"{len(raw)} pipelines; naive: raw mean up 30 % and Welch p < .05",
    )  # fmt: skip


def _whole_reports() -> list[Figure]:
    """All tests of an org at once, through SQL: quiet, and with one pipeline half slower."""
    quiet, slow = [], []
    for seed in SEEDS[:10]:
        rng = np.random.default_rng([seed, 7])
        judged = rules.verdicts(_tests(_runs(rng, is_shifted=False)))
        quiet.append(sum(verdict.is_significant for scope in judged.values() for verdict in scope.values()))
        slowed = _runs(rng, is_shifted=False)
        is_hit = (slowed.pipeline_id == "p03") & (slowed.week == 1)
        slowed["duration_ms"] *= np.where(is_hit, 1.6, 1.0)
        verdict = rules.verdicts(_tests(slowed))["default", "p03"]["duration"]
        slow.append(verdict.is_significant and (verdict.test.adjusted or 0) >= 0.3)
    return [
        Figure("changes", "significant changes in a quiet report", float(np.mean(quiet)), 0.3, "lower", None, None,
               f"{len(quiet)} reports of 13 scopes and 5 metrics, through SQL; target our own"),
        Figure("changes", "a pipeline 60 % slower is found", float(np.mean(slow)), 0.69, "higher", None, None,
               f"{len(slow)} reports, 200 runs a week in that pipeline; target our own"),
    ]  # fmt: skip


def _runs(rng: np.random.Generator, *, is_shifted: bool) -> pd.DataFrame:
    """Two weeks of 12 pipelines, 60 to 700 runs a week; where shifted, the later week draws inputs by chars^0.5."""
    frames = []
    for number in range(12):
        counts = run_counts(rng, np.array([700 / (number + 1) ** 0.9]), 14)[0]
        day = np.repeat(np.arange(14), counts)
        spread, elasticity = rng.uniform(0.6, 1.3), rng.uniform(0.35, 0.95)
        size = rng.normal(0, spread, day.size)
        if is_shifted:  # drawn with weight chars^0.5: a log-normal moves by half its variance
            size += np.where(day >= 7, 0.5 * spread**2, 0.0)
        chars = np.exp(np.log(2_500) + size)
        log_duration = np.log(20_000) + elasticity * size + rng.normal(0, 0.1, 14)[day] + rng.normal(0, 0.6, day.size)
        frames.append(
            pd.DataFrame(
                {
                    "pipeline_id": f"p{number:02}",
                    "week": day // 7,
                    "started_at": pd.Timestamp(_END).tz_localize(None)
                    - pd.to_timedelta(14 - day, unit="D")
                    + pd.to_timedelta(rng.random(day.size) * 86_000, unit="s"),
                    "input_chars": chars.astype(int),
                    "input_category": np.digitize(chars, [500, 2_000, 6_000, 20_000]).astype(str),
                    "genus_hash": rng.choice(3, day.size).astype(str),
                    "duration_ms": np.exp(log_duration),
                    "status": np.where(rng.random(day.size) < 0.05, "failed", "succeeded"),
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    frame["cost_usd"] = np.round(0.05 * np.exp(rng.normal(0, 0.5, len(frame))) * frame.input_chars**0.5 / 50, 9)
    return frame


def _tests(frame: pd.DataFrame) -> dict[changes.Key, changes.Comparison]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(engine.sql("macros"))
        schema.create_all(connection)
        connection.register("drawn", frame)
        connection.execute(
            "INSERT INTO runs BY NAME SELECT 'r' || row_number() OVER () AS run_id, 'default' AS org_id, "
            "0 AS unpriced_calls, * EXCLUDE (week) FROM drawn"
        )
        return changes.compare(connection, Clock(_END, ZoneInfo("UTC")), [7], models=False)[7]


def _failure_level() -> Figure:
    rng = np.random.default_rng(SEEDS[0])
    n, line = 20, 0.10
    failed = rng.binomial(n, 0.05, 20_000)
    is_sure = np.array([k >= line * n and change.rate_reaches(k, n, line) >= 0.9 for k in range(n + 1)])
    return Figure(
        "changes", "failure warning at a true 5 %, 20 runs", float(is_sure[failed].mean()), 0.02, "lower",
        float((failed >= line * n).mean()), None, "naive: 10 % or more failed; target our own",
    )  # fmt: skip
