"""Findings about how things stand: budgets, tools that fail of late, where the money goes, who works when.

Belongs here: rules that need no earlier period. Pure: rows in, findings out. Does not belong here: changes from one
period to the next (rules.py), reading tables (`insights/__init__.py`), sentences (wording.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from analytics_pipeline.insights import wording
from analytics_pipeline.insights.rules import MINIMUM_RUNS, Insight, Row, Scope, Window, finding
from analytics_pipeline.statistics.confidence import recent_deviation

if TYPE_CHECKING:
    from analytics_pipeline.settings import Settings

BUDGET_LINES = {"critical": 1.0, "warning": 0.9, "info": 0.8}
"""Shares of a monthly budget, spent or projected, from which it is worth saying."""

CONCENTRATION, WASTE = 0.80, 0.10
"""Shares of cost: of one model, and of failed and cancelled runs."""

BEYOND_CHANCE = 2.5
"""Deviations by which a tool's latest calls have to fall short of its 30 days: 87 % are now and then 79 % by chance."""

HABIT_NEEDS_RUNS, HABIT_NEEDS_DAYS = 100, 7
"""Below these what looks like a habit may be one day's work."""

_NAMED = 3
"""Hours, pipelines and models that a habit names."""


def budgets(rows: Iterable[Row], window: Window, settings: Settings) -> list[Insight]:
    """Budgets of which 80, 90 or 100 % is spent, or will be by the end of the month."""
    found = []
    for row in rows:
        is_org = row["scope_kind"] == "org"
        budget = settings.budget_for(row["scope"]) if is_org else settings.budget.projects.get(row["scope"])
        if not budget:
            continue
        spent = float(row["spent"])
        projected = max(spent, row["projected"] or 0.0)
        severity = next((name for name, line in BUDGET_LINES.items() if projected >= line * budget), None)
        if severity is None:
            continue
        found.append(
            finding(
                row["org_id"],
                {} if is_org else {"project": row["scope"]},
                window,
                type="budget_threshold",
                category="cost",
                severity=severity,
                metric="cost",
                values=(None, projected, None),
                amount_usd=projected,
                fields={
                    "budget": budget,
                    "spent": spent,
                    "projected": projected,
                    "spent_percent": 100 * spent / budget,
                    "projected_percent": 100 * projected / budget,
                    "month": row["month"].isoformat(),
                    "exhausted_on": row["exhausted_on"].isoformat() if row["exhausted_on"] else None,
                    "unpriced_calls": row["unpriced_calls"],
                },
            )
        )
    return found


def degrading_tools(rows: Iterable[Row], window: Window) -> list[Insight]:
    """Tools that fail of late although their 30 days look well."""
    return [
        finding(
            row["org_id"],
            {"name": row["tool_name"]},
            window,
            type="tool_degradation",
            category="reliability",
            severity="warning",
            metric="failure_rate",
            values=(1 - row["success_rate"], 1 - row["success_rate_ewma"], _percent_change(row)),
            amount_usd=None,
            fields={
                "tool_name": row["tool_name"],
                "success_rate": row["success_rate"],
                "success_rate_ewma": row["success_rate_ewma"],
                "total_executions": row["total_executions"],
                "confidence_level": row["confidence_level"],
                "top_error_type": row["top_error_type"],
            },
        )
        for row in rows
        if row["tool_name"] is not None and _falls_beyond_chance(row)
    ]


def _falls_beyond_chance(row: Row) -> bool:
    fall = row["success_rate"] - row["success_rate_ewma"]
    return bool(fall >= BEYOND_CHANCE * recent_deviation(row["success_rate"]))


def _percent_change(row: Row) -> float | None:
    before, after = 1 - row["success_rate"], 1 - row["success_rate_ewma"]
    return 100 * (after / before - 1) if before > 0 else None


def concentration(rows: Iterable[Row], window: Window) -> list[Insight]:
    """An org most of whose known cost is one model's."""
    found = []
    for org_id, models in _by_org(rows).items():
        costs = {(row["provider"], row["model"]): float(row["cost_usd"]) for row in models if row["cost_usd"]}
        whole = sum(costs.values())
        if not costs or sum(row["calls"] for row in models) < MINIMUM_RUNS:
            continue
        (provider, model), cost = max(costs.items(), key=lambda item: (item[1], repr(item[0])))
        if model is None or cost < CONCENTRATION * whole:
            continue
        found.append(
            finding(
                org_id,
                {"provider": provider, "model": model} if provider is not None else {"model": model},
                window,
                type="cost_optimization",
                category="cost",
                severity="info",
                metric="cost",
                values=(None, cost, None),
                amount_usd=cost,
                fields={
                    "model": model,
                    "share": cost / whole,
                    "model_cost": cost,
                    "total_cost": whole,
                    "unpriced_calls": sum(row["unpriced_calls"] for row in models),
                },
            )
        )
    return found


def waste(scopes: Iterable[Scope], window: Window) -> list[Insight]:
    """An org of whose known cost failed and cancelled runs took a tenth or more."""
    found = []
    for scope in scopes:
        current = scope.current
        lost = [float(part) for part in (current.failed_cost_usd, current.cancelled_cost_usd) if part is not None]
        if scope.pipeline_id is not None or not current.cost_usd or current.runs < MINIMUM_RUNS:
            continue
        whole = float(current.cost_usd)
        if sum(lost) < WASTE * whole:
            continue
        found.append(
            finding(
                scope.org_id,
                {},
                window,
                type="cost_optimization",
                category="cost",
                severity="info",
                metric="cost",
                values=(None, sum(lost), None),
                amount_usd=sum(lost),
                fields={
                    "share": sum(lost) / whole,
                    "wasted_cost": sum(lost),
                    "failed_cost": float(current.failed_cost_usd or 0),
                    "cancelled_cost": float(current.cancelled_cost_usd or 0),
                    "total_cost": whole,
                    "unpriced_calls": current.unpriced_calls,
                },
            )
        )
    return found


def habits(hours: Iterable[Row], models: Iterable[Row], window: Window) -> list[Insight]:
    """When an org's runs start, which pipelines and which models it uses most."""
    calls = _by_org(models)
    found = []
    for org_id, rows in _by_org(hours).items():
        by_hour, by_pipeline, by_model = Counter[int](), Counter[str](), Counter[str]()
        for row in rows:
            by_hour[row["hour"]] += row["runs"]
            by_pipeline[row["pipeline_id"] or wording.UNKNOWN] += row["runs"]
        for row in calls.get(org_id, []):
            by_model[row["model"] or wording.UNKNOWN] += row["calls"]
        runs = sum(by_hour.values())
        if runs < HABIT_NEEDS_RUNS or rows[0]["days"] < HABIT_NEEDS_DAYS:
            continue
        found.append(
            finding(
                org_id,
                {},
                window,
                type="usage_pattern",
                category="usage",
                severity="info",
                metric="runs",
                values=(None, runs, None),
                amount_usd=None,
                fields={
                    "peak_hours": [hour for hour, _ in _top(by_hour)],
                    "peak_share": sum(count for _, count in _top(by_hour)) / runs,
                    "busiest_pipelines": _shares(by_pipeline),
                    "preferred_models": _shares(by_model),
                },
            )
        )
    return found


def _top(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]


def _shares(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    whole = sum(counts.values())
    return [{"name": name, "count": count, "share": count / whole} for name, count in _top(counts)]


def _by_org(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["org_id"], []).append(row)
    return found
