"""`run_logs`: what is new in the log files becomes the log tier."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from analytics_pipeline import checks, progress
from analytics_pipeline.assets.common import Made, bars, spec
from analytics_pipeline.load import LoadResult, load, log_files
from analytics_pipeline.resources import WarehouseResource
from analytics_pipeline.settings import Settings

PROBLEMS = "problems"
"""Metadata of `run_logs`: the files that could not be read, and why; `materialize` tells them too."""


@dg.asset(
    **spec(
        "run_logs",
        checks.TABLES_OF["run_logs"],
        group="load",
        kinds={"duckdb", "json"},
        description="Reads what is new in the log files (grown, replaced or new ones; nothing twice) into the log "
        "tier: runs, calls, jobs, QA, support records and decisions, with rejected lines and a ledger of files beside "
        "them. All in one transaction.",
    )
)
def run_logs(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, settings: dg.ResourceParam[Settings]
) -> Made:
    """Load, then check what was loaded."""
    progress.step("run_logs")
    result = load(warehouse.warehouse, settings, log_files(settings), now=datetime.now(UTC))
    for path, problem in result.problems:
        context.log.warning(f"{path}: {problem}")
    with warehouse.get_connection() as connection:
        results = checks.run(connection, "run_logs")
        row = connection.execute("SELECT count(*) FROM calls").fetchone()
    return dg.MaterializeResult(metadata=_metadata(result, row[0] if row else 0), check_results=results)


def _metadata(result: LoadResult, calls: int) -> dict[str, Any]:
    return {
        "dagster/row_count": calls,
        "files read": result.files,
        "files unchanged": result.unchanged,
        "records": sum(result.records.values()),
        "copies of held records": result.copies,
        "rejected lines": result.rejects,
        "hours touched": len(result.hours),
        "records by kind": dg.MetadataValue.md(bars(result.records)),
        PROBLEMS: dg.MetadataValue.table(
            [dg.TableRecord({"path": path, "problem": problem}) for path, problem in result.problems],
            schema=dg.TableSchema([dg.TableColumn("path"), dg.TableColumn("problem")]),
        ),
    }
