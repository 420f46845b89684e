"""Worlds of sessions whose truth is known: pipelines, sizes, genera, drift, anomalies and incidents.

Calibrated on real traces: the log cost of an agent's runs is symmetric with a deviation of 0.5 within a task, and log
input tokens have one of 1.2. Belongs here: drawing sessions, and a warehouse that holds and scores them as the
pipeline does. Does not belong here: any figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd

from analytics_pipeline import engine, schema
from analytics_pipeline.partitions import Clock, Span
from analytics_pipeline.transforms.sessions import make_cluster_baselines, make_session_analytics

DEVELOPED = range(100)
REPORTED = range(1000, 1020)

FIRST_DAY = date(2026, 1, 5)
"""A Monday."""
CATEGORIES = np.array(["tiny", "small", "medium", "large", "huge"])
_BOUNDS = [500, 2_000, 6_000, 20_000]
_PIPELINES = 12

Noise = Literal["t5", "normal", "skew"]


@dataclass(frozen=True)
class Kind:
    """What a world is like: its length, how busy it is, how its logs scatter and what happens in it."""

    days: int = 60
    sessions_a_day: int = 300
    noise: Noise = "t5"
    anomalies: float = 0.02
    incidents: int = 0
    incident_factor: float = 3.0
    incident_hours: int = 3


@dataclass(frozen=True)
class World:
    """Sessions in the order of their start, with the truth beside.

    Attributes:
        sessions: Columns `at` (hours since the first midnight), `pipeline`, `category`, `genus`, `chars`, `cost` (USD),
            `duration` (ms), `failed`, `is_anomaly`, `oracle` (the true z of ln(cost)).
        incidents: The first hour of each incident.
        kind: What it is like.
    """

    sessions: pd.DataFrame
    incidents: np.ndarray
    kind: Kind


def world(seed: int, kind: Kind) -> World:
    """Draw a world: the same seed and kind give the same one."""
    rng = np.random.default_rng([seed, 5])
    n = int(rng.poisson(kind.sessions_a_day * kind.days))
    day = rng.choice(kind.days, n, p=_shares(np.where(np.arange(kind.days) % 7 < 5, 1.0, 0.45)))
    hour = rng.choice(24, n, p=_shares(1 + 0.9 * np.sin((np.arange(24) - 8) / 24 * 2 * np.pi)))
    at = np.sort(24 * day + hour + rng.random(n))
    pipeline = rng.choice(_PIPELINES, n, p=_shares(1 / np.arange(1, _PIPELINES + 1) ** 0.9))
    size, chars = _sizes(rng, pipeline)
    genus, offset = _genera(rng, pipeline)
    scale = rng.uniform(0.25, 0.7, _PIPELINES)[pipeline]
    noise = _noise(rng, kind.noise, n)
    expected = (
        rng.normal(np.log(0.05), 1.0, _PIPELINES)[pipeline]
        + rng.uniform(0.35, 0.95, _PIPELINES)[pipeline] * size
        + offset
        + _drift(rng, at / 24, pipeline, kind.days)
    )
    is_anomaly, shock = _anomalies(rng, n, kind.anomalies)
    starts, within = _incidents(rng, at, kind)
    cost = expected + scale * noise + shock + np.log(kind.incident_factor) * within
    duration = np.log(20_000) + 0.5 * size + 0.6 * scale * noise + 0.35 * rng.standard_normal(n)
    failure_rate = rng.uniform(0.01, 0.08, _PIPELINES)[pipeline] * np.where(within, kind.incident_factor, 1)
    sessions = pd.DataFrame(
        {
            "at": at,
            "pipeline": pipeline,
            "category": CATEGORIES[np.digitize(chars, _BOUNDS)],
            "genus": genus,
            "chars": chars,
            "cost": np.exp(cost),
            "duration": np.exp(duration),
            "failed": rng.random(n) < failure_rate,
            "is_anomaly": is_anomaly,
            "oracle": (cost - expected) / scale,
        }
    )
    return World(sessions, starts, kind)


def _shares(weights: np.ndarray) -> np.ndarray:
    shares: np.ndarray = weights / weights.sum()
    return shares


def _sizes(rng: np.random.Generator, pipeline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln(characters) around the pipeline's centre, and the characters."""
    centre, spread = rng.normal(np.log(2_500), 0.7, _PIPELINES), rng.uniform(0.6, 1.3, _PIPELINES)
    chars = np.clip(np.exp(centre[pipeline] + spread[pipeline] * rng.standard_normal(pipeline.size)), 20, 400_000)
    return np.log(chars) - centre[pipeline], chars.astype(np.int64)


