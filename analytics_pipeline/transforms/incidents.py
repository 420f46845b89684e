"""`hourly_incidents`: the hours in which an org, a pipeline or a model strayed.

Cost and duration go by the sessions' scores summed, failures by what each pipeline usually fails, runs and tokens by
their own past. Belongs here: which hours are looked at and from when on one is kept. Does not belong here: which hours
make one finding (insights/anomalies.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from itertools import groupby, product
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.statistics.anomalies import LINE, MEMORY, WINDOW, alerts, count_scores
from analytics_pipeline.statistics.incidents import among, binomial_z, poisson_z
from analytics_pipeline.transforms.windows import cut, keep_span_days, keep_window_days

if TYPE_CHECKING:
    import duckdb
    import numpy as np

WARNING_Z, CRITICAL_Z = 3.0, 4.0
"""Scores beyond which an hour is kept, and beyond which it is grave."""

USUAL_DAYS, STRAYED_DAYS = 7, 14
"""Days before one that say what is usual, and how far sums stray; stale.py knows how far a session bears by them."""

_FEW = 5.0
"""Expected failures below which they are counted one by one."""
_FEW_Z = 4.0
"""Score that few failures have to pass, for it is looked at them over one hour and over three."""
_BUSY = 5.0
"""Mean runs an hour of 14 days below which an hour's runs and tokens are not judged: chance alone scatters them."""
_OF = {1: "", 3: "_of_three"}
"""How columns of so many hours are named."""
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
    found = _rows(connection, "incident_scores", first=span.first)
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
    found = _rows(
        connection,
        "incident_failures",
        first=span.first,
        first_member=span.first - timedelta(days=STRAYED_DAYS + HISTORY_DAYS),
        last_member=span.last,
        known_until=clock.naive,
    )
    looks = _looks(found)
    many = binomial_z(*(_column(found, name) for name in ("failed", "usual", "variance")))
    few = poisson_z(_column(found, "failed"), _column(found, "usual"))
    few_of_three = poisson_z(_column(found, "failed_of_three"), _column(found, "usual_of_three"))
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
    begin = first - MEMORY * _HOUR
    rows = _rows(connection, "incident_counts", starts_at=begin, ends_at=end)
    series = [(key, list(group)) for key, group in groupby(rows, key=itemgetter("org_id", "scope_kind", "scope"))]
    kinds = Counter(key[:2] for key, _ in series)
    for key, group in series:
        counts = {metric: np.zeros(int((end - begin) / _HOUR)) for metric in ("runs", "tokens")}
        for row, metric in product(group, counts):
            counts[metric][int((row["hour"] - begin) / _HOUR)] = row[metric]
        for metric, values in counts.items():
            for hour, score, usual in _strays(values, counts["runs"], kinds[key[:2]]):
                start = begin + hour * _HOUR
                day = (start + _HOUR - timedelta(microseconds=1)).replace(tzinfo=UTC).astimezone(clock.zone).date()
                if span.first <= day <= span.last:
                    place = dict(zip(("org_id", "scope_kind", "scope"), key, strict=True))
                    place |= {"hour": start, "day": day, "metric": metric}
                    yield _incident(place, score, 1, None, float(values[hour]), usual)


def _strays(values: np.ndarray, runs: np.ndarray, looks: int) -> Iterator[tuple[int, float, float]]:
    """Of a series the hours told of, each with its score and what was usual.

    A series is judged 14 days after its first run within its memory, so that no hour depends on where it begins.
    """
    import numpy as np
    from scipy.special import ndtri

    counted = np.concatenate([[0], np.cumsum(runs)])
    if counted[-1] < _BUSY * WINDOW:
        return
    several = np.log10(looks)
    scores = count_scores(values)
    for hour in np.flatnonzero(alerts(scores, LINE + several)):
        if hour < MEMORY or counted[hour - WINDOW] == counted[hour - MEMORY]:
            continue
        if counted[hour] - counted[hour - WINDOW] >= _BUSY * WINDOW:
            z = -ndtri(10.0 ** (several - scores[hour]))
            yield int(hour), float(z), float(np.median(values[hour - 7 * 24 : hour]))


def _incident(row: Row, score: float, hours: int, events: int | None, value: float, expected: float) -> Row:
    names = ("hour", "day", "org_id", "scope_kind", "scope", "metric")
    return {name: row[name] for name in names} | {
        "score": round(score, 6),  # sums of floats differ in the last digit with where the span begins
        "hours": hours,
        "events": events,
        "value": round(value, 9),
        "expected": round(expected, 9),
    }


def _rows(connection: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> list[Row]:
    found = engine.query(connection, name, **parameters)
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


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
