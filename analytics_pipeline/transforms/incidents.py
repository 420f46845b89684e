"""`hourly_incidents`: the hours in which an org, a pipeline or a model strayed.

Cost and duration go by the sessions' scores summed, failures by what each pipeline usually fails, runs and tokens by
their own past. Belongs here: which hours are looked at and from when on one is kept. Does not belong here: which hours
make one finding (insights/anomalies.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.statistics.anomalies import LINE, MEMORY, WINDOW, alerts, count_scores
from analytics_pipeline.statistics.incidents import WEEKLY_MEMORY, among, binomial_z, count_z, weekly_scores
from analytics_pipeline.transforms.windows import cut, keep_span_days, keep_window_days

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import duckdb
    import numpy as np

WARNING_Z = 3.0
"""Score beyond which an hour is kept."""

USUAL_DAYS, STRAYED_DAYS = 7, 14
"""Days before one that say what is usual, and how far sums stray; stale.py knows how far a session bears by them."""

_FEW = 5.0
"""Expected failures below which they are counted one by one."""
_FEW_Z = 4.0
"""Score that few failures have to pass, for it is looked at them over one hour and over three."""
RUNS_Z = 3.5
"""Score that a number of runs has to pass, for it is looked at both ways."""
_BUSY = {"runs": 2.0, "tokens": 5.0}
"""Mean runs an hour of 14 days below which an hour's runs or tokens are not judged: chance alone scatters them."""
_YOUNG = 21 * 24
"""Hours from its first run on in which a series' counts are not judged: too little is known of how they scatter."""
_OF = {1: "", 3: "_of_three"}
"""How columns of so many hours are named."""
_CHANGED = 2
"""Hours by which changes of the clocks may shorten a past."""
_DAYS_AT_A_TIME = 62
_HOUR = timedelta(hours=1)

Row = dict[str, Any]


