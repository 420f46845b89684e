"""The insights report as text: what a person reads in the terminal.

Belongs here: layout, which of a report's facts come first, how many of a list. Does not belong here: the facts
themselves (queries.py) and how a number or a finding is worded (insights/wording.py).
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analytics_pipeline.insights import wording

WIDTH = 92
TOP = 5
"""Rows of a breakdown that are shown; the rest is summed up in one."""

SESSIONS = 3
"""Sessions that are told of one by one: the farthest off."""

_NAME_WIDTH = 44
_INDENT = " " * 12
_COLORS = {"critical": "31;1", "warning": "33", "info": "36"}

Report = Mapping[str, Any]


def render_text(report: Report, *, color: bool = False) -> str:
    """The report of `Queries.insights_report` in lines of at most 92 columns; escape codes only with `color`."""
    sections = [
        _header(report),
        _findings("Findings", report["insights"], color) or ["Findings", "  Nothing stands out."],
        _findings("Findings of the last 7 days", _only_recent(report), color),
        _breakdown("Pipeline", report["cost_breakdown"]["by_pipeline"]),
        _breakdown("Model", report["cost_breakdown"]["by_model"]),
        _failures(report),
        _tools(report),
        _data_quality(report),
        _forecast(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _header(report: Report) -> list[str]:
    runs, performance = report["usage_trend"]["current_value"], report["performance_metrics"]
    title = f"Insights for {report['org_id']}, {wording.count(report['period_days'], 'day')}"
    lines = [title, f"{_minute(report['period_start'])} to {_minute(report['period_end'])} UTC", "=" * WIDTH]
    if not runs:
        return [*lines, "No runs in this window."]
    facts = {
        "Cost": _cost(report),
        "Runs": f"{runs:,}{_against(report, 'usage_trend')}",
        "Failed": _failure_rate(report["failure_analysis"]),
        "Duration": f"median {wording.duration(performance['p50_duration_ms'])}, "
        f"95% within {wording.duration(performance['p95_duration_ms'])}, "
        f"99% within {wording.duration(performance['p99_duration_ms'])}",
    }
    return lines + [f"{name:<12}{fact}" for name, fact in facts.items()]


def _cost(report: Report) -> str:
    coverage = report["coverage"]
    return wording.known_cost(
        coverage["known_cost"],
        coverage["unpriced_calls"],
        coverage["model_calls"],
        aside=_against(report, "cost_trend"),
    )


def _against(report: Report, trend: str) -> str:
    change = report[trend]["change_percent"]
    if change is None or not report["is_comparable"]:
        return ""
    return f" ({'+' if change >= 0 else '-'}{wording.percent(abs(change))} on the period before)"


def _failure_rate(analysis: Mapping[str, Any]) -> str:
    if analysis["failure_rate"] is None:
        return "no run finished"
    said = f"{wording.percent(100 * analysis['failure_rate'])}, {wording.count(analysis['total_failures'], 'run')}"
    if analysis["mttr_minutes"] is not None:
        said += f"; {wording.duration(60_000 * analysis['mttr_minutes'])} on average until the next success"
    return said


def _only_recent(report: Report) -> list[Mapping[str, Any]]:
    said = [(finding["type"], finding["data"]["metric"], finding["data"]["scope"]) for finding in report["insights"]]
    return [
        finding
        for finding in report["recent_insights"]
        if (finding["type"], finding["data"]["metric"], finding["data"]["scope"]) not in said
    ]


def _findings(title: str, found: Sequence[Mapping[str, Any]], color: bool) -> list[str]:
    if not found:
        return []
    counts = Counter(finding["severity"] for finding in found)
    said = ", ".join(f"{number} {severity}" for severity, number in counts.items())
    lines = [f"{title}: {said}"]
    sessions = sorted((one for one in found if one["data"]["grain"] == "session"), key=_nearness)
    left_out = sessions[SESSIONS:]
    for finding in found:
        if finding in left_out:
            continue
        known = " (acknowledged)" if finding["status"] == "acknowledged" else ""
        label = _colored(f"{finding['severity'].upper():<10}", finding["severity"], color)
        first, *rest = _wrapped(finding["title"] + known)
        lines += [f"  {label}{first.strip()}", *rest, *_wrapped(finding["description"])]
        if finding["recommendations"]:
            lines += _wrapped(f"-> {finding['recommendations'][0]}")
    if left_out:
        lines.append(f"  and {wording.count(len(left_out), 'session')} that are less far off")
    return lines


def _nearness(finding: Mapping[str, Any]) -> float:
    return -abs(float(finding["data"]["robust_z"]))


def _breakdown(title: str, parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dearest parts as a table; those of which no cost is due (calls of tools have no model) are left out."""
    costly = [part for part in parts if part["cost"] is not None or part["unpriced_calls"]]
    if not costly:
        return []
    rows = [
        (
            _short(part["name"] or f"(no {title.lower()})"),
            wording.usd(part["cost"]),
            "" if part["share"] is None else wording.percent(100 * part["share"]),
            f"{part['calls']:,}",
            f"{part['unpriced_calls']:,}" if part["unpriced_calls"] else "",
        )
        for part in costly[:TOP]
    ]
    lines = _table((f"Cost by {title.lower()}", "cost", "share", "calls", "unpriced"), rows)
    rest = costly[TOP:]
    if rest:
        known = [part["cost"] for part in rest if part["cost"] is not None]
        unpriced, calls = (sum(part[name] for part in rest) for name in ("unpriced_calls", "model_calls"))
        together = wording.known_cost(sum(known) if known else None, unpriced, calls)
        lines.append(f"  and {len(rest):,} more, together {together}")
    return lines


