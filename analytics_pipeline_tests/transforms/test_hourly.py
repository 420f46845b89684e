from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.partitions import Span
from analytics_pipeline.statistics import histogram
from analytics_pipeline.transforms import hourly
from analytics_pipeline_tests.transforms.conftest import Tables, at

DAY = date(2026, 3, 1)
TABLES = ("hourly_run_summaries", "hourly_call_summaries")


def make(tables: Tables, first: date = DAY, last: date = DAY) -> dict[str, int]:
    return hourly.make_hourly_summaries(tables.connection, Span(first, last))


def test_a_run_counts_in_the_utc_hour_of_its_start(tables: Tables) -> None:
    tables.run("2026-03-01T10:59:59.999999", duration_ms=100.0, cost_usd=Decimal("0.000000001"), total_tokens=5)
    tables.run("2026-03-01T11:00", status="failed", error_type="timeout", human_effort_level="HIGH", unpriced_calls=2)
    tables.run("2026-03-01T11:30", status="cancelled")
    assert make(tables) == {"hourly_run_summaries": 2, "hourly_call_summaries": 0}
    first, second = tables.rows("SELECT * FROM hourly_run_summaries ORDER BY hour")
    assert (first["hour"], first["runs"], first["succeeded"]) == (at("2026-03-01T10:00"), 1, 1)
    assert (first["cost_usd"], first["total_tokens"], first["duration_ms_sum"]) == (Decimal("0.000000001"), 5, 100.0)
    assert first["duration_histogram"] == {histogram.bucket(100.0): 1}
    assert first["errors_by_type"] == {}
    assert (second["runs"], second["failed"], second["cancelled"], second["effort_high"]) == (2, 1, 1, 1)
    assert second["errors_by_type"] == {"timeout": 1}
    assert second["unpriced_calls"] == 2


def test_what_is_unknown_is_null_and_what_is_none_is_zero(tables: Tables) -> None:
    tables.run("2026-03-01T10:00", status="failed")
    tables.call("2026-03-01T10:00", status=None)
    make(tables)
    (run,) = tables.rows("SELECT * FROM hourly_run_summaries")
    assert [run[name] for name in ("cost_usd", "total_tokens", "duration_ms_sum")] == [None] * 3
    assert run["errors_by_type"] == {"unknown": 1}
    assert run["duration_histogram"] == {}
    (call,) = tables.rows("SELECT * FROM hourly_call_summaries")
    assert (call["calls"], call["succeeded"], call["failed"], call["unpriced_calls"]) == (1, 0, 0, 0)
    sums = ("input_tokens", "cache_write_tokens", "total_tokens", "cost_usd", "duration_ms_sum")
    assert [call[name] for name in sums] == [None] * 5


def test_null_dimensions_are_values_of_their_own(tables: Tables) -> None:
    for project in (None, None, "p"):
        tables.run("2026-03-01T10:00", project=project, duration_ms=10.0)
        tables.call("2026-03-01T10:00", project=project, name=None, duration_ms=10.0)
    make(tables)
    runs = tables.rows("SELECT project, runs, duration_histogram FROM hourly_run_summaries ORDER BY runs")
    assert [(row["project"], row["runs"], row["duration_histogram"]) for row in runs] == [
        ("p", 1, {histogram.bucket(10.0): 1}),
        (None, 2, {histogram.bucket(10.0): 2}),
    ]
    assert tables.rows("SELECT calls FROM hourly_call_summaries WHERE project IS NULL") == [{"calls": 2}]


def test_cache_writes_of_any_life_are_one_sum(tables: Tables) -> None:
    tables.call("2026-03-01T10:00", kind="llm", cache_write_5m_tokens=3, cost_source="unpriced")
    tables.call("2026-03-01T10:01", kind="llm", cache_write_1h_tokens=4, cost_usd=Decimal("0.5"), status="error")
    make(tables)
    (row,) = tables.rows("SELECT * FROM hourly_call_summaries")
    assert (row["cache_write_tokens"], row["unpriced_calls"], row["failed"]) == (7, 1, 1)
    assert row["cost_usd"] == Decimal("0.5")


@pytest.mark.parametrize(
    ("own", "records", "verdict"),
    [
        ("warning", ("error",), "warning"),
        (None, ("passed", "failed", "warning"), "failed"),
        (None, ("failed", "error"), "error"),
        (None, ("passed", "not_run"), "passed"),
        (None, ("not_run",), "not_run"),
        (None, (), "not_run"),
    ],
)
def test_a_runs_qa_is_its_own_else_the_worst_of_its_records(
    tables: Tables, own: str | None, records: tuple[str, ...], verdict: str
) -> None:
    run = tables.run("2026-03-01T10:00", qa_status=own)
    for i, status in enumerate(records):
        checked = at("2026-04-01T10:00")
        tables.add("qa_results", {"run_id": run, "name": f"qa{i}", "status": status, "checked_at": checked})
    make(tables)
    (row,) = tables.rows("SELECT * FROM hourly_run_summaries")
    verdicts = ("passed", "warning", "failed", "error", "not_run")
    assert {name: row[f"qa_{name}"] for name in verdicts} == {name: int(name == verdict) for name in verdicts}


def test_made_again_it_is_the_same_and_its_neighbours_stay(tables: Tables) -> None:
    for start in ("2026-02-28T23:59:59", "2026-03-01T00:00", "2026-03-01T23:59:59", "2026-03-02T00:00"):
        tables.run(start)
        tables.call(start, duration_ms=3.0)
    make(tables, date(2026, 2, 28), date(2026, 3, 2))
    before = [tables.everything(table) for table in TABLES]
    assert make(tables) == {"hourly_run_summaries": 2, "hourly_call_summaries": 2}
    assert [tables.everything(table) for table in TABLES] == before
    tables.connection.execute("DELETE FROM runs")
    tables.connection.execute("DELETE FROM calls")
    assert make(tables) == {"hourly_run_summaries": 0, "hourly_call_summaries": 0}
    for table in TABLES:
        hours = [row["hour"] for row in tables.rows(f"SELECT hour FROM {table} ORDER BY hour")]
        assert hours == [at("2026-02-28T23:00"), at("2026-03-02T00:00")]


def test_a_long_span_is_made_in_parts_and_looks_the_same(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 9):
        for hour in range(day):
            tables.call(f"2026-03-{day:02}T{hour:02}:00", duration_ms=1.0 + hour)
    make(tables, DAY, date(2026, 3, 9))
    whole = tables.everything("hourly_call_summaries")
    monkeypatch.setattr(hourly, "MOST_CALLS", 5)
    assert make(tables, DAY, date(2026, 3, 9))["hourly_call_summaries"] == 36
    assert tables.everything("hourly_call_summaries") == whole


def test_the_histogram_counts_as_the_statistics_do(tables: Tables) -> None:
    @given(durations=st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
    def check(durations: list[float]) -> None:
        tables.connection.execute("DELETE FROM calls")
        tables.connection.execute(
            "INSERT INTO calls (call_id, org_id, kind, started_at, duration_ms) "
            "SELECT 'c', 'default', 'tool', TIMESTAMP '2026-03-01 10:00:00', unnest($durations)",
            {"durations": durations},
        )
        make(tables)
        (row,) = tables.rows("SELECT duration_histogram FROM hourly_call_summaries")
        counted = row["duration_histogram"]
        assert counted == histogram.merge({histogram.bucket(duration): 1} for duration in durations)
        assert list(counted) == sorted(counted)

    check()
