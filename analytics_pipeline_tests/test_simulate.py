"""The simulator's promises: the same bytes, valid records, and incidents that are really in the data."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_pipeline.simulate import FILES, MODELS, UNPRICED, simulate

END = datetime(2026, 11, 21, 14, 30, 12, 345678, tzinfo=UTC)
Record = dict[str, Any]

# A validator of its own, written from contract.md §3: type by field, "!" for required, words for closed sets.
QA = "passed warning failed error not_run"
TEXT = "text"
CONTRACT: dict[str, dict[str, str]] = {
    "run": {
        "run_id": "text!", "started_at": "time!", "status": "queued running succeeded failed cancelled !",
        "queued_at": "time", "ended_at": "time", "session_id": TEXT, "parent_run_id": TEXT, "org_id": TEXT,
        "project": TEXT, "pipeline_id": TEXT, "genus_hash": TEXT, "species_hash": TEXT, "agent_id": TEXT, "mode": TEXT,
        "error_type": TEXT, "error_message": TEXT, "input": "json", "input_chars": "int", "qa_status": QA,
        "human_effort_level": "LOW MEDIUM HIGH", "user_id": TEXT, "environment": TEXT, "tags": "json",
        "trace_id": TEXT, "host": TEXT, "sdk": TEXT,
    },
    "call": {
        "call_id": "text!", "run_id": "text!", "kind": "llm tool stage embedding retrieval !", "started_at": "time!",
        "ended_at": "time", "duration_ms": "number", "parent_call_id": TEXT, "name": TEXT, "agent_id": TEXT,
        "provider": TEXT, "model": TEXT, "status": "ok error", "error_type": TEXT, "input_tokens": "int",
        "cache_read_tokens": "int", "cache_write_5m_tokens": "int", "cache_write_1h_tokens": "int",
        "output_tokens": "int", "reasoning_tokens": "int", "cost_usd": "number", "time_to_first_token_ms": "number",
        "browser_used": "bool", "retry_of": TEXT,
    },
    "job": {
        "job_id": "text!", "state": "queued running completed failed cancelled !", "queued_at": "time!",
        "started_at": "time", "finished_at": "time", "project": TEXT, "org_id": TEXT, "run_id": TEXT,
    },
    "qa": {"run_id": "text!", "name": TEXT, "status": QA + " !", "score": "number", "checked_at": "time!"},
    "support_session": {
        "session_id": "text!", "org_id": TEXT, "status": "open resolved escalated requesting_escalation abandoned !",
        "created_at": "time!", "resolved_at": "time", "problem_domain": TEXT,
        "confidence_tier": "guided exploring discovery", "step_count": "int", "session_rating": "int", "flow_id": TEXT,
        "ticket_id": TEXT,
    },
    "flow": {
        "flow_id": "text!", "org_id": TEXT, "name": TEXT, "problem_domain": TEXT,
        "origin": "manual ai_generated ai_enhanced", "created_at": "time!",
    },
    "flow_choice": {
        "choice_id": "text!", "session_id": "text!", "flow_id": TEXT, "step_id": TEXT, "option_id": TEXT,
        "option_text": TEXT, "chosen_at": "time!", "led_to": "resolved escalated abandoned back next",
    },
    "flow_proposal": {
        "proposal_id": "text!", "org_id": TEXT, "kind": "new_flow enhancement",
        "status": "pending approved modified rejected dismissed !", "problem_domain": TEXT, "source_session_id": TEXT,
        "created_at": "time!", "reviewed_at": "time", "reviewed_by": TEXT, "title": TEXT, "target_flow_id": TEXT,
        "supporting_sessions": "int", "steps": "json",
    },
    "ticket_post": {
        "post_id": "text!", "session_id": "text!", "status": "success failed !", "retry_count": "int",
        "posted_at": "time!", "hours_logged": "number",
    },
}  # fmt: skip
KEYS = {
    "run": ("run_id",), "call": ("call_id",), "job": ("job_id",), "qa": ("run_id", "name"),
    "support_session": ("session_id",), "flow": ("flow_id",), "flow_choice": ("choice_id",),
    "flow_proposal": ("proposal_id",), "ticket_post": ("post_id",),
}  # fmt: skip
TYPES: dict[str, tuple[Any, ...]] = {"text": (str,), "int": (int,), "number": (int, float), "json": (dict, list)}
SPANS = (("started_at", "ended_at"), ("started_at", "finished_at"), ("created_at", "resolved_at"),
         ("created_at", "reviewed_at"), ("queued_at", "started_at"))  # fmt: skip


def _records(folder: Path) -> Iterator[Record]:
    for name in FILES:
        with (folder / name).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _at(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def _check(record: Record, end: datetime) -> None:
    """Assert that one record keeps the contract's rules and the end of the world."""
    fields = CONTRACT[record["record"]]
    assert record.keys() - {"record"} <= fields.keys(), record
    assert {name for name, rule in fields.items() if rule.endswith("!")} <= record.keys(), record
    for name in record.keys() - {"record"}:
        rule, value = fields[name].rstrip("!").strip(), record[name]
        if rule == "time":
            assert _at(value) <= end, record
        elif rule == "bool":
            assert isinstance(value, bool), record
        elif rule in TYPES:
            assert isinstance(value, TYPES[rule]), record
            assert not isinstance(value, bool), record
            assert rule not in ("int", "number") or value >= 0, record
        else:
            assert value in rule.split(), record
    for first, last in SPANS:
        if first in record and last in record:
            assert _at(record[first]) <= _at(record[last]), record


