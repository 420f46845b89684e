"""What assets are given: the warehouse as a Dagster resource.

Belongs here: resources. Does not belong here: how the warehouse works (warehouse.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from analytics_pipeline.settings import Settings
from analytics_pipeline.warehouse import Warehouse


class WarehouseResource(DuckDBResource):
    """The DuckDB warehouse: `get_connection` is one writing transaction under the lock, in UTC.

    The parent's `get_connection` leaves the file locked when its body raises and waits 102 s for a locked file; this
    one commits or rolls back, and always closes.
    """

    published: str = Field(description="Path of the published copy that readers open.")

    @classmethod
    def of(cls, settings: Settings) -> WarehouseResource:
        """The resource for these settings."""
        return cls(database=str(settings.warehouse_path), published=str(settings.published_path))

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse itself."""
        return Warehouse(Path(self.database), Path(self.published))

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: committed when the body ends, rolled back when it raises."""
        with self.warehouse.write() as connection:
            yield connection
