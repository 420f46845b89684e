"""`tool_profiles`: how each tool did in the 30 days that end with each day.

Every day's calls are summed once and the windows add up those sums, so that a year of profiles reads no call twice.
Does not belong here: what the counts of a tool say of it (statistics/confidence.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock, Span
from analytics_pipeline.statistics.confidence import tool_confidences
from analytics_pipeline.transforms.windows import keep_span_days, keep_window_days

if TYPE_CHECKING:
    import duckdb


def make_tool_profiles(
    connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock, *, high: float, low: float
) -> dict[str, int]:
    """Make the profiles of the reporting days of `span` again.

    Args:
        connection: The warehouse, within a transaction.
        span: Reporting days.
        clock: Now, up to which today's calls are known, and the zone of the days.
        high: Success rate from which a tool counts as trusted, 0-1.
        low: Success rate below which it counts as bad, 0-1.

    Returns:
        Rows written per table.
    """
    keep_span_days(connection, span, clock)
    keep_window_days(connection, oldest=HISTORY_DAYS - 1, newest=0)
    for relation in ("tool_days", "tool_day_buckets", "tool_day_errors"):
        engine.make(
            connection,
            relation,
            relation,
            first_member=span.first - timedelta(days=HISTORY_DAYS - 1),
            last_member=span.last,
            known_until=clock.naive,
        )
    for relation in ("tool_windows", "tool_window_durations", "tool_window_errors"):
        engine.make(connection, relation, relation)
    _keep_confidences(connection, high, low)
    written = engine.replace(
        connection,
        "tool_profiles",
        "tool_profiles",
        where="as_of_day >= $first AND as_of_day <= $last",
        first=span.first,
        last=span.last,
        low=low,
    )
    return {"tool_profiles": written}


def _keep_confidences(connection: duckdb.DuckDBPyConnection, high: float, low: float) -> None:
    """Keep `tool_confidences`: the confidence of every pair of counts in `tool_windows`."""
    counts = connection.execute("SELECT DISTINCT total_executions, successful_executions FROM tool_windows").fetchall()
    rows = [
        {
            "total_executions": executions,
            "successful_executions": successes,
            "confidence_level": confidence.level,
            "success_rate_lb": confidence.lower_bound,
            "p_high": confidence.p_high,
            "p_low": confidence.p_low,
        }
        for (executions, successes), confidence in zip(counts, tool_confidences(counts, high, low), strict=True)
    ]
    engine.make(connection, "tool_confidences", "tool_confidences", rows=rows)
