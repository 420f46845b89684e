"""`cluster_baselines` and `session_analytics`: what sessions were like, and how far off each one is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.transforms.windows import cut, keep_span_days, keep_window_days

if TYPE_CHECKING:
    import duckdb

_DAYS_AT_A_TIME = 31
"""Baselines made at a time: each holds the sessions of its own 30 days in memory."""


def make_cluster_baselines(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> dict[str, int]:
    """Make the baselines of the reporting days of `span` again, each from the sessions of the 30 days before it.

    Returns:
        Rows written per table.
    """
    written = 0
    for part in cut(span, _DAYS_AT_A_TIME):
        keep_span_days(connection, part, clock)
        keep_window_days(connection, oldest=HISTORY_DAYS, newest=1)
        written += engine.replace(
            connection,
            "cluster_baselines",
            "cluster_baselines",
            where="as_of_day >= $first AND as_of_day <= $last",
            first=part.first,
            last=part.last,
            first_member=part.first - timedelta(days=HISTORY_DAYS),
            last_member=part.last - timedelta(days=1),
        )
    return {"cluster_baselines": written}


def make_session_analytics(
    connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock, *, outlier_z: float
) -> dict[str, int]:
    """Score the sessions created on the reporting days of `span` again, by the baselines of their day.

    A session that moved here from another day loses the row it had there.

    Args:
        connection: The warehouse, within a transaction.
        span: Reporting days; their `cluster_baselines` must be made.
        clock: Now, up to which today's sessions are known, and the zone of the days.
        outlier_z: Absolute z beyond which cost or duration makes a session an outlier.

    Returns:
        Rows written per table.
    """
    keep_span_days(connection, span, clock)
    written = engine.replace(
        connection,
        "session_analytics",
        "session_analytics",
        where="(created_at >= $starts_at AND created_at < $ends_at) OR (org_id, session_id) IN "
        "(SELECT (s.org_id, s.session_id) FROM sessions AS s INNER JOIN span_days AS d ON d.day = s.day)",
        starts_at=clock.day_bounds(span.first)[0],
        ends_at=clock.day_bounds(span.last)[1],
        outlier_z=outlier_z,
        now=clock.naive,
    )
    return {"session_analytics": written}
