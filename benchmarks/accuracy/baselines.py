"""Session baselines: how many planted anomalies the scores find, how often they cry wolf, and how long a day takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd

from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.transforms.sessions import make_cluster_baselines
from benchmarks.accuracy import Figure
from benchmarks.accuracy.worlds import CATEGORIES, FIRST_DAY, REPORTED, Kind, hold, warehouse, world

_UNSCORED_DAYS = 14
"""Days at the beginning of a world that no rule is judged by."""
_PAST_SESSIONS = 700_000
_REPETITIONS = 5


def figures(seeds: Iterable[int] = REPORTED) -> list[Figure]:
    """The figures of statistics §1 for sessions, over worlds of these seeds."""
    seeds = list(seeds)
    found = []
    for a_day, target, of_true in ((300, 0.58, 0.95), (40, 0.47, 0.81)):
        worlds = _scored(seeds, Kind(sessions_a_day=a_day))
        scored, naive, true = (_recall(worlds, rule, 0.01) for rule in ("robust", "seed", "oracle"))
        detail = f"60 days x {a_day} sessions, t5 noise, {len(seeds)} worlds; naive: mean and deviation of 30 days"
        what, peer = f"anomalies found at 10 false per 1,000, {a_day} sessions a day", ("the true parameters", true)
        found.append(Figure("baselines", what, scored, target, "higher", naive, peer, detail))
        of_them = f"of what the true parameters find, {a_day} sessions a day"
        found.append(Figure("baselines", of_them, scored / true, of_true, "higher", naive / true, None, detail))
        if a_day == 300:
            right, naive = (_precision(worlds, rule, 2.5) for rule in ("robust", "seed"))
            found.append(Figure("baselines", "precision at |z| > 2.5", right, 0.55, "higher", naive, None, detail))
    return [*found, _speed()]


def _speed() -> Figure:
    """How long the baseline of a day takes, after a first time that warms up."""
    day = FIRST_DAY + timedelta(days=HISTORY_DAYS)
    clock = Clock(datetime(day.year, day.month, day.day, 12, tzinfo=UTC), ZoneInfo("UTC"))
    seconds = []
    with _busy_month() as connection:
        for _ in range(1 + _REPETITIONS):
            begun = time.perf_counter()
            make_cluster_baselines(connection, Span(day, day), clock)
            seconds.append(time.perf_counter() - begun)
    what = f"seconds for the baseline of a day, {_PAST_SESSIONS:,} past sessions"
    detail = f"median of {_REPETITIONS}, {min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}; 12 pipelines, 180 genera"
    return Figure("baselines", what, median(seconds[1:]), 0.5, "lower", None, None, detail)


def _busy_month() -> duckdb.DuckDBPyConnection:
    """A warehouse in memory with 30 days of sessions of whom everything is known."""
    rng, n = np.random.default_rng(5), _PAST_SESSIONS
    number, pipeline = np.arange(n), rng.integers(12, size=n)
    elapsed = (number * (HISTORY_DAYS * 86_400_000 / n)).astype("timedelta64[ms]")
    drawn = pd.DataFrame(
        {
            "number": number,
            "created_at": np.datetime64(FIRST_DAY) + elapsed,
            "pipeline_id": np.char.add("p", pipeline.astype(str)),
            "genus_hash": np.char.add("g", (pipeline + 12 * rng.integers(3, size=n)).astype(str)),
            "input_category": CATEGORIES[rng.integers(5, size=n)],
            "input_chars": np.exp(rng.normal(8, 1, n)).astype(np.int64),
            "total_cost": np.exp(rng.normal(-4, 0.6, n)),
            "total_duration_ms": np.exp(rng.normal(9, 0.6, n)),
            "total_tokens": np.exp(rng.normal(8, 0.6, n)).astype(np.int64),
        }
    )
    connection = warehouse()
    connection.register("drawn", drawn)
    connection.execute(
        "INSERT INTO sessions BY NAME SELECT * EXCLUDE (number), 'default' AS org_id, 's' || number AS session_id, "
        "created_at AS local_created_at, created_at::DATE AS day, 0 AS unpriced_calls, 1 AS runs FROM drawn"
    )
    connection.unregister("drawn")
    return connection


def _scored(seeds: Iterable[int], kind: Kind) -> list[pd.DataFrame]:
    """Of each world, a row a session: `robust`, `seed` and `oracle` absolute scores, and whether it is an anomaly."""
    found = []
    for seed in seeds:
        drawn = world(seed, kind)
        with hold(drawn) as connection:
            scores = connection.execute(
                "SELECT cost_robust_z AS robust, cost_z_score AS seed FROM session_analytics ORDER BY session_id"
            ).df()
        table = scores.abs().assign(oracle=drawn.sessions["oracle"].abs(), is_anomaly=drawn.sessions["is_anomaly"])
        found.append(table[drawn.sessions["at"] >= 24 * _UNSCORED_DAYS])
    return found


def _recall(worlds: list[pd.DataFrame], rule: str, false_share: float) -> float:
    """Mean share of the anomalies beyond the line that so many normal sessions pass."""

    def recall(table: pd.DataFrame) -> float:
        scores = table[rule].fillna(0)
        line = np.quantile(scores[~table["is_anomaly"]], 1 - false_share)
        return float((scores[table["is_anomaly"]] > line).mean())

    return _mean(worlds, recall)


def _precision(worlds: list[pd.DataFrame], rule: str, line: float) -> float:
    return _mean(worlds, lambda table: float(table.loc[table[rule] > line, "is_anomaly"].mean()))


def _mean(worlds: list[pd.DataFrame], figure: Callable[[pd.DataFrame], float]) -> float:
    return float(np.mean([figure(table) for table in worlds]))


if __name__ == "__main__":
    for row in figures():
        print(row)
