"""What becomes of a finding over time: open, acknowledged, resolved, and open again.

Belongs here: merging what was found now with what the table holds. Pure: rows in, rows out. Does not belong here: what
counts as a finding (rules.py) and who is told (notification).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics_pipeline.partitions import Clock

Insight = dict[str, Any]
Decision = Mapping[str, Any]


def merge(
    stored: Iterable[Insight],
    found: Iterable[Insight],
    decisions: Iterable[Decision],
    clock: Clock,
    latest: datetime | None,
) -> list[Insight]:
    """The rows of `insights` after the findings of the clock's now.

    Args:
        stored: The rows that the table holds, each with `resolved_at`: when it was last found not to hold any more.
        found: Today's findings, without the columns of the life cycle.
        decisions: Rows `target_id, kind, decided_at`, oldest first.
        clock: Its now is when the findings were made.
        latest: The latest now (naive UTC) for which this was done before, None at the first time.

    Returns:
        One row an insight_id, ordered by it.
    """
    rows = {row["insight_id"]: row for row in stored}
    new = {insight["insight_id"]: insight for insight in found}
    if latest is not None and clock.naive < latest:
        return _ordered(rows | _looked_back(rows, new, clock))
    by_target: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_target.setdefault(decision["target_id"], []).append(decision)
    held = {key: _held(rows.get(key), insight, by_target.get(key, []), clock) for key, insight in new.items()}
    gone = {
        key: row | {"status": "resolved", "resolved_at": clock.naive}
        for key, row in rows.items()
        if key not in new and row["status"] != "resolved"
    }
    return _ordered(rows | gone | held)


def _held(row: Insight | None, insight: Insight, decisions: list[Decision], clock: Clock) -> Insight:
    """A finding that holds now: its words and figures are today's, its history goes on."""
    seen = {"resolved_at": None} | _seen(row, insight, clock)
    if row is not None and row["status"] == "resolved":
        seen["notified_at"] = None
    return seen | {"status": "acknowledged" if _is_acknowledged(decisions, seen["resolved_at"]) else "open"}


def _looked_back(rows: Mapping[str, Insight], new: Mapping[str, Insight], clock: Clock) -> dict[str, Insight]:
    """Findings of a now that has passed: history only, what is open or acknowledged stays as the latest now left it."""
    return {
        key: {"resolved_at": clock.naive} | _seen(rows.get(key), insight, clock) | {"status": "resolved"}
        for key, insight in new.items()
        if key not in rows or (rows[key]["status"] == "resolved" and rows[key]["last_seen"] < clock.naive)
    }


def _seen(row: Insight | None, insight: Insight, clock: Clock) -> Insight:
    """The finding with the history of its row, sighted now: `occurrences` counts reporting days, not sightings."""
    if row is None:
        return insight | {
            "first_seen": clock.naive,
            "last_seen": clock.naive,
            "occurrences": 1,
            "notified_at": None,
        }
    is_another_day = row["last_seen"].replace(tzinfo=UTC).astimezone(clock.zone).date() != clock.today
    return row | insight | {"last_seen": clock.naive, "occurrences": row["occurrences"] + is_another_day}


def _is_acknowledged(decisions: list[Decision], resolved_at: datetime | None) -> bool:
    """Whether it is muted, or was acknowledged since it last came back.

    An acknowledgement lasts while the finding holds; muting lasts until it is taken back. One that was never resolved
    counts every acknowledgement, so that a rebuild from the logs keeps them all.
    """
    muted = [decision["kind"] == "mute" for decision in decisions if decision["kind"] in ("mute", "unmute")]
    if muted and muted[-1]:
        return True
    return any(
        decision["kind"] == "acknowledge" and (resolved_at is None or decision["decided_at"] > resolved_at)
        for decision in decisions
    )


def _ordered(rows: Mapping[str, Insight]) -> list[Insight]:
    return [rows[key] for key in sorted(rows)]
