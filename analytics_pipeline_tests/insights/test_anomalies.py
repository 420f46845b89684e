"""Rows of anomalies in, findings out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics_pipeline.insights import anomalies
from analytics_pipeline.insights.rules import Window

NOON = datetime(2026, 3, 31, 12)  # noqa: DTZ001 - the tables hold naive UTC
WEEK = Window(7, NOON - timedelta(days=7), NOON)


def hour(at: int, **fields: Any) -> dict[str, Any]:
    return {
        "hour": NOON + timedelta(hours=at),
        "org_id": "acme",
        "scope_kind": "org",
        "scope": "acme",
        "metric": "cost",
        "score": 3.5,
        "hours": 1,
        "events": 10,
        "value": 9.0,
        "expected": 3.0,
        **fields,
    }


def test_hours_on_end_are_one_incident_and_a_gap_makes_two() -> None:
    found = anomalies.incidents([hour(-9), hour(-8, score=4.2), hour(-5)])
    assert [(one["period_start"].hour, one["period_end"].hour, one["severity"]) for one in found] == [
        (3, 5, "critical"),
        (7, 8, "warning"),
    ]
    first = found[0]
    assert (first["type"], first["category"], first["amount_usd"]) == ("anomaly", "cost", 12.0)
    data = first["data"]
    assert (data["grain"], data["metric"], data["scope"], data["previous"], data["current"]) == (
        "hour",
        "cost",
        {},
        6.0,
        18.0,
    )
    assert data["change_percent"] == 200.0
    assert 0 < first["p_value"] < 1e-4
    assert "$18.00 where $6.00" in first["description"]


def test_a_score_over_three_hours_is_about_all_three() -> None:
    (one,) = anomalies.incidents([hour(-6, hours=3), hour(-5, hours=3)])
    assert (one["period_start"], one["period_end"]) == (NOON - timedelta(hours=8), NOON - timedelta(hours=4))
    assert one["data"]["current"] == 9.0  # of the last three hours: no hour is counted twice


def test_the_id_stays_while_an_incident_goes_on() -> None:
    (before,), (after,) = anomalies.incidents([hour(-9)]), anomalies.incidents([hour(-9), hour(-8)])
    assert before["insight_id"] == after["insight_id"]
    others = [hour(-9, metric="duration"), hour(-9, org_id="b"), hour(-9, scope_kind="pipeline", scope="p")]
    ids = {anomalies.incidents([row])[0]["insight_id"] for row in others}
    assert len(ids | {before["insight_id"]}) == 4


def test_only_the_clearest_scope_of_the_same_hours_is_told() -> None:
    of_model = hour(-9, scope_kind="model", scope="m", score=3.2)
    of_org = hour(-9)
    of_pipelines = [hour(-9, scope_kind="pipeline", scope=name, score=score) for name, score in (("p", 5), ("q", 4.5))]
    found = anomalies.incidents([of_model, of_org, *of_pipelines])
    assert [one["pipeline_id"] for one in found] == ["p", "q"]
    elsewhere = anomalies.incidents([of_model, hour(-3), *of_pipelines])
    assert [one["data"]["scope"] for one in elsewhere] == [{"pipeline_id": "p"}, {"pipeline_id": "q"}, {}]


def test_of_equals_the_one_is_told_that_says_most() -> None:
    alike = [hour(-9, scope_kind="model", scope="m"), hour(-9), hour(-9, scope_kind="pipeline", scope="p")]
    (found,) = anomalies.incidents(alike)
    assert found["data"]["scope"] == {"pipeline_id": "p"}
    (found,) = anomalies.incidents(alike[:2])
    assert found["data"]["scope"] == {}


@pytest.mark.parametrize(
    ("metric", "rows", "before", "after"),
    [
        ("duration", [hour(-2, value=5000, expected=2000, events=2), hour(-1, value=1000, expected=1000)], 250, 500),
        ("failure_rate", [hour(-2, value=0.5, expected=0.1, events=30), hour(-1, value=0.1, expected=0.1)], 0.1, 0.4),
        ("runs", [hour(-1, value=0, expected=40, events=None)], 40, 0),
    ],
)
def test_durations_are_means_failures_shares_and_counts_totals(
    metric: str, rows: list[dict[str, Any]], before: float, after: float
) -> None:
    (one,) = anomalies.incidents([row | {"metric": metric} for row in rows])
    assert (one["data"]["previous"], one["data"]["current"]) == pytest.approx((before, after))
    assert one["amount_usd"] is None
    assert one["title"] and one["recommendations"]


def session(**fields: Any) -> dict[str, Any]:
    return {
        "org_id": "acme",
        "session_id": "s1",
        "project": None,
        "pipeline_id": "p",
        "total_cost": 4.0,
        "expected_cost": 0.5,
        "total_duration_ms": 5000.0,
        "expected_duration_ms": 20_000.0,
        "cost_robust_z": 4.5,
        "duration_robust_z": -3.0,
        "anomaly_level": "extreme",
        "baseline_level": "genus",
        "baseline_n": 40,
        **fields,
    }


def test_a_session_is_told_of_by_what_is_the_farther_off() -> None:
    dear, quick, slow = anomalies.sessions(
        [session(), session(session_id="s2", cost_robust_z=2.6), session(session_id="s3", cost_robust_z=None)], WEEK
    )
    assert (dear["severity"], dear["category"], dear["amount_usd"]) == ("info", "cost", 3.5)
    assert (dear["data"]["grain"], dear["data"]["session_id"]) == ("session", "s1")
    assert (dear["period_start"], dear["period_end"]) == (WEEK.start, WEEK.end)
    assert "s1" in dear["title"] and "dear" in dear["title"]
    assert (quick["category"], quick["amount_usd"], quick["data"]["change_percent"]) == ("performance", None, -75.0)
    assert len({dear["insight_id"], quick["insight_id"], slow["insight_id"]}) == 3


def test_what_an_org_and_its_only_pipeline_have_in_common_is_told_once() -> None:
    row = {"org_id": "acme", "pipeline_id": "p", "runs": 60, "p50_ms": 1000.0, "p95_ms": 5000.0}
    of_org = row | {"pipeline_id": None}
    assert [one["pipeline_id"] for one in anomalies.tails([of_org, row], WEEK)] == ["p"]
    found = anomalies.tails([of_org | {"runs": 61}, row, row | {"org_id": "other", "runs": 61}], WEEK)
    assert [one["pipeline_id"] for one in found] == [None, "p", "p"]


@pytest.mark.parametrize(("runs", "p95", "count"), [(50, 4000.0, 1), (49, 9000.0, 0), (500, 3999.0, 0)])
def test_a_long_tail_takes_fifty_runs_and_four_times_the_median(runs: int, p95: float, count: int) -> None:
    row = {"org_id": "acme", "pipeline_id": "p", "runs": runs, "p50_ms": 1000.0, "p95_ms": p95}
    found = anomalies.tails([row, row | {"p50_ms": 0.0, "runs": 0}], WEEK)
    assert len(found) == count
    assert all(one["severity"] == "info" and one["data"]["grain"] == "period" for one in found)