@dataclass
class Logs:
    """A simulated world read back: truth by kind, runs and calls by id, records by kind."""

    truth: dict[str, Record]
    runs: dict[str, Record]
    calls: dict[str, Record]
    kinds: Counter[str]
    folder: Path

    def usd(self, call: Record) -> float:
        """What a call costs, reported or by the simulator's own list."""
        if "cost_usd" in call or "model" not in call:
            return float(call.get("cost_usd", 0.0))
        price = next(m for m in MODELS if m.name == call["model"])
        rates = {
            "input_tokens": price.input, "cache_read_tokens": price.cache_read, "output_tokens": price.output,
            "cache_write_5m_tokens": price.cache_write, "cache_write_1h_tokens": 2 * price.input,
            "reasoning_tokens": price.output,
        }  # fmt: skip
        return float(sum(call.get(name, 0) * rate for name, rate in rates.items())) / 1e6

    def by_run(self) -> dict[str, float]:
        """USD by run."""
        usd: dict[str, float] = defaultdict(float)
        for call in self.calls.values():
            usd[call["run_id"]] += self.usd(call)
        return usd

    def weeks(self, kind: str) -> tuple[list[Record], list[Record]]:
        """Runs of an incident's pipeline before it and in it."""
        incident = self.truth[kind]
        runs = [run for run in self.runs.values() if run["pipeline_id"] == incident["scope"]["pipeline_id"]]
        since = _at(incident["from"])
        return [r for r in runs if _at(r["started_at"]) < since], [r for r in runs if _at(r["started_at"]) >= since]


