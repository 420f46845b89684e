from __future__ import annotations

import math
import statistics
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics_pipeline.partitions import Span
from analytics_pipeline.transforms import sessions
from analytics_pipeline.transforms.sessions import make_cluster_baselines, make_session_analytics
from analytics_pipeline_tests.transforms.conftest import Row, Tables, at, clock

DAY = date(2026, 3, 31)
NOW = clock("2026-03-31T12:00")


def make(tables: Tables, first: date = DAY, last: date = DAY) -> None:
    make_cluster_baselines(tables.connection, Span(first, last), NOW)
    make_session_analytics(tables.connection, Span(first, last), NOW, outlier_z=2.0, anomaly_z=2.5)


def baseline(tables: Tables, level: str, where: str = "TRUE") -> Row:
    (row,) = tables.rows(f"SELECT * FROM cluster_baselines WHERE level = '{level}' AND {where}")
    return row


def scored(tables: Tables, session: str) -> Row:
    (row,) = tables.rows(f"SELECT * FROM session_analytics WHERE session_id = '{session}'")
    return row


def history(tables: Tables, costs: list[str], **fields: Any) -> None:
    for i, cost in enumerate(costs):
        tables.session(
            f"2026-03-{2 + i:02}T10:00",
            total_cost=Decimal(cost),
            total_duration_ms=1000.0 * (i + 1),
            total_tokens=100 * (i + 1),
            **({"pipeline_id": "p", "input_category": "small", "genus_hash": "g"} | fields),
        )


def test_a_baseline_holds_the_30_days_before_its_day_and_nothing_else(tables: Tables) -> None:
    for start in ("2026-02-28T23:59", "2026-03-01T00:00", "2026-03-30T23:59", "2026-03-31T00:00"):
        tables.session(start, pipeline_id="p", total_cost=Decimal(1))
    make(tables)
    assert baseline(tables, "global")["run_count"] == 2


def test_its_figures_are_those_of_the_known_values(tables: Tables) -> None:
    costs = ["0.01", "0.02", "0.05", "0.08"]
    history(tables, costs)
    tables.session("2026-03-20T10:00", pipeline_id="p", input_category="small", genus_hash="g")
    make(tables)
    row = baseline(tables, "cluster")
    values = [float(cost) for cost in costs]
    assert row["run_count"] == 5
    assert row["avg_cost"] == pytest.approx(statistics.mean(values), rel=1e-12)
    assert row["stddev_cost"] == pytest.approx(statistics.stdev(values), rel=1e-9)
    assert row["median_cost"] == pytest.approx(0.035)
    assert row["avg_duration_ms"] == 2500.0
    assert row["stddev_duration_ms"] == pytest.approx(statistics.stdev([1000, 2000, 3000, 4000]))
    assert row["stddev_tokens"] == pytest.approx(statistics.stdev([100, 200, 300, 400]))
    assert row["fitted_count"] == 4


def test_levels_nest_and_an_unknown_category_or_genus_is_a_value_of_its_own(tables: Tables) -> None:
    history(tables, ["1", "2"], input_category=None, genus_hash=None)
    history(tables, ["3"], input_category=None, genus_hash="g")
    history(tables, ["4"], input_category="small", genus_hash=None)
    history(tables, ["5"], pipeline_id=None)
    make(tables)
    rows = tables.rows("SELECT level, pipeline_id, input_category, genus_hash, run_count FROM cluster_baselines")
    assert {tuple(row.values()) for row in rows} == {
        ("global", "p", None, None, 4),
        ("global", None, None, None, 1),
        ("cluster", "p", None, None, 3),
        ("cluster", "p", "small", None, 1),
        ("cluster", None, "small", None, 1),
        ("genus", "p", None, None, 2),
        ("genus", "p", None, "g", 1),
        ("genus", "p", "small", None, 1),
        ("genus", None, "small", "g", 1),
    }
    assert len(rows) == 9


