"""Runs an hour: how many surges and silences are found, and how many quiet hours cry wolf."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analytics_pipeline.statistics.incidents import WEEKLY_MEMORY
from analytics_pipeline.transforms.incidents import runs_astray
from benchmarks.accuracy import Figure
from benchmarks.accuracy.worlds import REPORTED

_DAYS = 100
_HOURS = np.arange(24)
_SINE = 1 + 0.9 * np.sin((_HOURS - 8) / 24 * 2 * np.pi)
_OFFICE = np.where((_HOURS > 8) & (_HOURS < 19), 1.0, 0.02)
_LINGERS, _AFTER = 6, 30
"""Hours in which an alarm is still about an event, and in which what follows it is no false alarm either."""


@dataclass(frozen=True)
class Kind:
    """How a series goes: its shape of the day, what a day at the weekend is worth, how days and hours scatter."""

    name: str
    runs_a_day: int
    shape: np.ndarray
    weekend: float
    days: float
    is_bursty: bool = False


_KINDS = (
    Kind("60 runs a day", 60, _SINE, 0.45, 0.1),
    Kind("150 runs a day", 150, _SINE, 0.45, 0.1),
    Kind("1,000 runs a day", 1_000, _SINE, 0.45, 0.1),
    Kind("1,000 runs in office hours", 1_000, _OFFICE, 0.3, 0.2),
    Kind("50,000 runs in office hours", 50_000, _OFFICE, 0.3, 0.2),
    Kind("200 runs a day in bursts", 200, _OFFICE, 0.05, 0.4, is_bursty=True),
)

_ASKED: tuple[tuple[str, float, Literal["lower", "higher"]], ...] = (
    ("3 hours with thrice the runs told", 0.6, "higher"),
    ("6 hours without runs told", 0.6, "higher"),
    ("false alarms a week", 0.2, "lower"),
)

Rule = Callable[[np.ndarray], np.ndarray]


def figures(seeds: Iterable[int] = REPORTED) -> list[Figure]:
    """Surges and silences found, and false alarms, of series of six kinds."""
    seeds = list(seeds)
    found = []
    detail = f"{len(seeds)} series of 100 days, 51 judged; naive: 3 deviations off that hour in 14 days; own targets"
    for kind in _KINDS:
        ours, naive = (_rates(kind, seeds, rule) for rule in (_ours, _naive))
        found += [
            Figure("counts", f"{kind.name}: {what}", value, target, better, usual, None, detail)
            for (what, target, better), value, usual in zip(_ASKED, ours, naive, strict=True)
        ]
    return found


def _rates(kind: Kind, seeds: list[int], rule: Rule) -> tuple[float, float, float]:
    """Share of the surges told, share of the silences told, false alarms a week."""
    told = []
    for factor in (3.0, 0.0):
        series = [_alarms(kind, seed, rule, factor) for seed in seeds]
        told.append(float(np.mean([_is_told(hours, event) for hours, events in series for event in events])))
    quiet = [_alarms(kind, seed, rule, 1.0)[0] for seed in seeds]
    weeks = len(seeds) * (24 * _DAYS - WEEKLY_MEMORY) / 168
    return told[0], told[1], sum(_episodes(hours) for hours in quiet) / weeks


def _alarms(kind: Kind, seed: int, rule: Rule, factor: float) -> tuple[np.ndarray, list[int]]:
    """The hours told of, and the first hours of the two events that the series has, if the factor is not 1."""
    rng = np.random.default_rng([seed, 77])
    week = np.where(np.arange(_DAYS) % 7 < 5, 1.0, kind.weekend) * np.exp(rng.normal(0, kind.days, _DAYS))
    rate = kind.runs_a_day / 24 * np.outer(week / week.mean(), kind.shape / kind.shape.mean()).ravel()
    if kind.is_bursty:
        rate *= rng.gamma(1.2, 1 / 1.2, rate.size)
    events = list(_events(rng)) if factor != 1 else []
    for start in events:
        rate[start : start + (3 if factor > 1 else 6)] *= factor
    hours = rule(rng.poisson(rate).astype(float))
    return hours[hours >= WEEKLY_MEMORY], events


def _events(rng: np.random.Generator) -> Iterator[int]:
    """Two weekdays at eleven, some three weeks apart."""
    for day in (50, 74):
        begun = day + int(rng.integers(0, 5))
        yield 24 * (begun + (7 - begun % 7 if begun % 7 >= 5 else 0)) + 11


def _is_told(hours: np.ndarray, event: int) -> bool:
    return bool(((hours >= event) & (hours < event + _LINGERS)).any())


def _episodes(hours: np.ndarray) -> int:
    return int(hours.size and 1 + (np.diff(hours) > 3).sum())


def _ours(runs: np.ndarray) -> np.ndarray:
    return np.array([hour for _, hour, *_ in runs_astray(runs, 1)], dtype=int)


def _naive(runs: np.ndarray) -> np.ndarray:
    past = np.array([runs[hour - 336 : hour : 24] for hour in range(336, runs.size)])
    off = np.abs(runs[336:] - past.mean(axis=1)) > 3 * past.std(axis=1, ddof=1)
    return 336 + np.flatnonzero(off)


if __name__ == "__main__":
    for row in figures():
        print(row)
