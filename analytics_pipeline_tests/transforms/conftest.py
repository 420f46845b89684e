"""Rows in, rows out: an empty warehouse in memory, and short ways to put rows in and take rows out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from analytics_pipeline import engine, schema
from analytics_pipeline.partitions import Clock

Row = dict[str, Any]


def at(text: str) -> datetime:
    """An ISO time as the naive UTC instant that the tables hold."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def clock(now: str, zone: str = "UTC") -> Clock:
    """Now (ISO, in UTC) in a zone."""
    return Clock(datetime.fromisoformat(now).replace(tzinfo=UTC), ZoneInfo(zone))


class Tables:
    """A warehouse in memory, its reporting days in one zone."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, zone: str = "UTC") -> None:
        self.connection = connection
        self.zone = ZoneInfo(zone)
        self._ids = count(1)

    def local(self, instant: datetime) -> datetime:
        """The wall clock of the zone at a naive UTC instant."""
        return instant.replace(tzinfo=UTC).astimezone(self.zone).replace(tzinfo=None)

    def run(self, started_at: str, **fields: Any) -> str:
        """Add a run; returns its id."""
        start = at(started_at)
        row: Row = {
            "run_id": f"r{next(self._ids)}",
            "org_id": "default",
            "status": "succeeded",
            "unpriced_calls": 0,
            "started_at": start,
            "day": self.local(start).date(),
            **fields,
        }
        if row.get("duration_ms") is not None:
            row.setdefault("ended_at", start + timedelta(milliseconds=row["duration_ms"]))
        return str(self.add("runs", row)["run_id"])

    def call(self, started_at: str, **fields: Any) -> str:
        """Add a call; returns its id."""
        start = at(started_at)
        row: Row = {
            "call_id": f"c{next(self._ids):04}",
            "run_id": "r1",
            "org_id": "default",
            "kind": "tool",
            "status": "ok",
            "cost_source": "reported" if "cost_usd" in fields else "not_applicable",
            "started_at": start,
            "day": self.local(start).date(),
            **fields,
        }
        return str(self.add("calls", row)["call_id"])

    def session(self, created_at: str, **fields: Any) -> str:
        """Add a session; returns its id."""
        start = at(created_at)
        row: Row = {
            "org_id": "default",
            "session_id": f"s{next(self._ids)}",
            "created_at": start,
            "local_created_at": self.local(start),
            "day": self.local(start).date(),
            "unpriced_calls": 0,
            "message_count": 0,
            "cell_count": 0,
            "error_count": 0,
            **fields,
        }
        return str(self.add("sessions", row)["session_id"])

    def add(self, table: str, row: Row) -> Row:
        """Add a row of any table."""
        names = ", ".join(row)
        values = ", ".join(f"${name}" for name in row)
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)
        return row

    def rows(self, query: str) -> list[Row]:
        """What a query finds, each row by its columns' names."""
        found = self.connection.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def everything(self, table: str) -> list[tuple[Any, ...]]:
        """Every row of a table in one order, for comparison."""
        return sorted(self.connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


@pytest.fixture
def tables() -> Iterator[Tables]:
    """An empty warehouse with every table, its days in UTC."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(engine.sql("macros"))
        schema.create_all(connection)
        connection.execute("BEGIN")
        yield Tables(connection)
