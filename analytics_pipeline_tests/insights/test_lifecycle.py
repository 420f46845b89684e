"""A finding over days: open, acknowledged, resolved, open again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.insights.lifecycle import merge
from analytics_pipeline.partitions import Clock, to_naive_utc

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
FINDING = {"insight_id": "i1", "title": "as found"}


class Table:
    """The rows of `insights`, merged as one materialization after the other would."""

    def __init__(self, zone: str = "UTC") -> None:
        self.rows: list[dict[str, Any]] = []
        self.latest: datetime | None = None
        self.decisions: list[dict[str, Any]] = []
        self.zone = ZoneInfo(zone)

    def at(self, instant: datetime, *ids: str, title: str = "as found") -> dict[str, dict[str, Any]]:
        clock = Clock(instant, self.zone)
        found = [{"insight_id": key, "title": title} for key in ids]
        self.rows = merge(self.rows, found, self.decisions, clock, self.latest)
        self.latest = max(self.latest or clock.naive, clock.naive)
        return {row["insight_id"]: row for row in self.rows}

    def decide(self, kind: str, instant: datetime) -> None:
        self.decisions.append({"target_id": "i1", "kind": kind, "decided_at": to_naive_utc(instant)})


def days(number: float) -> datetime:
    return START + timedelta(days=number)


def test_a_new_finding_is_open() -> None:
    row = Table().at(START, "i1")["i1"]
    assert (row["status"], row["occurrences"]) == ("open", 1)
    assert row["first_seen"] == row["last_seen"] == to_naive_utc(START)
    assert row["notified_at"] is None


@given(st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=40).map(sorted))
def test_occurrences_count_days_never_materializations(instants: list[float]) -> None:
    table = Table()
    for instant in instants:
        row = table.at(days(instant), "i1")["i1"]
    assert row["occurrences"] == len({days(instant).date() for instant in instants})
    assert row["first_seen"] == to_naive_utc(days(instants[0]))
    assert row["last_seen"] == to_naive_utc(days(instants[-1]))


def test_occurrences_count_reporting_days() -> None:
    table = Table("Asia/Kathmandu")
    table.at(datetime(2026, 3, 1, 18, 0, tzinfo=UTC), "i1")
    assert table.at(datetime(2026, 3, 1, 18, 30, tzinfo=UTC), "i1")["i1"]["occurrences"] == 2


def test_words_are_those_of_now() -> None:
    table = Table()
    table.at(START, "i1")
    assert table.at(days(1), "i1", title="worse")["i1"]["title"] == "worse"


def test_what_the_data_no_longer_support_is_resolved_and_opens_again_when_it_returns() -> None:
    table = Table()
    table.at(START, "i1", "i2")
    gone = table.at(days(1), "i2")
    assert (gone["i1"]["status"], gone["i2"]["status"]) == ("resolved", "open")
    assert gone["i1"]["last_seen"] == to_naive_utc(START)
    back = table.at(days(2), "i1", "i2")["i1"]
    assert (back["status"], back["occurrences"]) == ("open", 2)
    assert back["first_seen"] == to_naive_utc(START)


def test_acknowledged_lasts_while_it_holds_and_no_longer() -> None:
    table = Table()
    table.at(START, "i1")
    table.decide("acknowledge", days(0.5))
    assert table.at(days(1), "i1")["i1"]["status"] == "acknowledged"
    assert table.at(days(2), "i1")["i1"]["status"] == "acknowledged"
    assert table.at(days(3))["i1"]["status"] == "resolved"
    assert table.at(days(4), "i1")["i1"]["status"] == "open"
    assert table.at(days(5), "i1")["i1"]["status"] == "open"
    table.decide("acknowledge", days(5.5))
    assert table.at(days(6), "i1")["i1"]["status"] == "acknowledged"


def test_muted_lasts_until_it_is_taken_back() -> None:
    table = Table()
    table.decide("mute", START)
    assert table.at(days(1), "i1")["i1"]["status"] == "acknowledged"
    table.at(days(2))
    assert table.at(days(3), "i1")["i1"]["status"] == "acknowledged"
    table.decide("unmute", days(3.5))
    assert table.at(days(4), "i1")["i1"]["status"] == "open"


def test_a_rebuild_keeps_what_was_acknowledged_before() -> None:
    table = Table()
    table.decide("acknowledge", START)
    assert table.at(days(30), "i1")["i1"]["status"] == "acknowledged"


def test_an_earlier_now_leaves_open_ones_alone_and_adds_history() -> None:
    table = Table()
    latest = table.at(days(10), "i1")["i1"]
    before = table.at(days(5), "i1", "i2", title="then")
    assert before["i1"] == latest
    assert (before["i2"]["status"], before["i2"]["occurrences"]) == ("resolved", 1)
    assert table.at(days(4))["i1"] == latest
    later = table.at(days(6), "i2")["i2"]
    assert (later["status"], later["occurrences"], later["last_seen"]) == ("resolved", 2, to_naive_utc(days(6)))
    assert table.at(days(5.5), "i2")["i2"] == later


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=30))
def test_status_follows_the_latest_now(steps: list[tuple[int, bool]]) -> None:
    table = Table()
    latest, holds = -1, False
    for instant, is_found in steps:
        rows = table.at(days(instant), *(["i1"] if is_found else []))
        if instant >= latest:
            latest, holds = instant, is_found
        if "i1" in rows:
            assert rows["i1"]["status"] == ("open" if holds else "resolved")
