"""Where the parts meet: the one code location that Dagster loads.

`build_defs` takes settings so that tests can swap them; `defs` is what workspace.yaml names. Nothing is read here but
the settings and the day of the oldest record.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg

from analytics_pipeline.assets.days import day_assets
from analytics_pipeline.assets.load import run_logs
from analytics_pipeline.assets.now import NOW_ASSETS
from analytics_pipeline.automation import JOBS, build_automation
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings, load_settings
from analytics_pipeline.stale import first_partition


def build_defs(settings: Settings | None = None) -> dg.Definitions:
    """Everything, for these settings (default: those of analytics.toml and the environment)."""
    settings = settings or load_settings()
    first = first_partition(settings.home, datetime.now(UTC).date())
    schedules, sensors = build_automation(settings, first)
    return dg.Definitions(
        assets=[run_logs, *day_assets(partitions_from(first)), *NOW_ASSETS],
        jobs=JOBS,
        schedules=schedules,
        sensors=sensors,
        resources={"warehouse": WarehouseResource.of(settings), "settings": settings},
        executor=dg.in_process_executor,  # a process a step costs 1 to 4 s, and there is one writer anyway
    )


def partitions_from(first: date) -> dg.DailyPartitionsDefinition:
    """A partition a day from the oldest record's on; today and tomorrow (zones ahead of UTC) are there too."""
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=2)


defs = build_defs()