def test_a_session_with_unpriced_calls_is_in_no_baseline_and_has_no_cost_z(tables: Tables) -> None:
    history(tables, ["1", "2", "3"])
    history(tables, ["100"], unpriced_calls=1)
    key = {"pipeline_id": "p", "input_category": "small", "genus_hash": "g"}
    session = tables.session(
        "2026-03-31T10:00", total_cost=Decimal(9), unpriced_calls=1, total_duration_ms=9000.0, **key
    )
    make(tables)
    row = scored(tables, session)
    assert row["cluster_run_count"] == 3
    assert row["cost_z_score"] is None and row["is_cost_outlier"] is False
    assert row["metric_status"] == "missing"
    assert row["duration_z_score"] == pytest.approx(7.0)
    assert row["is_duration_outlier"] is True


def test_z_is_value_minus_mean_over_deviation(tables: Tables) -> None:
    history(tables, ["1", "2", "3", "4", "5"])
    session = tables.session(
        "2026-03-31T10:00",
        pipeline_id="p",
        input_category="small",
        genus_hash="g",
        total_cost=Decimal(9),
        total_tokens=200,
        total_tokens_in=150,
        total_tokens_out=50,
        message_count=4,
    )
    make(tables)
    row = scored(tables, session)
    assert row["cost_z_score"] == pytest.approx((9 - 3) / statistics.stdev([1, 2, 3, 4, 5]))
    assert row["is_cost_outlier"] is True
    assert row["tokens_z_score"] == pytest.approx((200 - 300) / statistics.stdev([100, 200, 300, 400, 500]))
    assert row["duration_z_score"] is None and row["is_duration_outlier"] is False
    assert (row["baseline_level"], row["baseline_n"]) == ("genus", 5)
    assert (row["cost_per_message"], row["cost_per_token"], row["tokens_per_message"]) == (2.25, 0.045, 50.0)
    assert row["analyzed_at"] == at("2026-03-31T12:00")


@pytest.mark.parametrize("costs", [["0.01"], ["0.01"] * 10])
def test_without_a_deviation_there_is_no_z(tables: Tables, costs: list[str]) -> None:
    history(tables, costs)
    session = tables.session(
        "2026-03-31T10:00", pipeline_id="p", input_category="small", genus_hash="g", total_cost=Decimal(9)
    )
    make(tables)
    row = scored(tables, session)
    assert row["cluster_stddev_cost"] in (None, 0.0)
    assert row["cost_z_score"] is None and row["is_cost_outlier"] is False


@pytest.mark.parametrize(("cost", "status"), [(None, "missing"), ("0", "zero"), ("-1", "invalid"), ("1", "ok")])
def test_metric_status_is_that_of_the_cost(tables: Tables, cost: str | None, status: str) -> None:
    session = tables.session("2026-03-31T10:00", total_cost=cost and Decimal(cost), message_count=0)
    make(tables)
    row = scored(tables, session)
    assert row["metric_status"] == status
    assert (row["baseline_level"], row["baseline_n"], row["cluster_run_count"]) == ("none", 0, 0)
    assert row["cost_per_message"] is None and row["cost_per_token"] is None


def test_the_hour_and_weekday_are_those_of_the_zone(tables: Tables) -> None:
    kathmandu = Tables(tables.connection, "Asia/Kathmandu")
    session = kathmandu.session("2026-03-29T18:20")  # Monday 00:05 in Kathmandu
    zoned = clock("2026-03-31T12:00", "Asia/Kathmandu")
    make_session_analytics(tables.connection, Span(date(2026, 3, 30), DAY), zoned, outlier_z=2.0, anomaly_z=2.5)
    row = scored(tables, session)
    assert (row["hour_of_day"], row["day_of_week"], row["is_weekend"]) == (0, 0, False)
    sunday = kathmandu.session("2026-03-29T18:10")
    make_session_analytics(tables.connection, Span(date(2026, 3, 29), DAY), zoned, outlier_z=2.0, anomaly_z=2.5)
    row = scored(tables, sunday)
    assert (row["hour_of_day"], row["day_of_week"], row["is_weekend"]) == (23, 6, True)


def test_today_knows_only_what_began_before_now(tables: Tables) -> None:
    known = tables.session("2026-03-31T11:59:59")
    tables.session("2026-03-31T12:00")
    make(tables)
    assert [row["session_id"] for row in tables.rows("SELECT session_id FROM session_analytics")] == [known]


