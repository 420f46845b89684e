from __future__ import annotations

from datetime import date
from decimal import Decimal

from analytics_pipeline.transforms.days import make_daily_series
from analytics_pipeline_tests.transforms.conftest import Tables, clock

NOW = clock("2026-04-02T12:00")


def test_a_day_has_its_runs_by_project_and_pipeline(tables: Tables) -> None:
    for i in range(1, 5):
        tables.run(
            f"2026-03-01T{i:02}:00",
            pipeline_id="p",
            duration_ms=100.0 * i,
            cost_usd=Decimal("0.1"),
            total_tokens=10,
            status="failed" if i == 1 else "succeeded",
            qa_status="passed" if i > 1 else None,
        )
    tables.run("2026-03-01T05:00", unpriced_calls=3)
    assert make_daily_series(tables.connection, [date(2026, 3, 1)], NOW) == {"daily_series": 2}
    known, unknown = tables.rows("SELECT * FROM daily_series ORDER BY pipeline_id NULLS LAST")
    assert (known["runs"], known["failed"], known["tokens"], known["cost_usd"]) == (4, 1, 40, Decimal("0.4"))
    assert (known["qa_passed"], known["qa_warning"], known["qa_failed"]) == (3, 0, 0)
    assert (known["duration_p50_ms"], known["duration_p95_ms"]) == (250.0, 385.0)
    assert unknown["pipeline_id"] is None and unknown["unpriced_calls"] == 3
    assert [unknown[name] for name in ("tokens", "cost_usd", "duration_p50_ms", "duration_p95_ms")] == [None] * 4


def test_days_that_are_not_named_stay_as_they_are(tables: Tables) -> None:
    for day in (1, 2, 3):
        tables.run(f"2026-03-{day:02}T12:00")
    days = [date(2026, 3, day) for day in (1, 2, 3)]
    make_daily_series(tables.connection, days, NOW)
    tables.connection.execute("DELETE FROM runs")
    assert make_daily_series(tables.connection, [days[0], days[2]], NOW) == {"daily_series": 0}
    assert tables.rows("SELECT day, runs FROM daily_series") == [{"day": days[1], "runs": 1}]
    assert make_daily_series(tables.connection, [], NOW) == {"daily_series": 0}


def test_days_are_those_of_the_zone_when_the_clocks_change(tables: Tables) -> None:
    berlin = Tables(tables.connection, "Europe/Berlin")
    hours = ["2026-03-28T22:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:00"]
    for hour in hours:
        berlin.run(hour, qa_status="passed")
    days = [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
    make_daily_series(tables.connection, days, clock("2026-04-02T12:00", "Europe/Berlin"))
    assert tables.rows("SELECT day, runs, qa_passed FROM daily_series ORDER BY day") == [
        {"day": days[0], "runs": 1, "qa_passed": 1},
        {"day": days[1], "runs": 2, "qa_passed": 2},
        {"day": days[2], "runs": 1, "qa_passed": 1},
    ]
