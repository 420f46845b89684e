"""What the load must come to, by plain Python from contract §3: the tests compare with it.

Belongs here: the merge of a key's versions, implied runs, inherited sessions, session facts. Does not belong here: what
one record means (`analytics_pipeline.records`, tested by itself), prices (no record of these tests has a known model).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics_pipeline import records, schema
from analytics_pipeline_tests.load.conftest import NOW, Record

Row = dict[str, Any]
FINISHED: dict[str, Callable[[Row], bool]] = {
    "run": lambda row: row["status"] in ("succeeded", "failed", "cancelled"),
    "job": lambda row: row["state"] in ("completed", "failed", "cancelled"),
    "call": lambda row: "status" in row or "ended_at" in row,
    "support_session": lambda row: row["status"] in ("resolved", "escalated", "abandoned"),
    "flow_proposal": lambda row: row["status"] != "pending",
}
WINNER_ALONE = {"resolved_at", "error_type", "error_message"}
INPUT_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
OUTPUT_TOKENS = ("output_tokens", "reasoning_tokens")
TOKENS = (*INPUT_TOKENS, *OUTPUT_TOKENS, "total_tokens")
NEVER = datetime(1, 1, 1)  # noqa: DTZ001 - rows hold naive UTC


def merged(found: Iterable[Record]) -> dict[str, dict[tuple[str, ...], Row]]:
    """One row a key of each kind, `attributes` as an object."""
    versions: dict[tuple[str, tuple[str, ...]], list[Row]] = defaultdict(list)
    for record in found:
        normal = records.normalise(record, now=NOW)
        row = {**normal.row, "attributes": json.loads(normal.attributes) if normal.attributes else {}}
        key = tuple(row[name] for name in schema.records()[normal.kind].grain)
        if row not in versions[normal.kind, key]:
            versions[normal.kind, key].append(row)
    made: dict[str, dict[tuple[str, ...], Row]] = {kind: {} for kind in schema.records()}
    for (kind, key), rows in versions.items():
        made[kind][key] = _merge(kind, rows)
    return made


def _merge(kind: str, rows: list[Row]) -> Row:
    table = schema.records()[kind]
    all_updated = all("updated_at" in row for row in rows)
    ranked = sorted(rows, key=lambda row: _rank(kind, row, all_updated), reverse=True)
    winner = ranked[0]
    row: Row = {}
    for version in ranked:
        for name, value in version.items():
            row.setdefault(name, value)
    row["attributes"] = {name: value for version in reversed(ranked) for name, value in version["attributes"].items()}
    for name in WINNER_ALONE & row.keys():
        row[name] = winner.get(name)
    if kind == "call":
        _take_tokens_together(row, ranked)
    if table.ended and len(rows) > 1 and row.get(table.ended):
        start = row.get("started_at") or row[table.start or ""]
        if row[table.ended] < start:
            row[table.ended] = None
        if "duration_ms" in row:
            row["duration_ms"] = (row[table.ended] - start) / timedelta(milliseconds=1) if row[table.ended] else None
    return {name: value for name, value in row.items() if value is not None}


def _rank(kind: str, row: Row, all_updated: bool) -> tuple[Any, ...]:
    ended = schema.records()[kind].ended or ""
    updated = row.get("updated_at", NEVER)
    return (
        updated if all_updated else NEVER,
        kind not in FINISHED or FINISHED[kind](row),
        updated,
        sum(row.get(name, 0) for name in TOKENS) if kind == "call" else 0,
        row.get(ended) or NEVER,
        _sorted_json(kind, row),
    )


def _sorted_json(kind: str, row: Row) -> bytes:
    fields = {
        column.name: column.source_field or column.name for column in schema.records()[kind].columns if column.field
    }
    stated = {fields[name]: value for name, value in row.items() if name in fields} | row["attributes"]
    return json.dumps(stated, sort_keys=True, default=_number_or_text, separators=(",", ":")).encode()


def _number_or_text(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)


def _take_tokens_together(row: Row, ranked: list[Row]) -> None:
    """Tokens from the first version that states any, and cost from it too, else from the first without tokens."""
    stating = next((version for version in ranked if any(name in version for name in TOKENS)), {})
    without = [version for version in ranked if not any(name in version for name in TOKENS)]
    for name in TOKENS:
        row[name] = stating.get(name)
    costs = [version["cost_reported"] for version in (stating, *without) if "cost_reported" in version]
    row["cost_reported"] = costs[0] if costs else None


def log_tier(found: Iterable[Record]) -> dict[str, dict[tuple[str, ...], Row]]:
    """Merged rows with what follows from them: `run` with implied ones, `call` with its run's facts, `session`."""
    made = merged(found)
    runs, calls = made["run"], made["call"]
    _imply_runs(runs, calls)
    for row in runs.values():
        row["org_id"] = row.get("org_id_stated", "default")
    for key, row in runs.items():
        row["session_id"] = _session(key[0], runs)
    for call in calls.values():
        _settle_call(call, runs[call["run_id"],])
    for key, row in runs.items():
        _add_calls(row, [call for call in calls.values() if call["run_id"] == key[0]])
    return {**made, "session": _sessions(runs, calls)}