def test_made_again_it_is_the_same_and_its_neighbours_stay(tables: Tables) -> None:
    history(tables, ["1", "2", "4"])
    tables.session("2026-03-30T10:00", total_cost=Decimal(3))
    tables.session("2026-03-31T10:00", total_cost=Decimal(3))
    first = date(2026, 2, 20)  # more than one part
    make(tables, first)
    names = ("cluster_baselines", "session_analytics")
    before = [tables.everything(name) for name in names]
    make(tables)
    make(tables, first)
    assert [tables.everything(name) for name in names] == before
    tables.connection.execute("DELETE FROM sessions")
    make(tables)
    assert tables.rows("SELECT 1 FROM cluster_baselines WHERE as_of_day = DATE '2026-03-31'") == []
    days = {row["day"] for row in tables.rows("SELECT created_at::DATE AS day FROM session_analytics")}
    assert DAY not in days and date(2026, 3, 30) in days


def test_a_session_that_moved_to_another_day_has_one_row(tables: Tables) -> None:
    session = tables.session("2026-03-31T10:00")
    make(tables)
    tables.connection.execute("DELETE FROM sessions")
    tables.session("2026-03-29T10:00", session_id=session)
    make(tables, date(2026, 3, 29), date(2026, 3, 29))
    assert scored(tables, session)["created_at"] == at("2026-03-29T10:00")


def test_the_order_of_the_sessions_shows_in_no_digit(tables: Tables) -> None:
    costs = [str(Decimal(i * i) / 7) for i in range(1, 28)]
    history(tables, costs)
    make(tables)
    before = tables.everything("cluster_baselines")
    tables.connection.execute("CREATE TEMP TABLE kept AS FROM sessions")
    tables.connection.execute("DELETE FROM sessions")
    tables.connection.execute("INSERT INTO sessions FROM kept ORDER BY created_at DESC")
    make(tables)
    assert tables.everything("cluster_baselines") == before
    assert all(math.isfinite(row["stddev_cost"]) for row in tables.rows("FROM cluster_baselines"))


def test_deviations_are_exact_where_small_and_large_values_meet(tables: Tables) -> None:
    costs = ["0.999999999", "1", "-0.5", "250000.000000001"]
    durations, tokens = [999_999.999, 1e6, 0.001, 9e14], [999_999_999, 10**9, 0, 4 * 10**12]
    for cost, duration, count in zip(costs, durations, tokens, strict=True):
        fields = {"total_cost": Decimal(cost), "total_duration_ms": duration, "total_tokens": count}
        tables.session("2026-03-20T10:00", pipeline_id="p", **fields)
    make(tables)
    row = baseline(tables, "global")
    assert row["stddev_cost"] == pytest.approx(statistics.stdev(map(float, costs)), rel=1e-12)
    assert row["stddev_duration_ms"] == pytest.approx(statistics.stdev(durations), rel=1e-12)
    assert row["stddev_tokens"] == pytest.approx(statistics.stdev(tokens), rel=1e-12)


