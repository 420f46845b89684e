"""Log files into the log tier: incremental, in one transaction, nothing lost.

`load` is all that others need. Its steps are modules of their own: files.py finds what was not read yet, stage.py types
and checks it, merge.py makes one row of a key's versions, derive.py writes the log tier and keeps what was touched,
tally.py counts what happened.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_pipeline import records, schema, sources, stale
from analytics_pipeline.load import derive, files, merge, stage, tally
from analytics_pipeline.load.files import LogFile
from analytics_pipeline.load.stage import FileInfo, Rejection
from analytics_pipeline.partitions import to_naive_utc
from analytics_pipeline.warehouse import Warehouse, transaction

if TYPE_CHECKING:
    import duckdb

    from analytics_pipeline.settings import Settings

Progress = Callable[[str, float], None]
"""Told what is being done, and the share of the whole that is done (0 to 1)."""


_READ_ON = frozenset(name for name, source in sources.registry.items() if source.incremental)


@dataclass
class LoadResult:
    """What one load did.

    Attributes:
        files: Files read, now or in part.
        unchanged: Files that were read before as they are.
        passed_over: Files in the folders without a log's ending.
        records: Records that count for the first time, by kind.
        copies: Records that brought nothing new.
        rejects: Lines that did not load.
        hours: UTC hours touched.
        problems: (path, what is wrong and what to do) for each file that could not be read or of which nothing matched.
    """

    files: int = 0
    unchanged: int = 0
    passed_over: int = 0
    records: dict[str, int] = field(default_factory=dict)
    copies: int = 0
    rejects: int = 0
    hours: list[datetime] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the log tier holds anything new."""
        return bool(self.files)


@dataclass
class _Read:
    """One file that was staged."""

    info: FileInfo
    reading: files.Reading
    piece: files.Piece
    first_kind_base: tuple[str, int] | None
    rejections: list[Rejection]
    records: int = 0


