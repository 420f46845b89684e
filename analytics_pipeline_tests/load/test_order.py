"""The same records give the same log tier, whatever their order, pieces and repetitions: that of the reference."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analytics_pipeline import schema
from analytics_pipeline_tests.load import reference
from analytics_pipeline_tests.load.conftest import Home, Homes, Record

TABLES = {**{kind: table.name for kind, table in schema.records().items()}, "session": "sessions"}
WHOLE_SECONDS = [f"2025-11-20T10:00:{second:02}Z" for second in (0, 1, 2, 30)]
TAGS: list[list[Any]] = [["x"], ["y", 1]]
UNKNOWN_VALUES: list[Any] = [1, [1, {"x": None}], "ü"]
ORG_OF_RUN: dict[str, list[str | None]] = {
    "r1": [None],
    "r2": ["default"],
    "r3": ["acme"],
    "r4": [None, "acme"],
    "r5": [None, "default"],
}
"""What each run's records may say of its org: never two different ones."""


def _some(strategies: dict[str, st.SearchStrategy[Any]]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: st.none() | strategy for name, strategy in strategies.items()}


_time = st.sampled_from(WHOLE_SECONDS)
_word: st.SearchStrategy[Any] = st.sampled_from(["a", "b"])
_count = st.integers(0, 3)
_cost: st.SearchStrategy[Any] = st.sampled_from([0, 0.25, 1.5, "0.000000001"])
_unknown: dict[str, st.SearchStrategy[Any]] = {"note": _word, "a/b~c": st.sampled_from(UNKNOWN_VALUES), "zz": _count}
_run_id = st.sampled_from(sorted(ORG_OF_RUN))

_run = _run_id.flatmap(
    lambda run_id: st.fixed_dictionaries(
        {
            "record": st.just("run"),
            "run_id": st.just(run_id),
            "started_at": _time,
            "status": st.sampled_from(["running", "failed", "succeeded"]),
            "org_id": st.sampled_from(ORG_OF_RUN[run_id]),
        },
        optional=_some(
            {
                "updated_at": _time,
                "ended_at": _time,
                "session_id": st.sampled_from(["s1", "r3"]),
                "parent_run_id": _run_id,
                "project": _word,
                "pipeline_id": _word,
                "genus_hash": _word,
                "agent_id": _word,
                "error_type": _word,
                "error_message": _word,
                "input_chars": st.sampled_from([10, 600]),
                "tags": st.sampled_from(TAGS),
                **_unknown,
            }
        ),
    )
)
_call = st.fixed_dictionaries(
    {
        "record": st.just("call"),
        "call_id": st.sampled_from(["c1", "c2", "c3"]),
        "run_id": _run_id,
        "kind": st.sampled_from(["llm", "tool", "stage"]),
        "started_at": _time,
    },
    optional=_some(
        {
            "updated_at": _time,
            "ended_at": _time,
            "duration_ms": st.sampled_from([0, 1.23456789, 1000, -1]),
            "status": st.sampled_from(["ok", "error"]),
            "error_type": _word,
            "name": _word,
            "model": _word,
            "agent_id": _word,
            "cost_usd": _cost,
            "input_tokens": _count,
            "cache_read_tokens": _count,
            "output_tokens": _count,
            "total_tokens": _count,
            **_unknown,
        }
    ),
)
_job = st.fixed_dictionaries(
    {"record": st.just("job"), "job_id": st.just("j1"), "state": st.sampled_from(["queued", "completed"])}
    | {"queued_at": _time},
    optional=_some({"updated_at": _time, "started_at": _time, "finished_at": _time, "project": _word, **_unknown}),
)
_support = st.fixed_dictionaries(
    {"record": st.just("support_session"), "session_id": st.just("u1"), "created_at": _time}
    | {"status": st.sampled_from(["open", "resolved"])},
    optional=_some({"updated_at": _time, "resolved_at": _time, "step_count": _count, "problem_domain": _word}),
)
_qa = st.fixed_dictionaries(
    {"record": st.just("qa"), "run_id": _run_id, "status": st.sampled_from(["passed", "failed"]), "checked_at": _time},
    optional=_some({"updated_at": _time, "name": _word, "score": st.sampled_from([0.5, 1, 10])}),
)
record_lists = st.lists(st.one_of(_run, _run, _call, _call, _call, _job, _support, _qa), min_size=8, max_size=40)
deals = st.randoms(use_true_random=False)
PROPERTY = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # making an example smaller would take minutes
)


def the_same_in_pieces(homes: Homes, found: list[Record], deal: random.Random) -> None:
    """Load records at once; then some of them twice, shuffled, in pieces of one to all records, in other files."""
    at_once, in_pieces = homes.new(), homes.new()
    at_once.load_lines(*found)
    assert at_once.rejects() == []
    dealt = [*found, *deal.sample(found, len(found) // 3)]
    deal.shuffle(dealt)
    while dealt:
        size = deal.choice([1, 2, len(found)])
        in_pieces.load_lines(*dealt[:size])
        dealt = dealt[size:]
        if len(list(in_pieces.logs.iterdir())) == 2:  # the rest as files of their own, loaded together
            for number, record in enumerate(dealt):
                in_pieces.write(f"rest{number}.jsonl", record)
            in_pieces.load()
            break
    assert in_pieces.content() == at_once.content()
    assert_is_reference(at_once, found)
    homes.clear()


def assert_is_reference(home: Home, found: list[Record]) -> None:
    """The tables hold what the reference comes to."""
    tables = home.tables(*TABLES.values())
    for kind, expected in reference.log_tier(found).items():
        rows = tables[TABLES[kind]]
        keys = schema.TABLES[TABLES[kind]].grain
        assert {tuple(row[name] for name in keys) for row in rows} == expected.keys(), kind
        for row in rows:
            wanted = expected[tuple(row[name] for name in keys)]
            got = {name: _plain(name, row[name]) for name in row if name in wanted or name in _stated(kind)}
            assert got == {name: _plain(name, wanted.get(name)) for name in got}, kind


def _stated(kind: str) -> set[str]:
    return {"attributes", *(c.name for c in schema.records()[kind].columns if c.field)} if kind != "session" else set()


def _plain(name: str, value: object) -> object:
    if name in ("attributes", "tags"):
        return json.loads(value) if isinstance(value, str) else value or {}
    return value


@PROPERTY
@given(record_lists, deals)
def test_order_and_pieces_do_not_matter(homes: Homes, found: list[Record], deal: random.Random) -> None:
    the_same_in_pieces(homes, found, deal)


@pytest.mark.fuzz
@settings(PROPERTY, max_examples=60)
@given(record_lists, deals)
def test_order_and_pieces_do_not_matter_at_length(homes: Homes, found: list[Record], deal: random.Random) -> None:
    the_same_in_pieces(homes, found, deal)
