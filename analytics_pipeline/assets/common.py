"""What assets share: the instant that is now, the days of a run, the specification and the metadata of an asset page.

Does not belong here: what any one asset computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_pipeline import checks, progress, schema, stale
from analytics_pipeline.partitions import Clock, Span, spans
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb

AS_OF_TAG = "analytics/as_of"
"""Run tag: the instant (ISO, UTC) that the run takes for now; without it, now is when the run started."""
PASSED_DAY_TAG = "analytics/passed_day"
"""Run tag: the passed reporting day whose end the run takes for now."""
POOL = "warehouse"
OWNERS = ["team:data"]
_SHOWN_ROWS = 10

Make = Callable[["duckdb.DuckDBPyConnection", Span, Clock], Mapping[str, int]]


def spec(
    name: str,
    tables: Sequence[str],
    *,
    group: str,
    description: str,
    kinds: set[str] | None = None,
    lineage: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> dict[str, Any]:
    """Arguments of `@dg.asset` that every asset has: description, owners, kinds, group, columns, lineage, checks."""
    metadata: dict[str, Any] = {}
    if tables:
        first, *others = [schema.TABLES[table] for table in tables]
        metadata["dagster/table_name"] = f"main.{first.name}"
        metadata["dagster/column_schema"] = schema.dagster_metadata(first)
        metadata |= {f"columns of {table.name}": schema.dagster_metadata(table) for table in others}
    if lineage:
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=source) for asset, source in deps]
                for column, deps in lineage.items()
            }
        )
    return {
        "name": name,
        "group_name": group,
        "description": description,
        "owners": OWNERS,
        "kinds": kinds or {"duckdb", "sql"},
        "metadata": metadata,
        "check_specs": checks.specs(name),
        "pool": POOL,
        "code_version": "1",
    }


def clock_of(context: dg.AssetExecutionContext, settings: Settings) -> Clock:
    """The run's clock: as its tags say, else the instant at which the run started."""
    tags = context.run.tags
    if PASSED_DAY_TAG in tags:
        return Clock.at_end_of(date.fromisoformat(tags[PASSED_DAY_TAG]), settings.zone)
    if AS_OF_TAG in tags:
        return Clock(datetime.fromisoformat(tags[AS_OF_TAG]), settings.zone)
    record = context.instance.get_run_record_by_id(context.run.run_id)
    started = record.start_time if record and record.start_time else None
    return Clock(datetime.fromtimestamp(started, UTC) if started else datetime.now(UTC), settings.zone)


def make_days(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    settings: Settings,
    make: Make,
) -> dg.MaterializeResult:
    """Make the days of the run again, and older ones that wait and that the code location does not know as partitions.

    Rows, cleared marks and checks stand in one transaction; each day's row count goes to its partition.
    """
    name = context.asset_key.to_user_string()
    progress.step(name)
    clock = clock_of(context, settings)
    keys = [date.fromisoformat(key) for key in context.partition_keys]
    known = _first_partition(context)
    with warehouse.get_connection() as connection:
        older = [day for day in stale.pending(connection, clock.today, (name,)) if day < known]
        for span in [*spans(older), Span(keys[0], keys[-1])]:
            make(connection, span, clock)
            stale.clear(connection, name, span, clock)
        span = Span(min([*older, keys[0]]), keys[-1])
        results = checks.run(connection, name, span)
        tables = checks.TABLES_OF[name]
        by_day = _rows_by_day(connection, tables[0], span)
        preview = _table(connection, tables[0], span)
    for day in keys:
        context.add_asset_metadata(
            {"dagster/partition_row_count": by_day.get(day, 0)}, partition_key=day.isoformat()
        )
    return dg.MaterializeResult(
        metadata={
            "now": clock.now.isoformat(timespec="seconds"),
            "rows by day": dg.MetadataValue.md(bars({day.isoformat(): by_day.get(day, 0) for day in span})),
            "sample": dg.MetadataValue.md(preview),
        },
        check_results=results,
    )


def make_now(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    settings: Settings,
    make: Callable[[duckdb.DuckDBPyConnection, Clock], Mapping[str, Any]],
    *,
    show: str | None = None,
) -> dg.MaterializeResult:
    """Make what an unpartitioned asset says about now; `show` is a query of what its page shows first."""
    name = context.asset_key.to_user_string()
    progress.step(name)
    clock = clock_of(context, settings)
    with warehouse.get_connection() as connection:
        made = make(connection, clock)
        results = checks.run(connection, name, None)
        tables = checks.TABLES_OF[name]
        counts = {table: _count(connection, table) for table in tables}
        preview = markdown(connection, show or f"SELECT * FROM {tables[0]} LIMIT {_SHOWN_ROWS}")
    return dg.MaterializeResult(
        metadata={
            "now": clock.now.isoformat(timespec="seconds"),
            "dagster/row_count": counts[tables[0]],
            **{f"made: {key}": _plain(value) for key, value in made.items()},
            **{f"rows of {table}": count for table, count in counts.items() if len(tables) > 1},
            "preview": dg.MetadataValue.md(preview),
        },
        check_results=results,
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


def _first_partition(context: dg.AssetExecutionContext) -> date:
    definition = context.assets_def.partitions_def
    assert isinstance(definition, dg.TimeWindowPartitionsDefinition)
    return definition.start.date()


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _rows_by_day(connection: duckdb.DuckDBPyConnection, table: str, span: Span) -> dict[date, int]:
    day = checks.DAY_OF[table]
    rows = connection.execute(
        f"SELECT {day}, count(*) FROM {table} WHERE {day} BETWEEN ? AND ? GROUP BY 1", [span.first, span.last]
    ).fetchall()
    return dict(rows)


def _table(connection: duckdb.DuckDBPyConnection, table: str, span: Span) -> str:
    day = checks.DAY_OF[table]
    return markdown(
        connection,
        f"SELECT * FROM {table} WHERE {day} BETWEEN DATE '{span.first}' AND DATE '{span.last}' LIMIT {_SHOWN_ROWS}",
    )


def markdown(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """The rows of a query as a Markdown table; a sentence where there are none."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    rows = cursor.fetchall()
    if not rows:
        return "No rows."
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return (text if len(text) <= 60 else text[:57] + "…").replace("|", "\\|").replace("\n", " ")


def bars(values: Mapping[str, float], width: int = 40) -> str:
    """A small bar chart in text, one line a name."""
    largest = max(values.values(), default=0) or 1
    shown = list(values.items())[-62:]
    lines = [f"{name}  {'█' * round(value / largest * width)} {value:,.6g}" for name, value in shown]
    return "```\n" + "\n".join(lines) + "\n```"
