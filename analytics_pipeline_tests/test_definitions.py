"""What Dagster is given: every asset, job, schedule and sensor, and what each asset tells about itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from analytics_pipeline import checks, definitions, schema
from analytics_pipeline_tests import worlds

DAYS = {"hourly_summaries", "cluster_baselines", "session_analytics", "tool_profiles"}
DEPENDENCIES = {
    "run_logs": set(),
    "hourly_summaries": {"run_logs"},
    "cluster_baselines": {"run_logs"},
    "session_analytics": {"run_logs", "cluster_baselines"},
    "tool_profiles": {"run_logs", "hourly_summaries", "session_analytics"},
    "daily_series": {"run_logs"},
    "agent_status": {"run_logs"},
    "trends": {"run_logs", "daily_series"},
    "cost_forecasts": {"run_logs"},
    "insights": {"daily_series", "trends", "cost_forecasts", "optimization", "session_analytics", "tool_profiles"},
    "optimization": {"run_logs"},
    "knowledge_gaps": {"run_logs"},
    "storage_usage": {"hourly_summaries", "session_analytics", "tool_profiles", "daily_series", "insights"},
    "published": {
        *DAYS,
        "daily_series",
        "agent_status",
        "trends",
        "cost_forecasts",
        "insights",
        "optimization",
        "knowledge_gaps",
        "storage_usage",
    },
}
NOW = set(DEPENDENCIES) - DAYS - {"run_logs"}
JOBS = {"load": {"run_logs"}, "refresh": set(DEPENDENCIES), "catch_up": DAYS | NOW, "days": DAYS, "speak": NOW}
SENSORS = {
    "new_logs": ("refresh", 1),
    "waiting_days": ("catch_up", 30),
    "days_by_hand": ("speak", 10),
    "failed_runs": (None, None),
}


@pytest.fixture
def home() -> Iterator[Path]:
    with worlds.scratch() as folder:
        yield folder


@pytest.fixture(scope="module")
def defs() -> Iterator[dg.Definitions]:
    with worlds.scratch() as folder:
        yield definitions.build_defs(worlds.settings_of(folder))


def spec_of(defs: dg.Definitions, name: str) -> dg.AssetSpec:
    return defs.resolve_assets_def(name).get_asset_spec(dg.AssetKey(name))


def test_everything_can_be_loaded(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_assets_and_what_hangs_on_what(defs: dg.Definitions) -> None:
    found = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in defs.resolve_all_asset_specs()
    }
    assert found == DEPENDENCIES


def test_groups(defs: dg.Definitions) -> None:
    groups = {spec.key.to_user_string(): spec.group_name for spec in defs.resolve_all_asset_specs()}
    expected = dict.fromkeys(NOW, "now") | dict.fromkeys(DAYS, "days") | {"run_logs": "load", "published": "publish"}
    assert groups == expected


def test_jobs(defs: dg.Definitions) -> None:
    for name, assets in JOBS.items():
        job = defs.resolve_job_def(name)
        assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == assets
        assert job.description
    assert {job.name for job in defs.jobs or ()} == set(JOBS)


def test_schedules(defs: dg.Definitions) -> None:
    schedules = [schedule for schedule in defs.schedules or () if isinstance(schedule, dg.ScheduleDefinition)]
    assert [(s.name, s.cron_schedule, s.job_name) for s in schedules] == [("hourly", "2 * * * *", "refresh")]
    assert all(s.default_status == dg.DefaultScheduleStatus.RUNNING for s in schedules)


def test_sensors(defs: dg.Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    assert set(sensors) == set(SENSORS)
    for name, (job, seconds) in SENSORS.items():
        sensor = sensors[name]
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert sensor.description
        if job:
            assert (sensor.job_name, sensor.minimum_interval_seconds) == (job, seconds)


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_every_asset_tells_what_it_is(defs: dg.Definitions, name: str) -> None:
    spec = spec_of(defs, name)
    assert len(spec.description or "") > 20
    assert spec.owners
    assert spec.kinds
    assert defs.resolve_assets_def(name).op.pool == "warehouse"
    assert checks.TABLES_OF[name] == () or spec.metadata["dagster/table_name"] == f"main.{checks.TABLES_OF[name][0]}"


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_every_column_has_its_type_and_comment(defs: dg.Definitions, name: str) -> None:
    metadata = spec_of(defs, name).metadata
    shown = [value for value in metadata.values() if isinstance(value, dg.TableSchema | dg.TableSchemaMetadataValue)]
    schemas = [value.schema if isinstance(value, dg.TableSchemaMetadataValue) else value for value in shown]
    expected = [[column.name for column in schema.TABLES[table].columns] for table in checks.TABLES_OF[name]]
    assert [[column.name for column in found.columns] for found in schemas] == expected
    assert all(column.description and column.type for found in schemas for column in found.columns)


def test_every_table_of_the_schema_is_made_by_one_asset() -> None:
    made = [table for tables in checks.TABLES_OF.values() for table in tables]
    assert sorted(made) == sorted(schema.TABLES)


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_every_asset_has_blocking_checks(defs: dg.Definitions, name: str) -> None:
    specs = list(defs.resolve_assets_def(name).check_specs)
    expected = {"published": {"same_rows"}}.get(name, {"schema"})
    if name in ("hourly_summaries", "daily_series"):
        expected = {"schema", "reconciliation"}
    watching = {"coverage"} if name == "cost_forecasts" else set()
    assert {spec.name for spec in specs if spec.blocking} == expected
    assert {spec.name for spec in specs if not spec.blocking} == watching
    assert all(spec.description for spec in specs)


def test_days_are_one_run_a_span(defs: dg.Definitions) -> None:
    assets = [defs.resolve_assets_def(name) for name in DAYS]
    assert {asset.backfill_policy for asset in assets} == {dg.BackfillPolicy.single_run()}
    assert len({asset.partitions_def for asset in assets}) == 1


def test_partitions_begin_with_the_oldest_record_and_end_with_tomorrow(home: Path) -> None:
    today = datetime.now(UTC).date()
    (home / "first_day").write_text((today - timedelta(days=3)).isoformat())
    partitions = definitions.build_defs(worlds.settings_of(home)).resolve_assets_def("tool_profiles").partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == [(today + timedelta(days=i)).isoformat() for i in range(-3, 2)]


def test_a_first_record_of_tomorrow_leaves_today_a_partition(home: Path) -> None:
    today = datetime.now(UTC).date()
    (home / "first_day").write_text((today + timedelta(days=1)).isoformat())
    partitions = definitions.build_defs(worlds.settings_of(home)).resolve_assets_def("tool_profiles").partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == today.isoformat()


IMPORTED = """
import socket, sys

def no_network(*_):
    raise OSError("the network is off")

socket.socket.connect = no_network
socket.getaddrinfo = no_network
import analytics_pipeline.definitions
import json
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""
BETA = "ignore:Parameter `backfill_policy` of function `asset` is currently in beta"


def test_a_fresh_interpreter_loads_them_lightly_and_without_the_network(home: Path) -> None:
    """Every run process pays for this import: 2 s are the budget, and these modules would take most of it."""
    environment = {"ANALYTICS_HOME": str(home), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", BETA, "-c", IMPORTED],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    heavy = {"pandas", "scipy", "sklearn", "matplotlib", "genai_prices", "fastapi", "uvicorn", "pyarrow", "sqlglot"}
    assert heavy & set(json.loads(done.stdout)) == set()
    assert done.stderr == ""
    assert list(home.iterdir()) == []  # nothing is written by looking
