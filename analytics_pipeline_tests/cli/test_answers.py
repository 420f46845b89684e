"""`report` and `decide`."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from analytics_pipeline import records
from analytics_pipeline.serving.api import create_app
from analytics_pipeline.settings import load_settings
from analytics_pipeline_tests.serving.publishing import ago, publish
from analytics_pipeline_tests.serving.publishing import run as run_row

from .conftest import Command


@pytest.fixture
def finding(filled: Path, run: Command) -> dict[str, Any]:
    """A stored finding of the simulated month."""
    found: list[dict[str, Any]] = json.loads(run("report", "--days", 7, "--format", "json").out)["insights"]
    assert found
    return found[0]


def decisions(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "decisions" / "decisions.jsonl").read_text("utf-8").splitlines()]


def test_the_json_is_that_of_the_api(run: Command, filled: Path) -> None:
    said = json.loads(run("report", "--days", 7, "--format", "json").out)
    with TestClient(create_app(load_settings()), client=("127.0.0.1", 1)) as client:
        served = client.get("/api/v1/analytics/insights/report", params={"days": 7}).json()
    for answer in (said, served):
        assert answer.pop("generated_at")
    assert said == served


def test_the_text_goes_to_the_terminal_or_a_file(run: Command, filled: Path, tmp_path: Path) -> None:
    ended = run("report")
    assert (ended.code, ended.err) == (0, "")
    assert "Insights for default, 30 days" in ended.out
    assert "\x1b" not in ended.out
    assert run("report", "--out", tmp_path / "r.txt").out == ""
    assert (tmp_path / "r.txt").read_text("utf-8").splitlines()[0] == ended.out.splitlines()[0]


def test_a_window_without_runs_says_where_they_are(run: Command) -> None:
    settings = load_settings()
    old = ago(24 * 90)
    publish(settings, [run_row("r", old)])
    ended = run("report")
    assert ended.code == 0
    assert f"{old:%Y-%m-%d %H:%M} UTC; try --as-of latest" in ended.complaint
    assert run("report", "--as-of", "latest").err == ""
    assert "--org with one of: default" in run("report", "--org", "acme").complaint


def test_nothing_published_is_one_line_and_1(run: Command) -> None:
    for command in (["report"], ["decide", "x", "mute"]):
        ended = run(*command)
        assert ended.code == 1
        assert "run: analytics-pipeline materialize" in ended.complaint


def test_decide_appends_valid_records(run: Command, home: Path, finding: dict[str, Any], tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    note.write_text('{"why": "größer"}', "utf-8")
    assert run("decide", finding["insight_id"], "acknowledge", "--file", note).code == 0
    ended = run("decide", finding["insight_id"], "mute", "--json")
    first, second = decisions(home)
    assert json.loads(ended.out) == {**second, "payload": None}
    assert first["payload"] == {"why": "größer"}
    assert first["kind"] == "acknowledge"
    assert second["target_id"] == finding["insight_id"]
    assert second["org_id"] == "default"
    assert first["decision_id"] != second["decision_id"]
    uuid.UUID(second["decision_id"])
    now = datetime.now(UTC)
    for decision in (first, second):
        records.normalise(decision, now=now)
        assert now - datetime.fromisoformat(decision["decided_at"]) < timedelta(minutes=1)


def test_a_decision_counts_from_the_next_materialize_on(run: Command, finding: dict[str, Any]) -> None:
    run("decide", finding["insight_id"], "mute")
    assert run("materialize").code == 0
    found = json.loads(run("report", "--days", 7, "--format", "json").out)["insights"]
    status = {insight["insight_id"]: insight["status"] for insight in found}
    assert status[finding["insight_id"]] == "acknowledged"


def test_decide_refuses_what_does_not_fit(run: Command, home: Path, finding: dict[str, Any], tmp_path: Path) -> None:
    unknown = run("decide", "nobody", "mute")
    assert unknown.code == 1
    assert "nobody is neither" in unknown.complaint
    unfit = run("decide", finding["insight_id"], "approve")
    assert unfit.code == 1
    assert "acknowledge, mute, unmute" in unfit.complaint
    (tmp_path / "f.json").write_text("{")
    broken = run("decide", finding["insight_id"], "mute", "--file", tmp_path / "f.json")
    assert broken.code == 1
    assert "f.json is not JSON" in broken.complaint
    assert not (home / "decisions").exists()