def make_hourly_incidents(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> dict[str, int]:
    """Make the incidents of the reporting days of `span` again; an hour is of the day in which it ends.

    `session_analytics` and `hourly_run_summaries` must be made up to the span's last day.

    Returns:
        Rows written per table.
    """
    written = 0
    for part in cut(span, _DAYS_AT_A_TIME):
        rows = [*_of_sessions(connection, part, clock), *_of_failures(connection, part, clock)]
        rows += _of_counts(connection, part, clock)
        written += engine.replace(
            connection,
            "hourly_incidents",
            "hourly_incidents",
            where="day >= $first AND day <= $last",
            first=part.first,
            last=part.last,
            rows=rows,
        )
    return {"hourly_incidents": written}


def _of_sessions(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Iterator[Row]:
    """Hours in which what sessions cost or took strays; keeps `incident_sessions` and `span_days`."""
    days = Span(span.first - timedelta(days=STRAYED_DAYS), span.last)
    keep_span_days(connection, days, clock)
    engine.make(
        connection,
        "incident_sessions",
        "incident_sessions",
        first_member=days.first - timedelta(days=USUAL_DAYS),
        last_member=days.last,
        known_until=clock.naive,
    )
    engine.make(connection, "incident_sums", "incident_sums")
    keep_window_days(connection, oldest=USUAL_DAYS, newest=1)
    engine.make(connection, "incident_middles", "incident_middles")
    engine.make(connection, "incident_hours", "incident_hours")
    keep_window_days(connection, oldest=STRAYED_DAYS, newest=1)
    found = engine.rows(connection, "incident_scores", first=span.first)
    singles, triples = (_scores(found, name) for name in ("z_of_hour", "z_of_three"))
    looks = _looks(found)
    for row, one, three in zip(found, among(singles, looks), among(triples, looks), strict=True):
        score, hours = (one, 1) if one >= three else (three, 3)
        if score > WARNING_Z:
            events, amount, usual = (row[f"{name}{_OF[hours]}"] for name in ("events", "amount", "usual"))
            yield _incident(row, float(score), hours, events, amount, usual)


def _of_failures(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Iterator[Row]:
    """Hours in which more runs fail than usual."""
    keep_window_days(connection, oldest=HISTORY_DAYS, newest=1)
    found = engine.rows(
        connection,
        "incident_failures",
        first=span.first,
        first_member=span.first - timedelta(days=STRAYED_DAYS + HISTORY_DAYS),
        last_member=span.last,
        known_until=clock.naive,
    )
    looks = _looks(found)
    many = binomial_z(*(_column(found, name) for name in ("failed", "usual", "variance")))
    few = count_z(*(_column(found, name) for name in ("failed", "usual", "known_by")))
    few_of_three = count_z(*(_column(found, f"{name}_of_three") for name in ("failed", "usual", "known_by")))
    for i, row in enumerate(found):
        z, hours = (many[i], 1) if row["usual"] >= _FEW else max((few[i], 1), (few_of_three[i], 3))
        if z <= (WARNING_Z if row["usual"] >= _FEW else _FEW_Z):
            continue
        score = float(among(z, looks[i]))
        if score > WARNING_Z:
            events, failed, usual = (row[f"{name}{_OF[hours]}"] for name in ("events", "failed", "usual"))
            yield _incident(row, score, hours, events, float(failed / events), usual / events)


def _of_counts(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Iterator[Row]:
    """Hours in which runs or tokens are many more, or many fewer, than they were; an hour that is not over is none."""
    import numpy as np

    starts_at, ends_at = clock.day_bounds(span.first)[0], min(clock.day_bounds(span.last)[1], clock.naive)
    first, end = (instant.replace(minute=0, second=0, microsecond=0) for instant in (starts_at, ends_at))
    begin = first - (max(MEMORY, WEEKLY_MEMORY) + _CHANGED) * _HOUR
    rows = engine.rows(connection, "incident_counts", starts_at=begin, ends_at=end)
    series = [(key, list(group)) for key, group in groupby(rows, key=itemgetter("org_id", "scope_kind", "scope"))]
    kinds = Counter(key[:2] for key, _ in series)
    hours, is_skipped = _by_the_clock(begin, int((end - begin) / _HOUR), clock.zone)
    for key, group in series:
        runs, tokens = (np.zeros(int((end - begin) / _HOUR)) for _ in range(2))
        for row in group:
            hour = int((row["hour"] - begin) / _HOUR)
            runs[hour], tokens[hour] = row["runs"], row["tokens"]
        place = dict(zip(("org_id", "scope_kind", "scope"), key, strict=True))
        for metric, at, score, together, value, usual in chain(
            runs_astray(runs[hours], kinds[key[:2]]), _tokens_astray(tokens[hours], runs[hours], kinds[key[:2]])
        ):
            start = begin + int(hours[at]) * _HOUR
            day = (start + _HOUR - timedelta(microseconds=1)).replace(tzinfo=UTC).astimezone(clock.zone).date()
            if span.first <= day <= span.last and not is_skipped[at]:
                told = place | {"hour": start, "day": day, "metric": metric}
                yield _incident(told, score, together, None, value, usual)


def _by_the_clock(begin: datetime, count: int, zone: ZoneInfo) -> tuple[np.ndarray, np.ndarray]:
    """Consecutive hours of the zone's clocks: which of `count` UTC hours each is, and whether the clocks skipped it.

    People's weeks go by their clocks. An hour that these skip is as the one before; of one that they repeat only the
    first is looked at.
    """
    import numpy as np

    shown = [
        (begin + hour * _HOUR).replace(tzinfo=UTC).astimezone(zone).replace(minute=0, tzinfo=None)
        for hour in range(count)
    ]
    places = np.array([int((instant - shown[0]) / _HOUR) for instant in shown])
    every = np.arange(places[-1] + 1)
    first, last = (np.searchsorted(places, every, side=side) for side in ("left", "right"))
    return np.minimum(first, last - 1), ~np.isin(every, places)


Stray = tuple[str, int, float, int, float, float]
"""Metric, place of the hour, score, hours that it sums up, what they had and what was usual."""


def runs_astray(runs: np.ndarray, looks: int) -> Iterator[Stray]:
    """Of a series the hours with more or fewer runs than the weeks before let expect."""
    import numpy as np

    judged = _judged(runs, _BUSY["runs"], WEEKLY_MEMORY)
    if not judged.any():
        return
    found = {hours: weekly_scores(runs, hours) for hours in (1, 3)}
    sizes = {hours: among(np.abs(scores), np.full(runs.size, 2.0 * looks)) for hours, (scores, _) in found.items()}
    for hour in np.flatnonzero(judged & (np.maximum(sizes[1], sizes[3]) > RUNS_Z)).tolist():
        hours = 1 if sizes[1][hour] >= sizes[3][hour] else 3
        came = float(runs[hour + 1 - hours : hour + 1].sum())
        yield "runs", hour, float(sizes[hours][hour]), hours, came, float(found[hours][1][hour])


def _tokens_astray(tokens: np.ndarray, runs: np.ndarray, looks: int) -> Iterator[Stray]:
    """Of a series the hours told of: rare by all of its past, and beyond what that hour of the day had in 14 days."""
    import numpy as np
    from scipy.special import ndtri

    judged = _judged(runs, _BUSY["tokens"], MEMORY)
    if not judged.any():
        return
    several = np.log10(looks)
    scores = count_scores(tokens)
    for hour in np.flatnonzero(judged & alerts(scores, LINE + several)).tolist():
        same = tokens[hour - WINDOW : hour : 24]
        if not same.min() <= tokens[hour] <= same.max():
            z = float(-ndtri(10.0 ** (several - scores[hour])))
            yield "tokens", hour, z, 1, float(tokens[hour]), float(np.median(same))


def _judged(runs: np.ndarray, busy: float, memory: int) -> np.ndarray:
    """Which hours a series is old and busy enough for.

    It is judged 21 days after its first run within its memory, so that no hour depends on where it begins.
    """
    import numpy as np

    counted = np.concatenate([[0], np.cumsum(runs)])[:-1]
    before, young, forgotten = (
        np.concatenate([np.zeros(back), counted])[: runs.size] for back in (WINDOW, _YOUNG, memory)
    )
    is_old = (np.arange(runs.size) >= memory) & (young > forgotten)
    return np.asarray(is_old & (counted - before >= busy * WINDOW))


def _incident(row: Row, score: float, hours: int, events: int | None, value: float, expected: float) -> Row:
    names = ("hour", "day", "org_id", "scope_kind", "scope", "metric")
    return {name: row[name] for name in names} | {
        "score": round(score, 6),  # sums of floats differ in the last digit with where the span begins
        "hours": hours,
        "events": events,
        "value": round(value, 9),
        "expected": round(expected, 9),
    }


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    import numpy as np

    return np.array([float(row[name]) for row in rows])


def _scores(rows: Sequence[Row], name: str) -> np.ndarray:
    import numpy as np

    return np.array([-38.0 if row[name] is None else row[name] for row in rows])


def _looks(rows: Sequence[Row]) -> np.ndarray:
    """At how many places one like it was looked for: at every scope of its kind, over one hour and over three."""
    import numpy as np

    return np.array([2.0 * row["scopes"] for row in rows])