def load(
    warehouse: Warehouse,
    settings: Settings,
    log_files: Iterable[LogFile],
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> LoadResult:
    """Read what is new under the given files and folders into the log tier.

    Args:
        warehouse: Where to write; its lock is held until the load is done.
        settings: Prices and reporting zone.
        log_files: Files and folders; folders recursively, only files with a log's ending.
        now: What counts as the clock; the real one by default.
        progress: Told how far it is.

    Raises:
        WarehouseBusyError: Another process holds the warehouse.
        DiskFullError: Nothing was changed, for the disk is full.
    """
    return _Load(warehouse, settings, now or datetime.now(UTC), progress or (lambda what, share: None)).run(log_files)


def log_files(settings: Settings) -> list[LogFile]:
    """Everything that the configuration has read: sources, what the receiver took in, decisions."""
    own = [LogFile(folder, "canonical") for folder in (settings.received_dir, settings.decisions_dir) if folder.is_dir()]
    sources_of = [
        LogFile(
            source.path,
            source.format,
            source.org_id,
            source.project,
            ZoneInfo(source.timezone) if source.timezone else None,
        )
        for source in settings.source_list
        if source.path.exists() or source.path != settings.home / "run_logs"
    ]
    return [*sources_of, *own]


class _Load:
    """One load: the state that its steps share."""

    def __init__(self, warehouse: Warehouse, settings: Settings, now: datetime, progress: Progress) -> None:
        self.warehouse = warehouse
        self.settings = settings
        self.now = now
        self.progress = progress
        self.result = LoadResult()
        self.reads: list[_Read] = []
        self.copied: list[tuple[files.Reading, files.LedgerEntry]] = []

    def run(self, log_files: Iterable[LogFile]) -> LoadResult:
        found = files.find(log_files)
        self.result.passed_over = found.passed_over
        self.result.problems.extend(found.problems)
        with (
            ThreadPoolExecutor(1) as beside,
            self.warehouse.open() as connection,
        ):
            self._stage_all(connection, found.files, beside)
            if self.reads or self.copied:
                with transaction(connection):
                    self._write(connection)
        return self.result

    # --- reading ---------------------------------------------------------------------------------------------------

    def _stage_all(
        self, connection: duckdb.DuckDBPyConnection, found: list[LogFile], beside: ThreadPoolExecutor
    ) -> None:
        ledger = files.read_ledger(connection)
        stage.create_stages(connection)
        tally.create(connection)
        todo = self._changed(found, ledger)
        total = sum(status.st_size for _, status in todo) or 1
        done = 0
        for file, status in todo:
            self.progress(f"reading {file.path.name}", done / total * 0.6)
            try:
                self._stage_file(connection, files.unread(file, status, ledger, read_on=_READ_ON), ledger, beside)
            except OSError as error:
                self.result.problems.append((str(file.path), f"cannot be read: {error.strerror or error}"))
            done += status.st_size

    def _changed(
        self, found: list[LogFile], ledger: dict[str, files.LedgerEntry]
    ) -> list[tuple[LogFile, os.stat_result]]:
        changed = []
        for file in found:
            try:
                status = file.path.stat()
            except OSError as error:
                self.result.problems.append((str(file.path), f"cannot be read: {error.strerror or error}"))
                continue
            if files.is_unchanged(file, status, ledger):
                self.result.unchanged += 1
            else:
                changed.append((file, status))
        return changed

    def _stage_file(
        self,
        connection: duckdb.DuckDBPyConnection,
        reading: files.Reading,
        ledger: dict[str, files.LedgerEntry],
        beside: ThreadPoolExecutor,
    ) -> None:
        copy = files.copy_of(reading, ledger)
        if copy is not None:
            self.copied.append((reading, copy))
            return
        head = files.head_of(reading, sources.HEAD_BYTES)
        source = self._source_of(reading, head)
        if source is None:
            return
        with tempfile.TemporaryDirectory(prefix="load-", dir=self._scratch()) as folder:
            piece = files.cut(reading, Path(folder), beside, by_line=source.incremental)
            info = FileInfo(
                len(self.reads),
                reading.path,
                source.name,
                self.now,
                reading.file.timezone,
                reading.file.org_id,
                reading.file.project,
            )
            before = tally.staged(connection)
            if source.name == "canonical":
                staged, base = self._stage_canonical(connection, piece, reading, info, head)
            else:
                staged, base = self._stage_foreign(connection, source, piece, reading, info), None
            piece.data = reading.file.path
        read = _Read(info, reading, piece, base, staged.rejections, tally.staged(connection) - before)
        if read.rejections and not read.records:
            self.result.problems.append(
                (
                    reading.path,
                    f"nothing in it matches the format '{source.name}': {read.rejections[0].reason} "
                    f"(line {read.rejections[0].line_number}); name its format with --format",
                )
            )
        if piece.problem:
            self.result.problems.append((reading.path, piece.problem))
        self.reads.append(read)
        self.result.files += 1

    def _scratch(self) -> Path:
        folder = self.warehouse.path.parent / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _source_of(self, reading: files.Reading, head: bytes) -> sources.Source | None:
        """The source that reads a file; None where it is not to be read now, with the problem noted if there is one."""
        if reading.file.format != "auto":
            return sources.registry[reading.file.format]
        if reading.previous and reading.previous.format in sources.registry:
            return sources.registry[reading.previous.format]
        source = sources.sniff(head, reading.file.path)
        if source is None and not _holds_a_line(head):
            return sources.registry["canonical"]
        if source is None:
            names = ", ".join(sorted(sources.registry))
            self.result.problems.append(
                (reading.path, f"its format is not known: name one with --format ({names})")
            )
        return source

    def _stage_canonical(
        self,
        connection: duckdb.DuckDBPyConnection,
        piece: files.Piece,
        reading: files.Reading,
        info: FileInfo,
        head: bytes,
    ) -> tuple[stage.Staged, tuple[str, int]]:
        import duckdb

        kind = _commonest_kind(head)
        base = tally.next_rowid(connection, stage.stage_table(kind))

        def read_line(ordinals: list[int]) -> Iterator[tuple[int, int, bytes]]:
            return files.numbered(piece.data, reading.first_line, ordinals)

        def attempt(object_size: int) -> stage.Staged:
            return stage.stage_canonical(
                connection,
                piece.data,
                info,
                first_kind=kind,
                object_size=object_size,
                drop_last=piece.drop_last,
                read_line=read_line,
            )

        try:
            return attempt(stage.DEFAULT_OBJECT_SIZE), (kind, base)
        except duckdb.InvalidInputException as error:
            if "maximum_object_size" not in str(error):
                raise
            return attempt(piece.digest().longest_line + 1024), (kind, base)

    def _stage_foreign(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: sources.Source,
        piece: files.Piece,
        reading: files.Reading,
        info: FileInfo,
    ) -> stage.Staged:
        context = sources.FileContext(
            path=reading.file.path,
            now=self.now,
            modified=datetime.fromtimestamp(reading.status.st_mtime, UTC),
            first_line=reading.first_line,
        )
        with piece.data.open("rb") as stream:
            items = source.read(stream, context)
            return stage.stage_objects(connection, (_as_object(item) for item in items), info)

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write(self, connection: duckdb.DuckDBPyConnection) -> None:
        ingested_at = to_naive_utc(self.now)
        self.progress("merging records", 0.6)
        self._reject_foreign(connection)
        tally.count_staged(connection)
        for kind in schema.records():
            merge.merge_kind(connection, kind)
        self.progress("writing the log tier", 0.7)
        derive.write_log_tier(connection, self.settings, ingested_at=ingested_at)
        stale.mark(connection)
        stale.keep_first_day(connection, self.warehouse.path.parent)
        self.progress("keeping the ledger", 0.95)
        rejections = [rejection for read in self.reads for rejection in read.rejections]
        tally.write_rejections(connection, rejections, ingested_at)
        tally.write_quality(connection, self._rejects_by_source(), ingested_at)
        self._keep_ledger(connection, ingested_at)
        self.result.records, self.result.copies = tally.totals(connection)
        self.result.rejects = len(rejections)
        self.result.hours = tally.touched_hours(connection)

    def _reject_foreign(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Turn records that conflict with another org's into rejects of their line."""
        for kind in schema.records():
            conflicts = merge.drop_foreign(connection, kind)
            conflicts += derive.drop_calls_of_foreign_runs(connection, kind)
            by_file = groupby(sorted(conflicts, key=lambda c: c.file_number), key=lambda c: c.file_number)
            for number, of_file in by_file:
                self._reject_rows(self.reads[number], list(of_file))

    def _reject_rows(self, read: _Read, conflicts: list[merge.Conflict]) -> None:
        located: dict[int, str] = {}
        by_ordinal: dict[int, str] = {}
        for conflict in conflicts:
            if conflict.line is not None and read.info.format != "canonical":
                located[conflict.line] = conflict.reason
            elif read.first_kind_base and conflict.line is None:
                by_ordinal[conflict.rowid - read.first_kind_base[1] + 1] = conflict.reason
            else:
                by_ordinal[conflict.line or 0] = conflict.reason
        start = read.reading.first_line
        raw_of = dict(_raw_lines(read.piece.data, located)) if located else {}
        for number, reason in located.items():
            read.rejections.append(Rejection(read.info.path, number, reason, stage.shown(raw_of.get(number, b""))))
        for ordinal, number, raw in files.numbered(read.piece.data, start, sorted(by_ordinal)):
            read.rejections.append(Rejection(read.info.path, number, by_ordinal[ordinal], stage.shown(raw)))
        read.records -= len(conflicts)

    def _rejects_by_source(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for read in self.reads:
            key = (read.info.org_id or "default", read.info.format)
            counts[key] = counts.get(key, 0) + len(read.rejections)
        return counts

    def _keep_ledger(self, connection: duckdb.DuckDBPyConnection, ingested_at: datetime) -> None:
        for read in self.reads:
            digest = read.piece.digest()
            previous = read.reading.previous if read.reading.start else None
            with read.reading.file.path.open("rb") as file:
                head_hash, tail_hash = files.probe(file, read.piece.end)
            entry = files.LedgerEntry(
                read.info.path,
                read.info.format,
                files.inode(read.reading.status),
                read.reading.status.st_size,
                read.reading.status.st_mtime_ns,
                read.piece.end,
                (previous.newlines if previous else 0) + digest.newlines,
                head_hash,
                tail_hash,
                digest.sha256,
                failed=read.piece.problem is not None,
            )
            former = read.reading.previous.path if read.reading.previous else None
            files.remember(connection, entry, former)
            tally.write_file(connection, entry, read.records, len(read.rejections), previous, ingested_at)
        for reading, known in self.copied:
            entry = files.LedgerEntry(
                reading.path,
                known.format,
                files.inode(reading.status),
                reading.status.st_size,
                reading.status.st_mtime_ns,
                known.consumed,
                known.newlines,
                known.head_hash,
                known.tail_hash,
                known.sha256,
            )
            files.remember(connection, entry, None)
            tally.write_file(connection, entry, 0, 0, None, ingested_at)


def _as_object(item: sources.Item) -> tuple[int, object, bytes | str]:
    if isinstance(item, sources.Rejected):
        return item.line_number, records.Reject(item.reason), item.raw
    return item.line_number, item.record, ""


def _raw_lines(data: Path, wanted: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    numbers = set(wanted)
    return ((number, line) for number, line in files.lines(data) if number in numbers)


def _holds_a_line(head: bytes) -> bool:
    return b"\n" in head.strip(b"\r\n\t ") or b"\n" in head.lstrip() or files.is_whole(head)


def _commonest_kind(head: bytes) -> str:
    """The record kind that most lines of a file's beginning have; `call` where none can be told."""
    counts = {kind: head.count(f'"record":"{kind}"'.encode()) + head.count(f'"record": "{kind}"'.encode())
              for kind in schema.records()}
    best = max(counts, key=lambda kind: counts[kind])
    return best if counts[best] else "call"
