"""One key, one row: every clause of the ranking and of the merge, by a case that nothing else decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from analytics_pipeline import schema
from analytics_pipeline_tests.load.conftest import OF_READING, Home, Homes, Record, at, call, run

EARLY, LATE = "2025-11-20T11:00:00Z", "2025-11-20T12:00:00Z"


def job(**fields: Any) -> Record:
    return {"record": "job", "job_id": "j", "state": "queued", "queued_at": "2025-11-20T10:00:00Z", **fields}


def support(**fields: Any) -> Record:
    made = {"record": "support_session", "session_id": "u", "status": "open", "created_at": "2025-11-20T10:00:00Z"}
    return {**made, **fields}


def proposal(**fields: Any) -> Record:
    made = {"record": "flow_proposal", "proposal_id": "p", "status": "pending", "created_at": "2025-11-20T10:00:00Z"}
    return {**made, **fields}


def of_model(model: str, **fields: Any) -> Record:
    return call(model=model, **fields)


CASES: dict[str, tuple[list[Record], Record]] = {
    # --- the ranking: `model`, `title` or `project` tells who won
    "all state updated_at: the later wins, finished or not": (
        [of_model("a", updated_at=LATE), of_model("b", updated_at=EARLY, status="ok", output_tokens=9)],
        {"model": "a", "status": "ok", "output_tokens": 9},
    ),
    "one states no updated_at: finished first": (
        [
            of_model("a", status="error"),
            of_model("b", updated_at=LATE, output_tokens=9),
            of_model("c", updated_at=LATE),
        ],
        {"model": "a"},
    ),
    "finished by a duration alone": (
        [of_model("a", duration_ms=1), of_model("b", updated_at=LATE)],
        {"model": "a", "ended_at": at("10:00:01.001")},
    ),
    "finished by an end alone": ([of_model("a", ended_at=EARLY), of_model("b", updated_at=LATE)], {"model": "a"}),
    "equally finished: the later updated_at, a missing one last": (
        [of_model("a", updated_at=EARLY), of_model("b", output_tokens=9)],
        {"model": "a", "output_tokens": 9},
    ),
    "more tokens, all of them together": (
        [of_model("a", status="ok", input_tokens=2, cache_read_tokens=2), of_model("b", status="ok", input_tokens=3)],
        {"model": "a", "input_tokens": 2, "total_tokens": 4},
    ),
    "a total counts as tokens": (
        [of_model("a", total_tokens=5), of_model("b", input_tokens=4)],
        {"model": "a", "total_tokens": 5, "input_tokens": None},
    ),
    "the later end": ([of_model("a", ended_at=LATE), of_model("b", ended_at=EARLY, name="z")], {"model": "a"}),
    "the greater JSON": ([of_model("b"), of_model("a")], {"model": "b"}),
    "JSON: a field more before the first that differs": ([of_model("a", name="n"), of_model("b")], {"model": "b"}),
    "JSON: unknown keys have their place by name": ([of_model("b", zz=1), of_model("a", zz=2)], {"model": "b"}),
    "JSON: unknown keys may decide": ([of_model("a", aa=2), of_model("b", aa=1)], {"model": "a"}),
    "a run in a final state": (
        [run(status="cancelled", project="a"), run(status="queued", updated_at=LATE, project="b")],
        {"project": "a"},
    ),
    "a job in a final state": (
        [job(state="completed", project="a"), job(state="running", updated_at=LATE, project="b")],
        {"project": "a"},
    ),
    "a job's finished_at is its end": (
        [job(state="failed", finished_at=LATE, project="a"), job(state="failed", finished_at=EARLY, project="b")],
        {"project": "a", "finished_at": at("12:00:00")},
    ),
    "a support session resolved, escalated or abandoned": (
        [support(status="abandoned", ticket_id="a"), support(status="requesting_escalation", updated_at=LATE)],
        {"status": "abandoned", "ticket_id": "a"},
    ),
    "a proposal that was reviewed": (
        [proposal(status="dismissed", title="a"), proposal(updated_at=LATE, title="b")],
        {"title": "a"},
    ),
    "a proposal's reviewed_at is its end": (
        [proposal(status="approved", reviewed_at=LATE, title="a"), proposal(status="rejected", reviewed_at=EARLY)],
        {"status": "approved"},
    ),
    # --- what each field takes
    "each field the first known value": (
        [
            run(status="succeeded", updated_at=LATE, project=None, mode=""),
            run(updated_at=EARLY, project="p", mode="2loop", user_id="u"),
            run(updated_at="2025-11-20T10:30:00Z", project="q", user_id="v", environment="e"),
        ],
        {"status": "succeeded", "project": "p", "mode": "2loop", "user_id": "u", "environment": "e"},
    ),
    "each attribute the first known value": (
        [
            {**run(updated_at=LATE, x=1, y=None), "a/b": [1]},
            {**run(updated_at=EARLY, x=2, y={"k": None}), "a~b": "t", "a/b": 0, "ü": True},
        ],
        {"attributes": {"x": 1, "y": {"k": None}, "a/b": [1], "a~b": "t", "ü": True}},
    ),
    "tokens come from one record": (
        [
            of_model("a", updated_at=LATE, output_tokens=1),
            of_model("b", updated_at=EARLY, input_tokens=5, output_tokens=9, reasoning_tokens=2),
        ],
        {"input_tokens": None, "output_tokens": 1, "reasoning_tokens": None, "total_tokens": 1},
    ),
    "cost comes with the tokens": (
        [
            of_model("a", updated_at=LATE, cost_usd=9),
            of_model("b", updated_at=EARLY, output_tokens=1, cost_usd=2),
            of_model("c", updated_at="2025-11-20T10:30:00Z", output_tokens=7, cost_usd=3),
        ],
        {"cost_usd": Decimal(2), "output_tokens": 1},
    ),
    "no cost with the tokens: from the first without tokens": (
        [
            of_model("a", updated_at=LATE, output_tokens=1),
            of_model("b", updated_at=EARLY, output_tokens=7, cost_usd=3),
            of_model("c", updated_at="2025-11-20T10:30:00Z", cost_usd=4),
        ],
        {"cost_usd": Decimal(4), "cost_source": "reported"},
    ),
    "a cost beside other tokens is none": (
        [of_model("a", updated_at=LATE, output_tokens=1), of_model("b", updated_at=EARLY, output_tokens=7, cost_usd=3)],
        {"cost_usd": None, "cost_source": "unpriced"},
    ),
    "errors of the winner alone": (
        [
            run(status="succeeded", updated_at=LATE),
            run(status="failed", updated_at=EARLY, error_type="Timeout", error_message="late", project="p"),
        ],
        {"status": "succeeded", "error_type": None, "error_message": None, "project": "p"},
    ),
    "a call's error of the winner alone": (
        [call(status="ok", updated_at=LATE), call(status="error", updated_at=EARLY, error_type="Timeout")],
        {"status": "ok", "error_type": None},
    ),
    "resolved_at of the winner alone": (
        [support(updated_at=LATE), support(status="resolved", updated_at=EARLY, resolved_at=EARLY, step_count=3)],
        {"status": "open", "resolved_at": None, "step_count": 3},
    ),
    "a duration follows from start and end of different records": (
        [
            call(updated_at=LATE, started_at="2025-11-20T10:00:00Z"),
            call(updated_at=EARLY, started_at="2025-11-20T09:00:00Z", ended_at="2025-11-20T10:00:02.5Z"),
        ],
        {"started_at": at("10:00:00"), "ended_at": at("10:00:02.5"), "duration_ms": 2500.0},
    ),
    "an end before the start of another record is unknown": (
        [
            call(updated_at=LATE, started_at="2025-11-20T10:00:00Z"),
            call(updated_at=EARLY, started_at="2025-11-20T09:00:00Z", duration_ms=5),
        ],
        {"ended_at": None, "duration_ms": None},
    ),
    "an end of a job before the start of another record is unknown": (
        [
            job(updated_at=LATE, started_at="2025-11-20T10:30:00Z"),
            job(updated_at=EARLY, finished_at="2025-11-20T10:10:00Z"),
        ],
        {"started_at": at("10:30:00"), "finished_at": None},
    ),
    "a record that adds nothing but its words": (
        [of_model("a", note="1", updated_at=LATE), of_model("a", note="2", updated_at=EARLY)],
        {"attributes": {"note": "1"}},
    ),
    "inputs of one length and different shape": (
        [run(input={"a": [1, 2]}), run(input={"b": {"c": 1}}), run(input=[1, 2, 3, 4, 5, 6])],
        {"input_chars": 13},
    ),
}


def _named(name: str, version: Record) -> Record:
    """A version of the case's own key."""
    key = schema.records()[version["record"]].grain[0]
    return {**version, key: name, "run_id": name} if "run_id" in version else {**version, key: name}


