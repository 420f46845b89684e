"""What speaks about now: the daily series, agents, trends, forecasts, findings, storage, and the published copy.

Unpartitioned: a day is a column (`as_of_day`), and one that has passed keeps what was said then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import duckdb

from analytics_pipeline import checks, progress, schema, stale, state
from analytics_pipeline.assets.common import POOL, Made, cost_of, make_now, spec
from analytics_pipeline.insights import make_insights, wording
from analytics_pipeline.partitions import Clock, Span
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings
from analytics_pipeline.transforms.days import make_daily_series
from analytics_pipeline.transforms.forecasts import make_cost_forecasts
from analytics_pipeline.transforms.now import make_agent_status, make_storage_usage
from analytics_pipeline.transforms.optimization import make_model_frontier, make_optimization_opportunities
from analytics_pipeline.transforms.patterns import make_call_patterns
from analytics_pipeline.transforms.trends import make_trends

_AGENTS_NOW = "agent_status_now"
"""Fact: the latest instant that was now for `agent_status`."""


def _spec(name: str, description: str, **more: Any) -> dict[str, Any]:
    return spec(name, checks.TABLES_OF[name], group="now", description=description, **more)


@dg.asset(
    **_spec(
        "daily_series",
        "Runs, money, tokens, QA and durations by reporting day, project and pipeline. Only the days that new records "
        "touched are made again.",
        lineage={"cost_usd": [("run_logs", "cost_usd")], "unpriced_calls": [("run_logs", "unpriced_calls")]},
    ),
    deps=["run_logs"],
)
def daily_series(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make the touched days again."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, Any]:
        days = stale.due(connection, clock, ("daily_series",))
        made = make_daily_series(connection, days, clock)
        if days:
            stale.clear(connection, "daily_series", Span(days[0], days[-1]), clock)
        return {**made, "cost of all calls": wording.known_cost(*cost_of(connection))}

    show = (
        "SELECT day, sum(runs) AS runs, sum(failed) AS failed, sum(cost_usd) AS cost_usd, "
        "sum(unpriced_calls) AS unpriced_calls FROM daily_series GROUP BY day ORDER BY day DESC LIMIT 14"
    )
    return make_now(context, warehouse, settings, make, show=show)


@dg.asset(
    **_spec("agent_status", "Which agents are active, idle or offline, and how they did in the last 24 hours."),
    deps=["run_logs"],
)
def agent_status(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make the whole table again, unless it is of a later now."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, Any]:
        latest = state.fact(connection, _AGENTS_NOW)
        if latest and clock.naive < datetime.fromisoformat(latest):
            return {"left as of": latest}
        state.keep_fact(connection, _AGENTS_NOW, clock.naive.isoformat())
        return make_agent_status(connection, clock)

    return make_now(context, warehouse, settings, make)


@dg.asset(
    **_spec("trends", "The last 7 and 30 days against the ones before, for every org, project, pipeline and model."),
    deps=["run_logs", daily_series],
)
def trends(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make today's rows again."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, int]:
        return make_trends(connection, clock, significant_change=settings.thresholds.significant_change)

    show = (
        "SELECT scope, metric, period_days, previous_value, current_value, change_percent, direction, q_value "
        "FROM trends WHERE scope_kind = 'org' AND as_of_day = (SELECT max(as_of_day) FROM trends) ORDER BY ALL"
    )
    return make_now(context, warehouse, settings, make, show=show)


@dg.asset(
    **_spec(
        "cost_forecasts",
        "What each org, project, pipeline and model will cost in the next 31 days, with ranges and budgets.",
        kinds={"duckdb", "sql", "python"},
        lineage={"forecast": [("run_logs", "cost_usd")]},
    ),
    deps=["run_logs"],
)
def cost_forecasts(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make today's forecasts again."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, int]:
        return make_cost_forecasts(
            connection,
            clock,
            significant_change=settings.thresholds.significant_change,
            budgets=_budgets(connection, settings),
        )

    show = (
        "SELECT scope_kind, scope, current_daily_avg, projected_monthly, month_end_projection, budget_exhausted_on "
        "FROM cost_forecast_totals WHERE as_of_day = (SELECT max(as_of_day) FROM cost_forecast_totals) "
        "ORDER BY projected_monthly DESC LIMIT 10"
    )
    return make_now(context, warehouse, settings, make, show=show)


def _budgets(connection: duckdb.DuckDBPyConnection, settings: Settings) -> dict[tuple[str, str], float]:
    orgs = [org for (org,) in connection.execute("SELECT DISTINCT org_id FROM daily_series").fetchall()]
    of_orgs = {("org", org): settings.budget_for(org) for org in orgs}
    of_projects = {("project", name): float(usd) for name, usd in settings.budget.projects.items()}
    return {scope: float(usd) for scope, usd in of_orgs.items() if usd is not None} | of_projects


@dg.asset(
    **_spec(
        "optimization",
        "Savings with evidence, models on the frontier, patterns of calls after which runs fail or cost more; all from "
        "the last 30 days.",
        kinds={"duckdb", "sql", "scipy"},
    ),
    deps=["run_logs"],
)
def optimization(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make today's rows again, and every opportunity."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, int]:
        return {
            **make_model_frontier(connection, clock),
            **make_optimization_opportunities(connection, clock),
            **make_call_patterns(connection, clock),
        }

    show = (
        "SELECT type, description, potential_savings, savings_lo, recommendation FROM optimization_opportunities "
        "ORDER BY potential_savings DESC NULLS LAST, opportunity_id LIMIT 10"
    )
    return make_now(context, warehouse, settings, make, show=show)


@dg.asset(
    **_spec("insights", "What is worth a look, told once: findings with what is at stake and what to do."),
    deps=[daily_series, trends, cost_forecasts, optimization, "session_analytics", "tool_profiles"],
)
def insights(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Merge the findings of now into the table."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, Any]:
        return make_insights(connection, clock, settings)

    show = "SELECT severity, type, title, description FROM insights WHERE status = 'open' ORDER BY severity, title"
    return make_now(context, warehouse, settings, make, show=show)


def _nothing_yet(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, int]:
    return {}


@dg.asset(**_spec("knowledge_gaps", "Where support sessions lack an answer."), deps=["run_logs"])
def knowledge_gaps(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """The table is there and empty: what fills it needs the support analytics."""
    return make_now(context, warehouse, settings, _nothing_yet)


@dg.asset(
    **_spec("storage_usage", "Rows and bytes of each table, and what they cost to keep."),
    deps=["hourly_summaries", "session_analytics", "tool_profiles", daily_series, insights],
)
def storage_usage(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Make today's rows again."""

    def make(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Mapping[str, int]:
        return make_storage_usage(connection, clock, usd_per_gb_month=settings.storage_cost.usd_per_gb_month)

    show = (
        "SELECT table_name, rows, bytes FROM storage_usage "
        "WHERE as_of_day = (SELECT max(as_of_day) FROM storage_usage) ORDER BY bytes DESC LIMIT 12"
    )
    return make_now(context, warehouse, settings, make, show=show)


_SPOKEN = [
    daily_series,
    agent_status,
    trends,
    cost_forecasts,
    optimization,
    insights,
    knowledge_gaps,
    storage_usage,
]


@dg.asset(
    name="published",
    group_name="publish",
    description="The finished state, copied and renamed over `analytics.duckdb`, which readers may keep open.",
    owners=["team:data"],
    kinds={"duckdb", "file"},
    pool=POOL,
    deps=[
        "hourly_summaries",
        "cluster_baselines",
        "session_analytics",
        "tool_profiles",
        *_SPOKEN,
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "same_rows",
            asset=dg.AssetKey("published"),
            blocking=True,
            description="The published file holds as many rows of each table as the warehouse.",
        )
    ],
)
def published(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Publish, and compare what was published."""
    progress.step("published")
    made = warehouse.warehouse.publish()
    differing = [table for table in schema.TABLES if made.rows[table] != made.published_rows[table]]
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(warehouse.published),
            "bytes": made.size,
            "dagster/row_count": sum(made.published_rows.values()),
            "rows": dg.MetadataValue.md(
                "\n".join(f"- {name}: {count:,}" for name, count in made.rows.items() if count)
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="same_rows",
                asset_key=dg.AssetKey("published"),
                passed=not differing,
                description=f"differ: {', '.join(differing)}" if differing else None,
            )
        ],
    )


NOW_ASSETS = [*_SPOKEN, published]
"""Every unpartitioned asset below the log tier."""
