"""What is so right now: `agent_status` and `storage_usage`.

`agent_status` is of the latest now alone; `storage_usage` keeps the rows of other days. Does not belong here: what
speaks of periods and of the future (trends.py, forecasts.py, optimization.py, patterns.py).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine, schema
from analytics_pipeline.partitions import Clock

if TYPE_CHECKING:
    import duckdb

_ACTIVE, _RECENT = timedelta(minutes=5), timedelta(hours=24)
"""An agent is active within the one of its last activity, idle within the other, offline after that."""
_BYTES_PER_CELL = 8
_DAYS_OF_MONTH = 30

Row = dict[str, Any]


def make_agent_status(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Replace the whole of `agent_status` by what is known at now.

    Returns:
        Rows written per table.
    """
    written = engine.replace(
        connection,
        "agent_status",
        "agent_status",
        where="TRUE",
        now=clock.naive,
        day_starts_at=clock.day_bounds(clock.today)[0],
        recent_from=clock.naive - _RECENT,
        active_from=clock.naive - _ACTIVE,
    )
    return {"agent_status": written}


def make_storage_usage(
    connection: duckdb.DuckDBPyConnection, clock: Clock, *, usd_per_gb_month: float
) -> dict[str, int]:
    """Make the day's `storage_usage` again.

    DuckDB packs tables into shared blocks and compresses each column its own way; walking them costs more than the
    answer is worth. So the file's size is shared out by cells (rows x columns); where nothing is on disk yet, a cell
    counts as 8 bytes.

    Args:
        connection: The warehouse, within a transaction.
        clock: Now, whose day the rows are of.
        usd_per_gb_month: Price of 10^9 bytes for 30 days, USD.

    Returns:
        Rows written per table.
    """
    rows = {name: _count(connection, name) for name in schema.TABLES}
    cells = {name: count * len(schema.columns(name)) for name, count in rows.items()}
    all_cells = sum(cells.values())
    size = _file_size(connection) or all_cells * _BYTES_PER_CELL
    written = engine.replace(
        connection,
        "storage_usage",
        "storage_usage",
        where="as_of_day = $as_of_day",
        as_of_day=clock.today,
        rows=[
            _usage(clock.today, name, count, size * cells[name] // max(all_cells, 1), usd_per_gb_month)
            for name, count in rows.items()
        ],
    )
    return {"storage_usage": written}


def _usage(day: date, table: str, rows: int, size: int, usd_per_gb_month: float) -> Row:
    return {
        "as_of_day": day,
        "table_name": table,
        "rows": rows,
        "bytes": size,
        "cost_usd_per_day": size / 1e9 * usd_per_gb_month / _DAYS_OF_MONTH,
    }


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    return int(row[0]) if row else 0


def _file_size(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes of the file's blocks; 0 while it has none."""
    row = connection.execute(
        "SELECT block_size * total_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    ).fetchone()
    return int(row[0]) if row else 0