def _logs(folder: Path) -> Logs:
    by_kind: dict[str, list[Record]] = defaultdict(list)
    for record in _records(folder):
        by_kind[record["record"]].append(record)
    truth = json.loads((folder / "truth.json").read_text())
    return Logs(
        {incident["kind"]: incident for incident in truth},
        {run["run_id"]: run for run in by_kind["run"]},
        {call["call_id"]: call for call in by_kind["call"]},
        Counter({kind: len(records) for kind, records in by_kind.items()}),
        folder,
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """The world of `make run`: 35 days, 400 runs a day."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, end=END)
    return _logs(folder)


def _hash(folder: Path) -> str:
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in (*FILES, "truth.json"))).hexdigest()


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    other_zone = END.astimezone(timezone(timedelta(hours=5, minutes=45)))
    worlds: dict[str, Record] = {
        "once": {}, "again": {}, "zone": {"end": other_zone}, "seed": {"seed": 8}, "end": {"end": END - timedelta(1)},
        "calls": {"calls_per_run": 3.0},
    }  # fmt: skip
    hashes = {}
    for name, arguments in worlds.items():
        simulate(tmp_path / name, **{"days": 15, "runs_per_day": 40, "end": END, **arguments})
        hashes[name] = _hash(tmp_path / name)
    assert hashes["once"] == hashes["again"] == hashes["zone"]
    assert len(set(hashes.values())) == 4


@settings(max_examples=25, deadline=None)
@given(
    days=st.integers(1, 40), runs_per_day=st.floats(0.01, 25), seed=st.integers(0, 2**31),
    end=st.datetimes(datetime(2001, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    calls_per_run=st.floats(1, 20),
)  # fmt: skip
@example(days=35, runs_per_day=60.0, seed=7, end=datetime(2026, 12, 1, tzinfo=UTC), calls_per_run=8.0)
def test_any_world_is_valid(
    tmp_path_factory: pytest.TempPathFactory, days: int, runs_per_day: float, seed: int, end: datetime,
    calls_per_run: float,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("world")
    summary = simulate(folder, days=days, runs_per_day=runs_per_day, seed=seed, end=end, calls_per_run=calls_per_run)
    records = list(_records(folder))
    for record in records:
        _check(record, end)
    counts = Counter(record["record"] for record in records)
    assert counts == Counter(summary["records"])
    assert counts["run"] == max(1, round(runs_per_day * days))
    assert all(_at(incident["from"]) < _at(incident["to"]) <= end for incident in summary["incidents"])


def test_every_record_is_valid_and_its_key_unique(logs: Logs) -> None:
    keys = Counter()  # type: ignore[var-annotated]
    for record in _records(logs.folder):
        _check(record, END)
        keys[(record["record"], *(record[name] for name in KEYS[record["record"]]))] += 1
    assert max(keys.values()) == 1
    assert logs.kinds.keys() == CONTRACT.keys()


def test_counts_and_shape(logs: Logs) -> None:
    assert logs.kinds["run"] == 35 * 400
    assert logs.kinds["call"] == pytest.approx(8 * 35 * 400, rel=0.02)
    assert (logs.folder / "calls.jsonl").stat().st_size / logs.kinds["call"] <= 350
    statuses = Counter(run["status"] for run in logs.runs.values())
    assert statuses.keys() == {"succeeded", "failed", "cancelled", "running"}
    days = Counter(_at(run["started_at"]).weekday() for run in logs.runs.values())
    assert days[6] < 0.6 * days[2]
    assert len({run["pipeline_id"] for run in logs.runs.values()}) >= 12
    assert len({run["agent_id"] for run in logs.runs.values()}) == 8
    assert 0 < sum(run.get("org_id") == "northwind" for run in logs.runs.values()) < 0.1 * 35 * 400


def test_references_hold(logs: Logs) -> None:
    for call in logs.calls.values():
        run = logs.runs[call["run_id"]]
        assert _at(run["started_at"]) <= _at(call["started_at"])
        end = _at(call["started_at"]) + timedelta(milliseconds=call.get("duration_ms", 0))
        end = _at(call["ended_at"]) if "ended_at" in call else end
        assert end <= (_at(run["ended_at"]) if "ended_at" in run else END)
        if "parent_call_id" in call:
            parent = logs.calls[call["parent_call_id"]]
            assert parent["kind"] == "stage"
            assert parent["run_id"] == call["run_id"]
            assert _at(parent["started_at"]) <= _at(call["started_at"])
            assert end <= _at(parent["ended_at"])
        if "retry_of" in call:
            failed = logs.calls[call["retry_of"]]
            assert (failed["name"], failed["status"]) == (call["name"], "error")
    for run in logs.runs.values():
        if "parent_run_id" in run:
            parent = logs.runs[run["parent_run_id"]]
            assert parent["pipeline_id"] == run["pipeline_id"]
            assert "session_id" in parent
            assert _at(parent["started_at"]) <= _at(run["started_at"])
        assert ("ended_at" in run) == (run["status"] != "running")
        assert ("error_type" in run) == (run["status"] == "failed")


def test_sessions_and_inputs(logs: Logs) -> None:
    sessions = Counter(run["session_id"] for run in logs.runs.values() if "session_id" in run)
    assert len(sessions) > 500
    assert max(sessions.values()) >= 3
    inputs = [run["input"] for run in logs.runs.values() if "input" in run]
    sizes = [len(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))) for value in inputs]
    assert 1_000 < len(inputs) < 7_000
    assert min(sizes) >= 150
    assert max(sizes) <= 2_500


def test_calls_look_like_calls(logs: Logs) -> None:
    calls = list(logs.calls.values())
    assert all(("input_tokens" in call) == (call["kind"] in ("llm", "embedding")) for call in calls)
    assert all("cost_usd" in call for call in calls if call["kind"] == "retrieval")
    reported = [c for c in calls if c["kind"] == "llm" and "cost_usd" in c]
    assert 0.1 < len(reported) / sum(c["kind"] == "llm" for c in calls) < 0.6
    for field in ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens",
                  "time_to_first_token_ms", "browser_used", "retry_of", "error_type"):  # fmt: skip
        assert any(field in call for call in calls), field
    for call in reported:
        bare = {k: v for k, v in call.items() if k != "cost_usd"}
        assert call["cost_usd"] == pytest.approx(logs.usd(bare), rel=1e-4, abs=1e-7)


def test_prices_are_those_of_the_price_list() -> None:
    from genai_prices import Usage, calc_price

    tokens = 10**5  # below the size from which some models have another price
    for model in MODELS[:UNPRICED]:
        usages = {
            "input": Usage(input_tokens=tokens), "output": Usage(output_tokens=tokens),
            "cache_read": Usage(input_tokens=tokens, cache_read_tokens=tokens),
        }  # fmt: skip
        for field, usage in usages.items():
            price = calc_price(usage, model.name, provider_id=model.provider, genai_request_timestamp=END)
            assert float(price.total_price) * 10 == pytest.approx(getattr(model, field)), (model.name, field)
    with pytest.raises(LookupError):
        calc_price(Usage(input_tokens=1), MODELS[UNPRICED].name, provider_id=MODELS[UNPRICED].provider)


def test_truth_lists_what_is_planted(logs: Logs) -> None:
    assert logs.truth.keys() == {
        "cost_spike", "degrading_tool", "failing_pipeline", "slow_model", "input_growth", "unpriced_model",
        "runaway_session", "budget",
    }  # fmt: skip
    for incident in logs.truth.values():
        assert {"kind", "org_id", "scope", "from", "to", "severity", "expected_types"} <= incident.keys()
        assert _at(incident["from"]) < _at(incident["to"]) <= END


def test_cost_spike(logs: Logs) -> None:
    scope, since = logs.truth["cost_spike"]["scope"], _at(logs.truth["cost_spike"]["from"])
    usd: dict[bool, list[float]] = {False: [], True: []}
    for call in logs.calls.values():
        run = logs.runs[call["run_id"]]
        if call.get("model") == scope["model"] and run["pipeline_id"] == scope["pipeline_id"]:
            usd[_at(run["started_at"]) >= since].append(logs.usd(call))
    assert mean(usd[True]) / mean(usd[False]) == pytest.approx(3, rel=0.25)


def test_runaway_session(logs: Logs) -> None:
    usd = logs.by_run()
    runaway = logs.runs[logs.truth["runaway_session"]["scope"]["session_id"]]
    assert "session_id" not in runaway
    assert "parent_run_id" not in runaway
    peers = [usd[r["run_id"]] for r in logs.runs.values() if r["pipeline_id"] == runaway["pipeline_id"]]
    assert usd[runaway["run_id"]] == max(peers) > 10 * median(peers)


def test_degrading_tool(logs: Logs) -> None:
    scope, since = logs.truth["degrading_tool"]["scope"], _at(logs.truth["degrading_tool"]["from"])
    ok: dict[bool, list[bool]] = {False: [], True: []}
    for call in logs.calls.values():
        if call["kind"] == "tool" and call["name"] == scope["name"]:
            ok[_at(logs.runs[call["run_id"]]["started_at"]) >= since].append(call["status"] == "ok")
    assert mean(ok[False]) > 0.95
    assert 0.45 < mean(ok[True]) < 0.7
    assert mean(ok[False] + ok[True]) > 0.8


def test_failing_pipeline(logs: Logs) -> None:
    before, during = logs.weeks("failing_pipeline")
    assert 0.25 < mean(run["status"] == "failed" for run in during) < 0.4
    assert mean(run["status"] == "failed" for run in before) < 0.06
    others = [
        r for r in logs.runs.values() if r["pipeline_id"] != logs.truth["failing_pipeline"]["scope"]["pipeline_id"]
    ]
    assert 0.015 < mean(run["status"] == "failed" for run in others) < 0.045


def test_slow_model(logs: Logs) -> None:
    model, since = logs.truth["slow_model"]["scope"]["model"], _at(logs.truth["slow_model"]["from"])
    ms: dict[bool, list[float]] = {False: [], True: []}
    for call in logs.calls.values():
        if call.get("model") == model:
            ms[_at(call["started_at"]) >= since].append(call["duration_ms"])
    assert mean(ms[True]) / mean(ms[False]) == pytest.approx(2, rel=0.3)


def test_input_growth(logs: Logs) -> None:
    before, during = logs.weeks("input_growth")
    size = [median(run["input_chars"] for run in runs if "input_chars" in run) for runs in (before, during)]
    assert size[1] / size[0] > 1.7
    usd = logs.by_run()
    per_run = [mean(usd[run["run_id"]] for run in runs) for runs in (before, during)]
    assert per_run[1] / per_run[0] < 1.6


def test_unpriced_model(logs: Logs) -> None:
    scope = logs.truth["unpriced_model"]["scope"]
    calls = [call for call in logs.calls.values() if call.get("model") == scope["model"]]
    assert calls
    assert all("cost_usd" not in call and call["provider"] == scope["provider"] for call in calls)


def test_budget_is_about_to_break(logs: Logs) -> None:
    incident, usd = logs.truth["budget"], logs.by_run()
    month = END.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    runs = [run for run in logs.runs.values() if run["project"] == incident["scope"]["project"]]
    spent = sum(usd[run["run_id"]] for run in runs if _at(run["started_at"]) >= month)
    daily = sum(usd[run["run_id"]] for run in runs if _at(run["started_at"]) >= END - timedelta(28)) / 28
    assert spent < incident["budget_monthly"] < spent + daily * 9.4


def test_short_worlds_plant_what_fits(tmp_path: Path) -> None:
    few = simulate(tmp_path / "few", days=1, runs_per_day=3, end=END)
    assert few["records"]["run"] == 3
    assert few["incidents"] == []
    week = simulate(tmp_path / "week", days=7, runs_per_day=600, end=END)
    assert {"failing_pipeline", "unpriced_model", "degrading_tool"} <= {i["kind"] for i in week["incidents"]}
    assert not {"cost_spike", "slow_model", "input_growth"} & {i["kind"] for i in week["incidents"]}


def test_chunks_leave_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics_pipeline.simulate.CALLS_PER_CHUNK", 800)
    seen: list[float] = []
    simulate(tmp_path, days=15, runs_per_day=100, end=END, progress=seen.append)
    assert len(seen) == 15
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    test_references_hold(_logs(tmp_path))


def test_twenty_thousand_records_are_quick(tmp_path: Path) -> None:
    started = time.perf_counter()
    summary = simulate(tmp_path, days=7, runs_per_day=300, end=END)
    assert sum(summary["records"].values()) > 20_000
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"days": 0}, "days"),
        ({"runs_per_day": 0}, "runs_per_day"),
        ({"runs_per_day": float("nan")}, "runs_per_day"),
        ({"calls_per_run": 0.5}, "calls_per_run"),
        ({"end": END.replace(tzinfo=None)}, "offset"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path, **{"end": END, **arguments})