def _row(home: Home, name: str) -> Record:
    kind = CASES[name][0][0]["record"]
    row = home.row(schema.records()[kind].name, name)
    row["attributes"] = json.loads(row["attributes"]) if row["attributes"] else {}
    return {column: value for column, value in row.items() if column not in OF_READING}


@pytest.fixture(scope="module")
def orders(homes: Homes) -> Iterator[list[Home]]:
    """Homes in which all cases' versions arrived one load after the other, in either order, and at once."""
    made = []
    for pieces in ([[0], [1], [2]], [[2], [1], [0]], [[1, 2, 0]]):
        home = homes.new()
        for piece in pieces:
            home.load_lines(
                *(
                    _named(name, versions[which])
                    for which in piece
                    for name, (versions, _) in CASES.items()
                    if which < len(versions)
                )
            )
        made.append(home)
    yield made
    homes.clear()


@pytest.mark.parametrize("name", CASES)
def test_the_row_of_a_key(orders: list[Home], name: str) -> None:
    rows = [_row(home, name) for home in orders]
    for row in rows:
        assert row == rows[0]
        assert {column: row[column] for column in CASES[name][1]} == CASES[name][1]


def test_a_duration_keeps_its_digits_whatever_implied_its_run(homes: Homes) -> None:
    """A run that takes the place of an implied one is a single record, and is not merged with anything."""
    ended = run(ended_at="2025-11-20T10:00:01Z")
    first, last = homes.new(), homes.new()
    first.load_lines(call(duration_ms=1.23456789), ended)
    last.load_lines(call(duration_ms=1.23456789))
    last.load_lines(ended)
    assert first.content() == last.content()
    assert first.row("calls", "c1")["duration_ms"] == 1.23456789
    homes.clear()


def test_a_losing_version_fills_in_when_the_winner_changes(home: Home) -> None:
    home.load_lines(run(updated_at=EARLY, project="p", mode="m"))
    home.load_lines(run(updated_at=LATE, project="q"))
    home.load_lines(run(updated_at="2025-11-20T13:00:00Z", status="failed"))
    row = home.row("runs", "r1")
    assert (row["status"], row["project"], row["mode"]) == ("failed", "q", "m")
    assert home.rows("SELECT count(*) FROM state.versions_run") == [(3,)]


def test_a_key_with_one_version_keeps_none_apart(home: Home) -> None:
    home.load_lines(run(), call())
    home.load_lines(run(), call())
    assert home.rows("SELECT count(*) FROM state.versions_run") == [(0,)]
    assert home.rows("SELECT count(*) FROM state.versions_call") == [(0,)]