def test_how_many_days_are_read_and_fitted_at_a_time_shows_in_no_digit(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    history(tables, [str(Decimal(i * i) / 7) for i in range(1, 28)], input_chars=500)
    make(tables, date(2026, 3, 20))
    together = tables.everything("cluster_baselines")
    monkeypatch.setattr(sessions, "_DAYS_READ_AT_A_TIME", 5)
    monkeypatch.setattr(sessions, "_ROWS_AT_A_TIME", 50)
    make(tables, date(2026, 3, 20))
    assert tables.everything("cluster_baselines") == together


def usual(tables: Tables, costs: list[float], **fields: Any) -> None:
    """Sessions of the days before DAY, one after the other, four hours apart."""
    for i, cost in enumerate(costs):
        started = at("2026-03-30T20:00") - timedelta(hours=4 * i)
        key = {"pipeline_id": "p", "input_category": "small", "genus_hash": "g", "input_chars": 1000}
        tables.session(started.isoformat(), total_cost=Decimal(str(round(cost, 9))), **(key | fields))


def judged(tables: Tables, cost: str, **fields: Any) -> Row:
    key = {"pipeline_id": "p", "input_category": "small", "genus_hash": "g", "input_chars": 1000}
    session = tables.session("2026-03-31T10:00", **(key | {"total_cost": Decimal(cost)} | fields))
    make(tables)
    return scored(tables, session)


@pytest.mark.parametrize(("cost", "z"), [("0.0101", 0.2), ("0.03", 6.8), ("0.003333333", -6.8)])
def test_where_all_cost_the_same_five_percent_are_still_usual(tables: Tables, cost: str, z: float) -> None:
    usual(tables, [0.01] * 10)
    row = judged(tables, cost)
    assert row["cost_robust_z"] == pytest.approx(z, abs=0.1)
    assert row["expected_cost"] == pytest.approx(0.01, rel=1e-4)
    assert row["is_anomaly"] is (abs(z) > 2.5)
    assert row["anomaly_level"] == ("extreme" if abs(z) > 3 else "normal")


@pytest.mark.parametrize("count", [0, 1, 4])
def test_below_five_sessions_of_the_pipeline_nothing_is_judged(tables: Tables, count: int) -> None:
    usual(tables, [0.01, 0.02, 0.03, 0.02][:count])
    usual(tables, [0.01, 0.02, 0.03, 0.02, 0.01, 0.02], pipeline_id="other")
    row = judged(tables, "9")
    assert [row[name] for name in ("cost_robust_z", "expected_cost", "cost_ratio", "anomaly_level")] == [None] * 4
    assert row["is_anomaly"] is False and row["baseline_level"] == "none"


@pytest.mark.parametrize("fields", [{"total_cost": None}, {"total_cost": Decimal(0)}, {"total_cost": Decimal(-1)}])
def test_what_has_no_cost_to_speak_of_has_no_score_and_is_fitted_to_nothing(
    tables: Tables, fields: dict[str, Any]
) -> None:
    usual(tables, [0.01, 0.02, 0.03, 0.02, 0.01, 0.02])
    tables.session("2026-03-30T10:00", pipeline_id="p", input_category="small", genus_hash="g", **fields)
    row = judged(tables, "1", **fields)
    assert row["cost_robust_z"] is None and row["is_anomaly"] is False
    assert baseline(tables, "genus")["fitted_count"] == 6
    assert baseline(tables, "genus")["run_count"] == 7


def test_an_infinite_duration_is_missing(tables: Tables) -> None:
    usual(tables, [0.01] * 6, total_duration_ms=1000.0)
    tables.connection.execute(
        "UPDATE sessions SET total_duration_ms = 'infinity' WHERE created_at > '2026-03-30 19:00'"
    )
    row = judged(tables, "0.01", total_duration_ms=2000.0)
    assert row["duration_robust_z"] > 3
    assert baseline(tables, "genus")["fitted_duration_count"] == 5


def test_a_category_never_seen_is_judged_by_its_pipeline_and_its_size(tables: Tables) -> None:
    sizes = [400 + 100 * i for i in range(30)]
    for i, size in enumerate(sizes):
        usual(tables, [size / 100_000], input_chars=size, genus_hash=f"g{i % 2}")
    row = judged(tables, "0.2", input_category="huge", genus_hash="new", input_chars=20_000)
    assert row["expected_cost"] == pytest.approx(0.2, rel=0.02)
    assert abs(row["cost_robust_z"]) < 1
    assert judged(tables, "0.2", input_chars=None)["cost_robust_z"] > 2.5


def test_the_fit_is_that_of_the_definition(tables: Tables) -> None:
    rng = np.random.default_rng(1)
    drawn = pd.DataFrame(
        {
            "pipeline": rng.choice(["a", "b", "c"], 300, p=[0.7, 0.28, 0.02]),
            "category": rng.choice(["tiny", "small", "large"], 300, p=[0.5, 0.45, 0.05]),
            "genus": rng.choice(["g", "h", "i"], 300, p=[0.8, 0.15, 0.05]),
            "chars": rng.integers(1, 5000, 300),
        }
    )
    drawn["cost"] = np.round(np.exp(rng.normal(-4, 0.5, 300)) * drawn["chars"] ** 0.6, 9)
    for i, session in enumerate(drawn.to_dict("records")):
        tables.session(
            (at("2026-03-01T00:00") + timedelta(hours=2 * i)).isoformat(),
            pipeline_id=session["pipeline"],
            input_category=session["category"],
            genus_hash=session["genus"],
            input_chars=int(session["chars"]),
            total_cost=Decimal(str(session["cost"])),
        )
    make(tables)
    expected = reference(drawn)
    for (pipeline, category, genus), (location, scale) in expected.items():
        where = f"pipeline_id = '{pipeline}' AND input_category = '{category}' AND genus_hash = '{genus}'"
        row = baseline(tables, "genus", where)
        assert row["fitted_location"] == pytest.approx(location, abs=5e-4)
        assert row["fitted_scale"] == pytest.approx(scale, rel=2e-3)


def reference(drawn: pd.DataFrame) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Location and scale of every genus, as docs/statistics.md defines them, in plain numpy."""
    table = drawn.assign(x=np.log(drawn["cost"]), size=np.log(drawn["chars"].clip(lower=1)))
    for _, own in table.groupby("pipeline"):
        slope = np.clip(np.polyfit(own["size"], own["x"], 1)[0], 0, 1.5) if len(own) >= 20 else 0.5
        table.loc[own.index, "y"] = own["x"] - slope * (own["size"] - own["size"].median())
    keys = ["pipeline", "category", "genus"]
    location = pd.Series(table["y"].median(), index=table.index)
    for depth, pseudo in ((1, 1), (2, 1), (3, 5)):
        groups = table.groupby(keys[:depth])["y"]
        n = groups.transform("size")
        location = (n * groups.transform("median") + pseudo * location) / (n + pseudo)
    table["location"], table["r"] = location, (table["y"] - location).abs()
    variance = pd.Series((1.4826 * table["r"].median()) ** 2, index=table.index)
    for depth in (1, 2):
        groups = table.groupby(keys[:depth])["r"]
        freedom = 0.37 * (groups.transform("size") - 1)
        variance = (10 * variance + freedom * (1.4826 * groups.transform("median")) ** 2) / (10 + freedom)
    table["scale"] = np.sqrt(variance.clip(lower=0.05**2))
    return {
        (str(pipeline), str(category), str(genus)): (own["location"].iloc[0], own["scale"].iloc[0])
        for (pipeline, category, genus), own in table.groupby(keys)
    }


def test_cutting_the_logs_at_a_day_leaves_the_days_before_unchanged(tables: Tables) -> None:
    rng = np.random.default_rng(2)
    for hour in range(24 * 12):
        tables.session(
            (at("2026-03-20T00:00") + timedelta(hours=hour)).isoformat(),
            pipeline_id="p",
            input_category=str(rng.choice(["small", "large"])),
            genus_hash=str(rng.choice(["g", "h"])),
            input_chars=int(rng.integers(100, 9000)),
            total_cost=Decimal(str(round(float(np.exp(rng.normal(-4, 0.6))), 9))),
            total_duration_ms=float(np.exp(rng.normal(9, 0.6))),
            total_tokens=int(np.exp(rng.normal(7, 0.6))),
        )
    first, cut = date(2026, 3, 22), date(2026, 3, 27)

    def before_the_cut() -> list[list[tuple[Any, ...]]]:
        return [
            sorted(tables.connection.execute(f"SELECT * FROM {table} WHERE {day} < '{cut}'").fetchall(), key=repr)
            for table, day in (("cluster_baselines", "as_of_day"), ("session_analytics", "day"))
        ]

    make(tables, first, DAY)
    whole = before_the_cut()
    assert any(row for row in whole[1])
    tables.connection.execute(f"DELETE FROM sessions WHERE day >= '{cut}'")
    for day in Span(first, DAY):  # one by one, and on the cut logs
        make(tables, day, day)
    assert before_the_cut() == whole
