"""What follows from a record for others: implied runs, inherited sessions, sums, session facts, orgs apart."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import permutations

import pytest

from analytics_pipeline_tests.load.conftest import Home, Options, Record, at, call, run

PLACE = ("session_id", "org_id", "project", "pipeline_id")


def test_a_call_alone_implies_its_run(home: Home) -> None:
    home.load_lines(call("c1", started_at="2025-11-20T10:00:05Z"), call("c2", started_at="2025-11-20T10:00:03Z"))
    row = home.row("runs", "r1")
    assert (row["source"], row["status"], row["started_at"]) == ("implied", "running", at("10:00:03"))
    assert (row["session_id"], row["org_id"], row["llm_calls"], row["ended_at"]) == ("r1", "default", 2, None)
    home.load_lines(call("c3", started_at="2025-11-20T10:00:01Z"))
    assert home.row("runs", "r1")["started_at"] == at("10:00:01")


def test_an_implied_run_starts_with_the_first_call_of_the_org_its_calls_name(home: Home) -> None:
    home.load_lines(call("c1"), call("c2", org_id="acme"))
    assert home.row("runs", "r1")["org_id"] == "acme"
    assert home.rows("SELECT DISTINCT org_id FROM calls") == [("acme",)]


def test_calls_follow_the_real_run_when_it_comes(home: Home) -> None:
    home.load_lines(call("c1"), call("c2", agent_id="own"))
    home.load_lines(run(session_id="s", org_id="acme", project="p", pipeline_id="q", agent_id="a", status="failed"))
    row = home.row("runs", "r1")
    assert (row["source"], row["status"], row["started_at"]) == ("canonical", "failed", at("10:00:00"))
    for call_id, agent in (("c1", "a"), ("c2", "own")):
        found = home.row("calls", call_id)
        assert [found[name] for name in PLACE] == ["s", "acme", "p", "q"]
        assert found["agent_id"] == agent
    assert home.rows("SELECT org_id, session_id, runs FROM sessions") == [("acme", "s", 1)]


def test_calls_follow_a_run_that_changes(home: Home) -> None:
    home.load_lines(run(session_id="s", project="p"), call())
    home.load_lines(run(session_id="t", project="q", updated_at="2025-11-20T12:00:00Z"))
    assert (home.row("calls", "c1")["session_id"], home.row("calls", "c1")["project"]) == ("t", "q")
    assert home.rows("SELECT session_id FROM sessions") == [("t",)]


def test_a_call_that_moves_takes_its_implied_run_along(home: Home) -> None:
    home.load_lines(call(run_id="r1", cost_usd=1))
    home.load_lines(call(run_id="r2", status="ok"))
    assert home.rows("SELECT run_id, cost_usd FROM runs") == [("r2", Decimal(1))]
    assert home.rows("SELECT session_id FROM sessions") == [("r2",)]


def test_a_call_that_moves_leaves_a_real_run_without_it(home: Home) -> None:
    home.load_lines(run("r1"), run("r2"), call(run_id="r1", cost_usd=1))
    home.load_lines(call(run_id="r2", status="ok"))
    assert home.rows("SELECT run_id, cost_usd, llm_calls FROM runs ORDER BY 1") == [
        ("r1", None, 0),
        ("r2", Decimal(1), 1),
    ]


# --- sessions through parents -----------------------------------------------------------------------------------------

FAMILY = [
    run("root", session_id="s"),
    run("child", parent_run_id="root"),
    run("grandchild", parent_run_id="child"),
    run("orphan", parent_run_id="unknown"),
    run("self", parent_run_id="self"),
    run("circle1", parent_run_id="circle2"),
    run("circle2", parent_run_id="circle1"),
    run("into_circle", parent_run_id="circle1"),
    run("parent_acme", org_id="acme", session_id="s"),
    run("child_of_acme", parent_run_id="parent_acme"),
    run("child_in_acme", parent_run_id="parent_acme", org_id="acme"),
    run("named", parent_run_id="root", session_id="own"),
    run("below_named", parent_run_id="named"),
    run("below_implied", parent_run_id="implied"),
    call("c_root", "root"),
    call("c_grandchild", "grandchild"),
    call("c_implied", "implied"),
]
SESSIONS = {
    "root": "s",
    "child": "s",
    "grandchild": "s",
    "orphan": "orphan",
    "self": "self",
    "circle1": "circle1",
    "circle2": "circle2",
    "into_circle": "into_circle",
    "parent_acme": "s",
    "child_of_acme": "child_of_acme",
    "child_in_acme": "s",
    "named": "own",
    "below_named": "own",
    "implied": "implied",
    "below_implied": "implied",
}


def assert_family(home: Home) -> None:
    assert dict(home.rows("SELECT run_id, session_id FROM runs")) == SESSIONS
    assert dict(home.rows("SELECT run_id, session_id FROM calls")) == {
        run_id: SESSIONS[run_id] for run_id in ("root", "grandchild", "implied")
    }
    counted = home.rows("SELECT org_id, session_id, runs FROM sessions WHERE session_id IN ('s', 'own') ORDER BY ALL")
    assert counted == [("acme", "s", 2), ("default", "own", 2), ("default", "s", 3)]


def test_sessions_come_from_parents(home: Home) -> None:
    home.load_lines(*FAMILY)
    assert_family(home)


def test_sessions_come_from_parents_that_come_later(home: Home) -> None:
    for piece in (FAMILY[-1:], FAMILY[::-1][1:9], FAMILY[:8]):
        home.load_lines(*piece)
    assert_family(home)


def test_a_whole_branch_moves_with_its_root(home: Home) -> None:
    branch = [run("r0")] + [run(f"r{depth}", parent_run_id=f"r{depth - 1}") for depth in range(1, 40)]
    home.load_lines(*branch, call("c", "r39"))
    home.load_lines(run("r0", session_id="s", updated_at="2025-11-20T12:00:00Z"))
    assert home.rows("SELECT DISTINCT session_id FROM runs") == [("s",)]
    assert home.row("calls", "c")["session_id"] == "s"


def test_a_parent_that_turns_out_to_be_of_another_org_is_none(home: Home) -> None:
    home.load_lines(run("r0", session_id="s"), run("r1", parent_run_id="r0"))
    home.load_lines(run("r0", session_id="s", org_id="acme"))
    assert home.rows("SELECT run_id, org_id, session_id FROM runs ORDER BY 1") == [
        ("r0", "acme", "s"),
        ("r1", "default", "r1"),
    ]


# --- session facts ----------------------------------------------------------------------------------------------------


def test_session_facts(home: Home) -> None:
    home.load_lines(
        run(
            "late", session_id="s", started_at="2025-11-20T10:05:00Z", ended_at="2025-11-20T10:06:00Z", genus_hash="g2"
        ),
        run(
            "first", session_id="s", ended_at="2025-11-20T10:00:30Z", genus_hash="g1", pipeline_id="q", input="x" * 600
        ),
        run("below", parent_run_id="late", started_at="2025-11-20T09:00:00Z", ended_at="2025-11-20T11:00:00Z"),
        call("c1", "first", model="m1", cost_usd=3, input_tokens=5, cache_read_tokens=1, output_tokens=2),
        call("c2", "below", model="m2", cost_usd=1, reasoning_tokens=4, status="error"),
        call("c3", "below", kind="stage", name="plan"),
        call("c4", "late", kind="stage", name="plan"),
        call("c5", "late", kind="stage", name="do"),
        call("c6", "late", model="m3", total_tokens=100),
        call("c7", "late", kind="tool", name="grep", status="ok"),
    )
    (row,) = home.records("sessions")
    assert (row["created_at"], row["genus_hash"], row["pipeline_id"], row["input_category"]) == (
        at("10:00:00"),
        "g1",
        "q",
        "small",
    )
    assert (row["total_cost"], row["unpriced_calls"], row["runs"]) == (Decimal(4), 1, 3)
    assert row["total_duration_ms"] == 90_000, "that of its top-level runs"
    assert (row["total_tokens"], row["total_tokens_in"], row["total_tokens_out"]) == (112, 6, 6)
    assert (row["message_count"], row["cell_count"], row["error_count"]) == (3, 2, 1)
    assert row["model_mix"] == '{"m1":0.75,"m2":0.25}'


def test_a_session_of_unfinished_runs_without_calls_knows_nothing(home: Home) -> None:
    home.load_lines(run())
    (row,) = home.records("sessions")
    unknown = ("total_cost", "total_duration_ms", "total_tokens", "total_tokens_in", "model_mix", "input_chars")
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert [row[name] for name in ("unpriced_calls", "message_count", "cell_count", "error_count")] == [0] * 4


def test_days_are_those_of_the_reporting_zone(home: Home) -> None:
    home.options = Options(timezone="Asia/Kathmandu")
    home.load_lines(run(started_at="2025-11-19T18:20:00Z"), call(started_at="2025-11-19T18:10:00Z"))
    assert home.row("runs", "r1")["day"] == date(2025, 11, 20)
    assert home.row("runs", "r1")["local_started_at"] == at("00:05:00")
    assert home.row("calls", "c1")["day"] == date(2025, 11, 19)
    assert home.rows("SELECT day, local_created_at FROM sessions") == [(date(2025, 11, 20), at("00:05:00"))]


# --- orgs -------------------------------------------------------------------------------------------------------------


def test_sessions_of_two_orgs_with_one_id_are_two_sessions(home: Home) -> None:
    home.load_lines(
        run("r1", session_id="s", org_id="a"), run("r2", session_id="s", org_id="b"), run("r3", session_id="s")
    )
    assert home.rows("SELECT org_id, runs FROM sessions ORDER BY 1") == [("a", 1), ("b", 1), ("default", 1)]


HELD = "held by a record of org 'a', this one names 'b'"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_key_that_another_org_holds_is_rejected(home: Home, at_once: bool) -> None:
    first: list[Record] = [
        run("r1", org_id="a"),
        call("c1", "r0", org_id="a"),
        {"record": "job", "job_id": "j1", "state": "queued", "queued_at": "2025-11-20T10:00:00Z", "org_id": "a"},
        {"record": "flow", "flow_id": "f1", "created_at": "2025-11-20T10:00:00Z", "org_id": "a"},
    ]
    second = [{**record, "org_id": "b"} for record in first]
    if at_once:
        home.load_lines(*first, "", *second, run("r9"))
        lines = range(6, 10)
    else:
        home.load_lines(*first)
        home.load_lines("", *second, run("r9"))
        lines = range(2, 6)
    rejects = home.rejects()
    assert [(line, reason) for _, line, reason in rejects] == list(
        zip(lines, [f"{key}: {HELD}" for key in ("run_id", "call_id", "job_id", "flow_id")], strict=True)
    )
    assert home.rows('SELECT count(*) FROM rejected_records WHERE raw NOT LIKE \'%"org_id": "b"%\'') == [(0,)]
    assert home.rows("SELECT run_id, org_id FROM runs ORDER BY 1") == [("r0", "a"), ("r1", "a"), ("r9", "default")]


QA = {"record": "qa", "run_id": "r1", "status": "passed", "checked_at": "2025-11-20T11:00:00Z"}
JOB = {"record": "job", "job_id": "j1", "state": "queued", "queued_at": "2025-11-20T10:00:00Z", "run_id": "r1"}


def test_a_run_that_another_org_holds_is_rejected_with_all_that_names_it(home: Home) -> None:
    """Whichever record came first holds the run: its own, a call, a check or a job."""
    firsts: list[Record] = []
    seconds: list[Record] = []
    for number, pair in enumerate(permutations([run(), call(), QA, JOB], 2)):
        for record, org, made in zip(pair, "ab", (firsts, seconds), strict=True):
            keys: Record = {key: f"{key}{number}" for key in ("run_id", "call_id", "job_id") if key in record}
            made.append({**record, **keys, "org_id": org})
    home.load_lines(*firsts)
    result = home.load_lines("", *seconds)
    assert home.rejects() == [("f001.jsonl", line, f"run_id: {HELD}") for line in range(2, 14)]
    assert (result.records, result.rejects, home.files()["f001.jsonl"]) == ({}, 12, (0, 12))


def test_records_that_name_no_org_conflict_with_none(home: Home) -> None:
    home.load_lines(run(org_id="a"), call(), QA, run(status="failed"), call("c2", org_id="a"))
    assert home.rejects() == []
    assert home.rows("SELECT DISTINCT org_id FROM calls") == [("a",)]


def test_in_one_load_the_first_file_holds(home: Home) -> None:
    home.write("1.jsonl", call(org_id="a"))
    home.write("2.jsonl", run(org_id="b"), call("c2", org_id="b"))
    home.load()
    assert [(name, line) for name, line, _ in home.rejects()] == [("2.jsonl", 1), ("2.jsonl", 2)]
    assert home.rows("SELECT org_id, source FROM runs") == [("a", "implied")]