def _imply_runs(runs: dict[tuple[str, ...], Row], calls: dict[tuple[str, ...], Row]) -> None:
    started: dict[str, datetime] = {}
    for call in calls.values():
        started[call["run_id"]] = min(started.get(call["run_id"], call["started_at"]), call["started_at"])
    for run_id, start in started.items():
        implied = {"run_id": run_id, "status": "running", "started_at": start, "attributes": {}, "source": "implied"}
        runs.setdefault((run_id,), implied)


def _session(run_id: str, runs: dict[tuple[str, ...], Row]) -> str:
    """The stated session, else the parent's of the same org, else the run's own id; also in a circle of parents."""
    seen: list[str] = []
    current = run_id
    while current not in seen:
        seen.append(current)
        row = runs[current,]
        if "session_id_stated" in row:
            return str(row["session_id_stated"])
        parent = runs.get((row.get("parent_run_id"),))  # type: ignore[arg-type]
        if parent is None or parent["org_id"] != row["org_id"]:
            return current
        current = parent["run_id"]
    return run_id


def _settle_call(call: Row, run: Row) -> None:
    for name in ("session_id", "org_id", "project", "pipeline_id"):
        call[name] = run.get(name)
    call["agent_id"] = call.get("agent_id_stated", run.get("agent_id"))
    parts = [call[name] for name in (*INPUT_TOKENS, *OUTPUT_TOKENS) if name in call]
    call["total_tokens"] = sum(parts) if parts else call.get("total_tokens")
    call["cost_usd"] = call.get("cost_reported")
    is_model_call = call["kind"] in ("llm", "embedding", "retrieval")
    unknown = "unpriced" if is_model_call else "not_applicable"
    call["cost_source"] = unknown if call["cost_usd"] is None else "reported"


def _add_calls(run: Row, calls: list[Row]) -> None:
    run["cost_usd"] = total(call["cost_usd"] for call in calls)
    run["total_tokens"] = total(call["total_tokens"] for call in calls)
    run["tokens_in"] = total(call.get(name) for call in calls for name in INPUT_TOKENS)
    run["tokens_out"] = total(call.get(name) for call in calls for name in OUTPUT_TOKENS)
    run["llm_calls"] = sum(call["kind"] == "llm" for call in calls)
    run["unpriced_calls"] = sum(call["cost_source"] == "unpriced" for call in calls)
    run["error_calls"] = sum(call.get("status") == "error" for call in calls)


def _sessions(runs: dict[tuple[str, ...], Row], calls: dict[tuple[str, ...], Row]) -> dict[tuple[str, ...], Row]:
    members: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for run in runs.values():
        members[run["org_id"], run["session_id"]].append(run)
    made = {}
    for key, rows in members.items():
        ids = {row["run_id"] for row in rows}
        top = [row for row in rows if row.get("parent_run_id") not in ids - {row["run_id"]}]
        first = min(top or rows, key=lambda row: (row["started_at"], row["run_id"]))
        own = [call for call in calls.values() if call["run_id"] in ids]
        made[key] = {
            **{name: first.get(name) for name in ("project", "pipeline_id", "genus_hash", "input_chars")},
            "created_at": first["started_at"],
            "runs": len(rows),
            "total_cost": total(row["cost_usd"] for row in rows),
            "total_tokens": total(row["total_tokens"] for row in rows),
            "total_tokens_in": total(row["tokens_in"] for row in rows),
            "total_tokens_out": total(row["tokens_out"] for row in rows),
            "unpriced_calls": sum(row["unpriced_calls"] for row in rows),
            "message_count": sum(row["llm_calls"] for row in rows),
            "error_count": sum(row["error_calls"] for row in rows),
            "cell_count": len({call.get("name", "unknown") for call in own if call["kind"] == "stage"}),
            "total_duration_ms": total(row.get("duration_ms") for row in top),
        }
    return made


def total(values: Iterable[Any]) -> Any:
    """The sum of the known values, None where none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
