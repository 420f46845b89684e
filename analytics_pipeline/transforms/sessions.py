"""`cluster_baselines` and `session_analytics`: what sessions were like, and how far off each one is.

Belongs here: the order of the steps, and how many sessions are in memory at a time. Does not belong here: the fit
(sql/baseline_*.sql), the tails and scores (statistics/baselines.py), and hours made of sessions (incidents.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.statistics.baselines import robust_z, tail
from analytics_pipeline.transforms.windows import cut, keep_span_days, keep_window_days

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import numpy as np

METRICS = ("cost", "duration", "tokens")
"""What sessions are scored by."""

_DAYS_READ_AT_A_TIME = HISTORY_DAYS
"""Their sessions, with those of the 30 days before the first, are held in memory."""

_ROWS_AT_A_TIME = 2_000_000
"""Sessions fitted at a time: each of the days that are fitted together holds those of its own 30 days."""

_DAYS_SCORED_AT_A_TIME = 62
"""Their sessions are held in memory."""

_READ = ("baseline_groups", "baseline_sessions", "baseline_days", "baseline_products")
"""The steps that read sessions, each the input of the next."""

_FITTED = (
    "baseline_slopes",
    "baseline_adjusted",
    "baseline_locations",
    "baseline_residuals",
    "baseline_scales",
    "baseline_spreads",
)
"""The steps of the fit up to what needs a distribution, each made of those before it."""


def make_cluster_baselines(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> dict[str, int]:
    """Make the baselines of the reporting days of `span` again, each from the sessions of the 30 days before it.

    Returns:
        Rows written per table.
    """
    written = 0
    for read in cut(span, _DAYS_READ_AT_A_TIME):
        reached = {
            "first_member": read.first - timedelta(days=HISTORY_DAYS),
            "last_member": read.last - timedelta(days=1),
        }
        for step in _READ:
            engine.make(connection, step, step, **reached)
        for part in _parts(connection, read):
            keep_span_days(connection, part, clock)
            keep_window_days(connection, oldest=HISTORY_DAYS, newest=1)
            _keep_genera(connection)
            _keep_tails(connection)
            engine.make(connection, "baseline_fits", "baseline_fits")
            written += engine.replace(
                connection,
                "cluster_baselines",
                "cluster_baselines",
                where="as_of_day >= $first AND as_of_day <= $last",
                first=part.first,
                last=part.last,
                middle_and_high=[0.5, 0.95],
            )
    return {"cluster_baselines": written}


def _parts(connection: duckdb.DuckDBPyConnection, span: Span) -> Iterator[Span]:
    """The days of `span` in pieces whose windows hold no more sessions than are fitted at a time."""
    counts = dict(connection.execute("SELECT day, sum(run_count) FROM baseline_days GROUP BY day").fetchall())
    first, held = span.first, 0
    for day in span:
        members = sum(counts.get(day - timedelta(days=back), 0) for back in range(1, HISTORY_DAYS + 1))
        if day > first and held + members > _ROWS_AT_A_TIME:
            yield Span(first, day - timedelta(days=1))
            first, held = day, 0
        held += members
    yield Span(first, span.last)


def _keep_genera(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep `baseline_genera`: the fit, its steps in one statement, for tables between them take a tenth longer."""
    steps = ",\n".join(f"{step} AS (\n{engine.sql(step)}\n)" for step in _FITTED)
    statement = f"WITH {steps}\n{engine.sql('baseline_genera')}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE baseline_genera AS {statement}", {"middle_and_high": [0.5, 0.9]})


def _keep_tails(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep `baseline_tails`: how heavy the tails of each org's residuals are."""
    spreads = connection.execute("SELECT DISTINCT as_of_day, metric, org_no, spread FROM baseline_genera").fetchall()
    rows = [
        {"as_of_day": day, "metric": metric, "org_no": org_no, "tail": tail(spread)}
        for day, metric, org_no, spread in spreads
    ]
    engine.make(connection, "baseline_tails", "baseline_tails", rows=rows)


def make_session_analytics(
    connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock, *, outlier_z: float, anomaly_z: float
) -> dict[str, int]:
    """Score the sessions created on the reporting days of `span` again, by the baselines of their day.

    A session that moved here from another day loses the row it had there.

    Args:
        connection: The warehouse, within a transaction.
        span: Reporting days; their `cluster_baselines` must be made.
        clock: Now, up to which today's sessions are known, and the zone of the days.
        outlier_z: Absolute z beyond which cost or duration makes a session an outlier.
        anomaly_z: Absolute robust z beyond which cost or duration makes a session an anomaly.

    Returns:
        Rows written per table.
    """
    written = 0
    for part in cut(span, _DAYS_SCORED_AT_A_TIME):
        keep_span_days(connection, part, clock)
        engine.make(connection, "session_offsets", "session_offsets")
        connection.register("robust_scores", _robust_scores(connection))
        written += engine.replace(
            connection,
            "session_analytics",
            "session_analytics",
            where="(created_at >= $starts_at AND created_at < $ends_at) OR (org_id, session_id) IN "
            "(SELECT (s.org_id, s.session_id) FROM sessions AS s INNER JOIN span_days AS d ON d.day = s.day)",
            starts_at=clock.day_bounds(part.first)[0],
            ends_at=clock.day_bounds(part.last)[1],
            outlier_z=outlier_z,
            anomaly_z=anomaly_z,
            now=clock.naive,
        )
        connection.unregister("robust_scores")
    return {"session_analytics": written}


def _robust_scores(connection: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
    """The scores of `session_offsets`, a column a metric, NaN where there is none."""
    import numpy as np

    columns = ", ".join(f"{metric}_offset, {metric}_freedom" for metric in METRICS)
    found = connection.execute(f"SELECT session_no, {columns} FROM session_offsets").fetchnumpy()
    known = {name: np.ma.filled(values, np.nan) for name, values in found.items() if name != "session_no"}
    scores = {metric: robust_z(known[f"{metric}_offset"], known[f"{metric}_freedom"]) for metric in METRICS}
    return {"session_no": np.asarray(found["session_no"])} | scores