def _failures(report: Report) -> list[str]:
    patterns = report["failure_analysis"]["common_patterns"]
    return ["Failures", *(f"  {pattern}" for pattern in patterns)] if patterns else []


def _tools(report: Report) -> list[str]:
    rows = [
        (
            _short(tool["tool_name"] or "(no name)"),
            tool["confidence_level"] or "",
            _share(tool["success_rate"]),
            _share(tool["success_rate_ewma"]),
            f"{tool['total_executions']:,}",
            "degrading" if tool["is_degrading"] else "",
        )
        for tool in report["tools_at_risk"]
    ]
    return _table(("Tools to watch", "confidence", "success", "of late", "calls", ""), rows) if rows else []


def _data_quality(report: Report) -> list[str]:
    """What to know before trusting the numbers above."""
    quality = report["data_quality"]
    if not quality["disputed_calls"]:
        return []
    lines = [f"  {wording.count(quality['disputed_calls'], 'call')} with a reported cost far from its list price:"]
    for call in quality["disputed"]:
        reported, computed = wording.usd(call["cost_reported"]), wording.usd(call["cost_computed"])
        model = _short(call["model"] or "(no model)")
        lines.append(f"  {_minute(call['started_at'])}  {model}: {reported} reported, {computed} by its tokens")
    return ["Data quality", *lines]


def _forecast(report: Report) -> list[str]:
    forecast = report["cost_forecast"]
    if forecast is None or forecast["projected_monthly"] is None:
        return []
    said = (
        f"{wording.usd(forecast['projected_weekly'])} in the next 7 days, "
        f"{wording.usd(forecast['projected_monthly'])} in the next 30, "
        f"{wording.usd(forecast['current_daily_avg'])} a day so far; trend {forecast['trend'] or wording.UNKNOWN}"
    )
    if forecast["confidence"] is not None:
        said += f", {wording.percent(100 * forecast['confidence'])} likely to be within 20%"
    return ["Forecast", *textwrap.wrap(f"{said}.", WIDTH, initial_indent="  ", subsequent_indent="  ")]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A heading line and rows: the first column to the left, the others to the right, wide enough for their cells."""
    widths = [
        max(7, *(len(cell) for cell in column)) for column in zip(header[1:], *(row[1:] for row in rows), strict=True)
    ]

    def numbers(cells: Sequence[str]) -> str:
        return "".join(f"{cell:>{width + 2}}" for cell, width in zip(cells, widths, strict=True))

    heading = f"{header[0]:<{_NAME_WIDTH + 2}}{numbers(header[1:])}".rstrip()
    return [heading, *(f"  {row[0]:<{_NAME_WIDTH}}{numbers(row[1:])}".rstrip() for row in rows)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _colored(text: str, severity: str, color: bool) -> str:
    return f"\x1b[{_COLORS[severity]}m{text}\x1b[0m" if color else text


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..."


def _share(value: float | None) -> str:
    return "" if value is None else wording.percent(100 * value)


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")
