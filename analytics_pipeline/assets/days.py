"""What is made for every day: hourly summaries, baselines, session analytics, tool profiles.

Incidents and capacity are made with the tool profiles. All four assets share one partitions definition, for a job takes
one. A key is only a date: of the UTC day for `hourly_summaries`, of the reporting day for the others (partitions.py).
Does not belong here: what a row is made of (transforms/).
"""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg
import duckdb

from analytics_pipeline import checks
from analytics_pipeline.assets.common import Made, make_days, spec
from analytics_pipeline.partitions import Clock, Span
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings
from analytics_pipeline.transforms.capacity import make_capacity_forecasts
from analytics_pipeline.transforms.hourly import make_hourly_summaries
from analytics_pipeline.transforms.incidents import make_hourly_incidents
from analytics_pipeline.transforms.sessions import make_cluster_baselines, make_session_analytics
from analytics_pipeline.transforms.tools import make_tool_profiles


def day_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The four daily assets on these partitions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Parameter `backfill_policy` .* is currently in beta")
        return _day_assets(partitions)


def _day_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    daily: dict[str, Any] = {"partitions_def": partitions, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(
        **spec(
            "hourly_summaries",
            checks.TABLES_OF["hourly_summaries"],
            group="days",
            description="Runs and calls by hour of the UTC day, with a histogram of durations from which percentiles "
            "of any longer time are right.",
            lineage={
                "cost_usd": [("run_logs", "cost_usd")],
                "total_tokens": [("run_logs", "total_tokens")],
                "unpriced_calls": [("run_logs", "unpriced_calls")],
            },
        ),
        **daily,
        deps=["run_logs"],
    )
    def hourly_summaries(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
    ) -> Made:
        def make(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Mapping[str, int]:
            return make_hourly_summaries(connection, span)

        return make_days(context, warehouse, settings, make)

    @dg.asset(
        **spec(
            "cluster_baselines",
            checks.TABLES_OF["cluster_baselines"],
            group="days",
            description="What sessions of a pipeline, of an input size and of a genus cost and took in the 30 days "
            "before each day: what that day's sessions are judged by.",
        ),
        **daily,
        deps=["run_logs"],
    )
    def cluster_baselines(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
    ) -> Made:
        return make_days(context, warehouse, settings, make_cluster_baselines)

    @dg.asset(
        **spec(
            "session_analytics",
            checks.TABLES_OF["session_analytics"],
            group="days",
            description="Every session of each day with its figures, the baselines of its day and how far off it is.",
            lineage={
                "cluster_avg_cost": [("cluster_baselines", "avg_cost")],
                "cluster_stddev_cost": [("cluster_baselines", "stddev_cost")],
                "cluster_run_count": [("cluster_baselines", "run_count")],
            },
        ),
        **daily,
        deps=["run_logs", cluster_baselines],
    )
    def session_analytics(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
    ) -> Made:
        def make(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Mapping[str, int]:
            thresholds = settings.thresholds
            return make_session_analytics(
                connection, span, clock, outlier_z=thresholds.outlier_z, anomaly_z=thresholds.anomaly_z
            )

        return make_days(context, warehouse, settings, make)

    @dg.asset(
        **spec(
            "tool_profiles",
            checks.TABLES_OF["tool_profiles"],
            group="days",
            kinds={"duckdb", "sql", "scipy"},
            description="How far each tool can be trusted, as of each day, from its calls of 30 days; how busy each "
            "agent was in every hour that new records touched, with its room in the hour after; and the hours in which "
            "what runs cost, took or failed strays from their past.",
        ),
        **daily,
        deps=["run_logs", hourly_summaries, session_analytics],
    )
    def tool_profiles(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
    ) -> Made:
        confidence = settings.thresholds.tool_confidence

        def make(connection: duckdb.DuckDBPyConnection, span: Span, clock: Clock) -> Mapping[str, int]:
            profiles = make_tool_profiles(connection, span, clock, high=confidence.high, low=confidence.low)
            incidents = make_hourly_incidents(connection, span, clock)
            return profiles | incidents | make_capacity_forecasts(connection, span, clock, settings.workers)

        return make_days(context, warehouse, settings, make)

    return [hourly_summaries, cluster_baselines, session_analytics, tool_profiles]
