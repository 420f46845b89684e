"""The report as a person reads it."""

from __future__ import annotations

from pathlib import Path

from analytics_pipeline.serving.queries import Queries
from analytics_pipeline.serving.report import WIDTH, render_text
from analytics_pipeline_tests.serving.publishing import ago, call, publish, run, settings_for
from analytics_pipeline_tests.serving.test_queries import NOW, asked, busy


def test_says_what_matters_within_the_width(tmp_path: Path) -> None:
    text = render_text(asked(tmp_path, **busy()).insights_report(days=7, as_of=NOW))
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "$7.98 known (+40% on the period before), 3 of 60 calls unpriced" in text
    assert "WARNING   25% of runs failed in 7 days" in text
    assert "-> Start with the runs that ended in timeout." in text
    assert "extract" in text
    assert "haiku" in text
    assert "\x1b" not in text
    assert text.isascii()


def test_no_comparison_with_a_period_that_the_logs_do_not_reach(tmp_path: Path) -> None:
    report = asked(tmp_path, **busy()).insights_report(days=13, as_of=NOW)
    assert report["is_comparable"] is False
    assert "on the period before" not in render_text(report)


def test_a_month_says_what_began_this_week_but_says_it_once(tmp_path: Path) -> None:
    report = asked(tmp_path, **busy()).insights_report(days=30, as_of=NOW)
    assert "Findings of the last 7 days: 1 critical, 6 warning, 2 info" in render_text(report | {"insights": []})
    assert "Findings of the last 7 days" not in render_text(report | {"insights": report["recent_insights"]})
    assert asked(tmp_path, **busy()).insights_report(days=7, as_of=NOW)["recent_insights"] == []


def test_of_many_sessions_the_farthest_are_told(tmp_path: Path) -> None:
    report = asked(tmp_path, **busy()).insights_report(days=7, as_of=NOW)
    (finding, *_) = report["insights"]
    sessions = [
        finding | {"title": f"Session {z} is far off", "data": finding["data"] | {"grain": "session", "robust_z": z}}
        for z in (3.1, -5.2, 2.6, 4.0, 2.7)
    ]
    text = render_text(report | {"insights": [*report["insights"], *sessions]})
    assert [z for z in (3.1, -5.2, 2.6, 4.0, 2.7) if f"Session {z} is far off" in text] == [3.1, -5.2, 4.0]
    assert "  and 2 sessions that are less far off" in text.splitlines()
    assert text.index("Session 4.0") < text.index("and 2 sessions")


def test_color_only_where_asked(tmp_path: Path) -> None:
    report = asked(tmp_path, **busy()).insights_report(days=7, as_of=NOW)
    assert "\x1b[31;1mCRITICAL" in render_text(report, color=True)


def test_nothing_to_say(tmp_path: Path) -> None:
    text = render_text(Queries(settings_for(tmp_path)).insights_report())
    assert "No runs in this window." in text
    assert "Nothing stands out." in text


def test_long_names_and_many_parts(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    runs = [run(f"r{i}", ago(2), pipeline_id=f"{'x' * 60}{i}", status="failed") for i in range(12)]
    publish(settings, runs)
    text = render_text(Queries(settings).insights_report())
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_forecast_and_tools(tmp_path: Path) -> None:
    report = asked(tmp_path, **busy()).insights_report(days=7, as_of=NOW)
    report["cost_forecast"] = {
        "current_daily_avg": 2.5,
        "projected_weekly": 19.25,
        "projected_monthly": 82.5,
        "trend": "up",
        "confidence": 0.85,
    }
    report["tools_at_risk"] = [
        {
            "tool_name": "search",
            "confidence_level": "LOW",
            "success_rate": 0.7,
            "success_rate_ewma": 0.6,
            "total_executions": 60,
            "is_degrading": True,
            "top_error_type": "timeout",
        }
    ]
    lines = render_text(report).splitlines()
    assert "  $19.25 in the next 7 days, $82.50 in the next 30, $2.50 a day so far; trend up, 85% likely" in lines
    assert [line.split() for line in lines if line.startswith("  search")] == [
        ["search", "LOW", "70%", "60%", "60", "degrading"]
    ]


def test_a_cost_far_from_its_list_price_is_told(tmp_path: Path) -> None:
    made = run("r", ago(2), cost_usd="9990.01")
    calls = [
        call(
            name, made, model="gemini-2.5-pro", cost_source="reported", cost_reported=usd, cost_usd=usd, cost_computed=c
        )
        for name, usd, c in (
            ("wrong", "9990.012528750", "0.012628750"),
            ("cached", "0.012", "0.1"),  # a prompt out of a cache that the log keeps silent about
            ("free", "0", "5"),
            ("small", "0.001", "0.00001"),
        )
    ]
    settings = settings_for(tmp_path)
    publish(settings, [made], calls)
    report = Queries(settings).insights_report()
    assert report["data_quality"]["disputed_calls"] == 1
    assert [each["call_id"] for each in report["data_quality"]["disputed"]] == ["wrong"]
    text = render_text(report)
    assert "1 call with a reported cost far from its list price:" in text
    assert "gemini-2.5-pro: $9,990.01 reported, $0.013 by its tokens" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