def _genera(rng: np.random.Generator, pipeline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One to six genera a pipeline, the first the commonest, each dearer or cheaper by some 30 %."""
    genus, offset = np.zeros(pipeline.size, np.int64), np.zeros(pipeline.size)
    for number in range(_PIPELINES):
        own, count = pipeline == number, int(rng.integers(1, 7))
        genus[own] = rng.choice(count, own.sum(), p=_shares(1 / np.arange(1, count + 1) ** 1.2))
        offset[own] = rng.normal(0, 0.3, count)[genus[own]]
    return genus, offset


def _noise(rng: np.random.Generator, kind: Noise, n: int) -> np.ndarray:
    """Noise of variance 1."""
    if kind == "normal":
        return rng.standard_normal(n)
    if kind == "skew":
        return np.asarray((rng.gamma(4.0, 1.0, n) - 4) / 2)
    return np.asarray(rng.standard_t(5, n) / np.sqrt(5 / 3))


def _drift(rng: np.random.Generator, days: np.ndarray, pipeline: np.ndarray, length: int) -> np.ndarray:
    """A quarter of the pipelines changes its price once, a fifth grows dearer all the time."""
    drift = np.zeros(days.size)
    for number in range(_PIPELINES):
        own, luck = pipeline == number, rng.random()
        if luck < 0.25:
            drift[own & (days > rng.uniform(15, length - 10))] = rng.choice(np.log([0.6, 1.5]))
        elif luck < 0.45:
            drift[own] = rng.uniform(0.004, 0.012) * days[own]
    return drift


def _anomalies(rng: np.random.Generator, n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Which sessions are anomalies, and by how much: four in five are dear (x4), the others cut short."""
    is_anomaly, is_low = rng.random(n) < share, rng.random(n) < 0.2
    shock = np.where(is_low, -rng.uniform(1.6, 3.5, n), rng.normal(np.log(4), 0.35, n))
    return is_anomaly, np.where(is_anomaly, shock, 0.0)


def _incidents(rng: np.random.Generator, at: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """The first hours of the incidents and which sessions they hit: none before day 22, one a day, none at night."""
    slots = np.arange(22, kind.days)
    days = np.sort(rng.choice(slots[::2] if kind.incidents * 2 <= slots.size else slots, kind.incidents, replace=False))
    starts = 24 * days + rng.integers(6, 21, kind.incidents)
    within = np.zeros(at.size, bool)
    for start in starts:
        within |= (at >= start) & (at < start + kind.incident_hours)
    return starts, within


def warehouse() -> duckdb.DuckDBPyConnection:
    """An empty warehouse in memory."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(engine.sql("macros"))
    schema.create_all(connection)
    return connection


def hold(drawn: World) -> duckdb.DuckDBPyConnection:
    """A warehouse in memory that holds the world's sessions, each with one run, scored as the pipeline scores them."""
    connection = warehouse()
    found = drawn.sessions
    start = np.datetime64(FIRST_DAY) + (found["at"].to_numpy() * 3.6e9).astype("timedelta64[us]")
    rows = pd.DataFrame(
        {
            "org_id": "default",
            "session_id": [f"s{number:07}" for number in range(len(found))],
            "pipeline_id": "p" + found["pipeline"].astype(str),
            "genus_hash": "g" + found["genus"].astype(str),
            "created_at": start,
            "input_chars": found["chars"],
            "input_category": found["category"],
            "total_cost": found["cost"],
            "total_duration_ms": found["duration"],
            "status": np.where(found["failed"], "failed", "succeeded"),
        }
    )
    connection.register("drawn", rows)
    connection.execute(
        "INSERT INTO sessions BY NAME SELECT * EXCLUDE (status), created_at AS local_created_at, "
        "created_at::DATE AS day, 0 AS unpriced_calls, 0 AS message_count, 0 AS cell_count, 0 AS error_count, "
        "1 AS runs FROM drawn"
    )
    connection.execute(
        "INSERT INTO runs BY NAME SELECT org_id, session_id AS run_id, session_id, pipeline_id, genus_hash, status, "
        "created_at AS started_at, created_at::DATE AS day, total_cost AS cost_usd, "
        "total_duration_ms AS duration_ms, 0 AS unpriced_calls FROM drawn"
    )
    span, clock = span_of(drawn), clock_of(drawn)
    make_cluster_baselines(connection, span, clock)
    make_session_analytics(connection, span, clock, outlier_z=2.0, anomaly_z=2.5)
    return connection


def span_of(drawn: World) -> Span:
    """The days of the world."""
    return Span(FIRST_DAY, FIRST_DAY + timedelta(days=drawn.kind.days - 1))


def clock_of(drawn: World) -> Clock:
    """The clock at the end of the world."""
    end = FIRST_DAY + timedelta(days=drawn.kind.days)
    return Clock(datetime(end.year, end.month, end.day, tzinfo=UTC), ZoneInfo("UTC"))
