"""Dagster's event log in SQLite, with the events of many partitions in one transaction.

Dagster writes each event of its SQLite log in a transaction of its own, on a connection of its own: 2,235 forced writes
to disk for a small materialization, minutes for hundreds of days on a busy disk. Here events that Dagster hands over as
a batch (`DAGSTER_EVENT_BATCH_SIZE`) are stored together, connections stay open, and a commit goes to disk with the next
checkpoint (`synchronous = NORMAL`: power failing may lose the newest events, never the file). Which rows are written,
and where, is as in the parent; what was loaded and made is in our own warehouse anyway.

Belongs here: that storage and how an instance is told of it. Does not belong here: any other part of the instance
(dagster.yaml).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, CursorResult, Engine, create_engine, event

if TYPE_CHECKING:
    from dagster import EventLogEntry
    from dagster._serdes import ConfigurableClassData

BATCH_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = "1000"
_OPEN_SHARDS = 4
"""Databases (the index, and one a run) that stay open."""


def storage_config(dagster_home: Path) -> dict[str, Any]:
    """What dagster.yaml says to use this storage, in the folder where the default one keeps its files."""
    return {
        "event_log_storage": {
            "module": "analytics_pipeline.event_log",
            "class": "BatchedEventLogStorage",
            "config": {"base_dir": str(dagster_home / "history" / "runs")},
        }
    }


class BatchedEventLogStorage(SqliteEventLogStorage):
    """The SQLite event log, a batch at a time."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedEventLogStorage:
        """As Dagster makes it from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run: those about assets together, any other one by one."""
        of_assets = []
        for entry in events:
            if entry.is_dagster_event and entry.dagster_event_type in ASSET_EVENTS:
                of_assets.append(entry)
            else:
                self.store_event(entry)
        if not of_assets:
            return
        rows = [self._event_to_row(entry) for entry in of_assets]
        with self.run_connection(of_assets[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            ids = [_inserted_id(connection.execute(SqlEventLogStorageTable.insert(), row)) for row in rows]
            self._store_asset_event_tags(connection, of_assets, ids)
            newest = {
                entry.dagster_event.asset_key: (entry, id_)
                for entry, id_ in zip(of_assets, ids, strict=True)
                if entry.dagster_event
            }
            for entry, id_ in newest.values():
                self._store_asset_event(connection, entry, id_)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        """The engine of a database; the one that was not used for longest is closed."""
        engine = self._engines.pop(shard, None)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            )
            event.listen(engine, "connect", _write_at_checkpoints)
        self._engines[shard] = engine
        while len(self._engines) > _OPEN_SHARDS:
            self._engines.popitem(last=False)[1].dispose()
        return engine

    def dispose(self) -> None:
        """Close every connection."""
        while self._engines:
            self._engines.popitem()[1].dispose()
        super().dispose()


def _inserted_id(result: CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _write_at_checkpoints(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
