"""`trends`: each metric of each scope over the last 7 and 30 days against the ones before, and whether that is chance.

A day that has passed keeps what was said then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.transforms import changes

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.partitions import Clock

TREND_PERIODS = (7, 30)


def make_trends(connection: duckdb.DuckDBPyConnection, clock: Clock, *, significant_change: float) -> dict[str, int]:
    """Make the day's `trends` again: periods of 7 and 30 days that end with the hour of now, against those before.

    Args:
        connection: The warehouse, within a transaction.
        clock: Now.
        significant_change: Relative change from which one can be significant, as a fraction.

    Returns:
        Rows written per table.
    """
    written = 0
    found = changes.compare(connection, clock, TREND_PERIODS)
    for period in TREND_PERIODS:
        current_from, ends_at = clock.window(period)
        bounds = {
            "previous_from": current_from - timedelta(days=period),
            "current_from": current_from,
            "known_until": min(ends_at, clock.naive),
        }
        engine.make(connection, "trend_runs", "trend_runs", **bounds)
        engine.make(connection, "trend_models", "trend_models", **bounds)
        engine.make(connection, "trend_tests", "trend_tests", rows=_trend_tests(found[period]))
        written += engine.replace(
            connection,
            "trends",
            "trends",
            where="as_of_day = $as_of_day AND period_days = $period_days",
            as_of_day=clock.today,
            period_days=period,
            significant_change=significant_change,
        )
    return {"trends": written}


def _trend_tests(found: Mapping[changes.Key, changes.Comparison]) -> list[dict[str, Any]]:
    """The tests of a period; an org's are one report, and none of another org's concern."""
    q_values: dict[changes.Key, float | None] = {}
    for org_id in sorted({key[0] for key in found}):
        q_values |= changes.q_values({key: test.p_value for key, test in found.items() if key[0] == org_id})
    return [
        dict(zip(("org_id", "scope_kind", "scope", "metric"), key, strict=True))
        | {"p_value": test.p_value, "q_value": q_values[key], "adjusted_change": test.adjusted}
        for key, test in found.items()
    ]
