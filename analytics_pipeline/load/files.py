"""Which files hold what has not been read yet, and from which byte on: the ledger of files.

A growing file is read on, a replaced one again, a renamed or copied one not twice. Content is recognised by its size
and SHA-256; that a file only grew, by the hashes of its first and its last read bytes.

Belongs here: finding log files, comparing them with `state.files`, unpacking, cutting at whole lines. Does not belong
here: what the lines mean (sources/, stage.py).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from analytics_pipeline import records

if TYPE_CHECKING:
    import duckdb

LOG_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".log", ".traj")
PACKED_ENDINGS = (".gz", ".zst")
NOT_LOGS = frozenset({"truth.json"})
"""Files with a log's ending that the simulator writes beside its logs."""
PROBE_BYTES = 4096
CHUNK_BYTES = 8 * 1024 * 1024
PACKED_BYTES = 64 * 1024
DIRECT_BYTES = 16 * 1024 * 1024
"""From this size on an unread plain file is read where it lies; smaller ones, and tails, as an exact copy."""
_PATTERN_CHARACTERS = frozenset("*?[")
"""In a path DuckDB takes them for a pattern."""


@dataclass(frozen=True)
class LogFile:
    """A file to look at, with what its source says about it."""

    path: Path
    format: str = "auto"
    org_id: str | None = None
    project: str | None = None
    timezone: ZoneInfo | None = None


@dataclass
class Found:
    """The log files under the given paths."""

    files: list[LogFile] = field(default_factory=list)
    passed_over: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class LedgerEntry:
    """What was read of a file; `format` is empty where none is known, `problem` says what is wrong with it, if so."""

    path: str
    format: str
    inode: str
    size_bytes: int
    modified_ns: int
    consumed: int
    newlines: int
    head_hash: str
    tail_hash: str
    sha256: str
    problem: str | None = None


@dataclass
class Reading:
    """The part of a file that is to be read now.

    Attributes:
        file: The file.
        status: Its size and times as they were when it was looked at.
        start: Offset of the part.
        first_line: The number of its first line.
        previous: What was read of the file before, where it only grew since, maybe under another name.
        packed: Whether it is an archive.
    """

    file: LogFile
    status: os.stat_result
    start: int
    first_line: int
    previous: LedgerEntry | None
    packed: bool

    @property
    def path(self) -> str:
        """The path under which rows and the ledger know the file."""
        return str(self.file.path)


@dataclass(frozen=True)
class Digest:
    """What one pass over the bytes of a piece tells."""

    sha256: str
    newlines: int


@dataclass
class Piece:
    """Whole lines of a file in a form that can be read from the first to the last byte.

    Attributes:
        data: A plain file; the log itself, or an exact copy of its unread part.
        end: Offset in the unpacked file behind the last whole line.
        ends: Hashes of the first and of the last bytes before `end`.
        digest: Waits for the pass over the bytes, which runs beside the reading.
        drop_last: Whether `data` ends in a line that is not whole yet.
        problem: Why the file could not be read to its end (a truncated archive), if so.
    """

    data: Path
    end: int
    ends: tuple[str, str]
    digest: Callable[[], Digest]
    drop_last: bool = False
    problem: str | None = None


def find(sources: Iterable[LogFile]) -> Found:
    """Every log file under the sources' paths, in order of path, each once."""
    found = Found()
    seen: set[Path] = set()
    for source in sources:
        for path in _files_under(source.path, found):
            if path not in seen:
                seen.add(path)
                found.files.append(LogFile(path, source.format, source.org_id, source.project, source.timezone))
    return found


def _files_under(path: Path, found: Found) -> Iterator[Path]:
    if path.is_file():
        yield path.absolute()
        return
    if not path.is_dir():
        found.problems.append((str(path), "there is no such file or folder"))
        return
    for folder, folders, names in os.walk(
        path, onerror=lambda e: found.problems.append((str(e.filename), e.strerror or str(e)))
    ):
        folders.sort()
        for name in sorted(names):
            if not is_log(name):
                found.passed_over += 1
            elif _is_unicode(name):
                yield (Path(folder) / name).absolute()
            else:
                found.problems.append((ascii(name), "its name is not UTF-8: rename it"))


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_log(name: str) -> bool:
    """Whether a file found in a folder has a log's ending."""
    plain = name.lower()
    for ending in PACKED_ENDINGS:
        plain = plain.removesuffix(ending)
    return plain.endswith(LOG_ENDINGS) and name not in NOT_LOGS


def read_ledger(connection: duckdb.DuckDBPyConnection) -> dict[str, LedgerEntry]:
    """The ledger by path."""
    rows = connection.execute(
        "SELECT path, format, inode, size_bytes, modified_ns, consumed, newlines, head_hash, tail_hash, sha256, "
        "problem FROM state.files"
    ).fetchall()
    return {row[0]: LedgerEntry(*row) for row in rows}


def is_unchanged(file: LogFile, status: os.stat_result, ledger: dict[str, LedgerEntry]) -> bool:
    """Whether the file was read as it is now."""
    entry = ledger.get(str(file.path))
    return (
        entry is not None
        and entry.size_bytes == status.st_size
        and entry.modified_ns == status.st_mtime_ns
        and entry.inode == inode(status)
        and file.format in ("auto", entry.format)
    )


def differing(sources: Iterable[LogFile], ledger: dict[str, LedgerEntry]) -> list[str]:
    """Paths of the readable log files that are not as the ledger knows them, by one look at each."""
    found = []
    for file in find(sources).files:
        try:
            status = file.path.stat()
        except OSError:
            continue  # gone since the folder was listed
        if not is_unchanged(file, status, ledger) and os.access(file.path, os.R_OK):
            found.append(str(file.path))
    return found


def unread(
    file: LogFile, status: os.stat_result, ledger: dict[str, LedgerEntry], *, read_on: Collection[str]
) -> Reading:
    """What is to be read of a file that the ledger does not hold as it is now.

    Args:
        file: The file.
        status: Its size and times as they were when it was looked at.
        ledger: What was read before.
        read_on: The formats of which a grown file can be read on from where it ended.

    Raises:
        OSError: The file cannot be opened.
    """
    packed = file.path.suffix.lower() in PACKED_ENDINGS
    entry = ledger.get(str(file.path)) or _renamed_from(status, ledger)
    if entry is None or packed or entry.problem or file.format not in ("auto", entry.format):
        return Reading(file, status, 0, 1, None, packed)
    if not _only_grew(file.path, status, entry):
        return Reading(file, status, 0, 1, None, packed)
    if entry.format in read_on:
        return Reading(file, status, entry.consumed, entry.newlines + 1, entry, packed)
    return Reading(file, status, 0, 1, entry, packed)


def _renamed_from(status: os.stat_result, ledger: dict[str, LedgerEntry]) -> LedgerEntry | None:
    """The entry of a file that is no longer where it was read; something else may be there now."""
    return next((e for e in ledger.values() if e.inode == inode(status) and _inode_at(e.path) != e.inode), None)


def _inode_at(path: str) -> str | None:
    try:
        return inode(os.stat(path))
    except OSError:
        return None


def _only_grew(path: Path, status: os.stat_result, entry: LedgerEntry) -> bool:
    if status.st_size < entry.consumed:
        return False
    with path.open("rb") as file:
        head, tail = probe(file, entry.consumed)
    return head == entry.head_hash and tail == entry.tail_hash


def copy_of(reading: Reading, known: Iterable[LedgerEntry]) -> LedgerEntry | None:
    """The entry with the same content, where the whole file would be read."""
    if reading.start or not reading.status.st_size:
        return None
    same_size = [
        entry
        for entry in known
        if entry.size_bytes == reading.status.st_size
        and not entry.problem
        and reading.file.format in ("auto", entry.format)
    ]
    if not same_size:
        return None
    digest = sha256_of(reading)
    return next((entry for entry in same_size if entry.sha256 == digest), None)


def sha256_of(reading: Reading) -> str:
    """SHA-256 of the file as large as it was when it was looked at."""
    return _digest(reading.file.path, reading.status.st_size).sha256


def probe(file: IO[bytes], end: int) -> tuple[str, str]:
    """Hashes of the first and of the last bytes before `end`."""
    file.seek(0)
    head = file.read(min(PROBE_BYTES, end))
    file.seek(max(0, end - PROBE_BYTES))
    return hashlib.sha256(head).hexdigest(), hashlib.sha256(file.read(min(PROBE_BYTES, end))).hexdigest()


def inode(status: os.stat_result) -> str:
    """What stays the same when a file is renamed."""
    return f"{status.st_dev}:{status.st_ino}"


def head_of(reading: Reading, size: int) -> bytes:
    """The first bytes of the unpacked file, as far as they can be read."""
    with _unpacked(reading.file.path) as file:
        return file.read(size)


def reopened(reading: Reading) -> IO[bytes]:
    """The unpacked file once more, at the beginning of the part that was read."""
    file = _unpacked(reading.file.path)
    if reading.start:
        file.seek(reading.start)
    return file


def _unpacked(path: Path) -> IO[bytes]:
    if path.suffix.lower() not in PACKED_ENDINGS:
        return path.open("rb")
    return io.BufferedReader(_Archive(path), CHUNK_BYTES)


class _Archive(io.RawIOBase):
    """What an archive holds, as far as it can be unpacked; `problem` says why it ends early, if it does."""

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._file = path.open("rb")
        self._chunks = _gz_chunks(self._file) if path.suffix.lower() == ".gz" else _zst_chunks(self._file)
        self._unread = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import zstandard

        try:
            while not self._unread:
                self._unread = memoryview(next(self._chunks))
        except StopIteration:
            return 0
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            self.problem = str(error)
            return 0
        size = min(len(buffer), len(self._unread))
        buffer[:size], self._unread = self._unread[:size], self._unread[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _gz_chunks(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as packed:
        while chunk := packed.read1(PACKED_BYTES):
            yield chunk


def _zst_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Frame after frame; the library's own reader stops behind the first one and passes over a cut one in silence."""
    import zstandard

    frame = None
    while chunk := file.read(PACKED_BYTES):
        while chunk:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def cut(reading: Reading, folder: Path, beside: Executor, *, by_line: bool, copied: bool = False) -> Piece:
    """What of a file is to be read: its unread whole lines, or all of it where its format is not read `by_line`.

    A large file is read where it lies, unless it must be `copied`: one that grows while it is read shows lines beyond
    the size that it was seen to have.
    """
    plain = by_line and not reading.packed and not reading.start and not _PATTERN_CHARACTERS & set(reading.path)
    if plain and not copied and reading.status.st_size >= DIRECT_BYTES:
        return _in_place(reading, beside)
    return _copied(reading, folder, beside, by_line=by_line)


def has_changed(reading: Reading) -> bool:
    """Whether the file is no longer as it was when it was looked at."""
    try:
        now = os.stat(reading.file.path)
    except FileNotFoundError:
        return True
    return any(getattr(now, fact) != getattr(reading.status, fact) for fact in ("st_size", "st_mtime_ns", "st_ino"))


def _in_place(reading: Reading, beside: Executor) -> Piece:
    """A large file read where it lies."""
    size = reading.status.st_size
    with reading.file.path.open("rb") as file:
        end = last_newline(file, size) + 1
        file.seek(end)
        last = file.read(size - end)
        whole = is_whole(last)
        end = size if whole else end
        ends = probe(file, end)
    digest = beside.submit(_digest, reading.file.path, size)
    return Piece(reading.file.path, end, ends, digest.result, drop_last=bool(last.strip()) and not whole)


def _digest(path: Path, size: int) -> Digest:
    """Hash and newlines of the first `size` bytes."""
    hashed, newlines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
            hashed.update(chunk)
            newlines += chunk.count(b"\n")
            size -= len(chunk)
    return Digest(hashed.hexdigest(), newlines)


def _copied(reading: Reading, folder: Path, beside: Executor, *, by_line: bool) -> Piece:
    """An exact copy of what is to be read; of an archive as much as can be unpacked."""
    target = folder / "piece"
    with target.open("w+b") as copy, reopened(reading) as file:
        _copy_bytes(file, copy, sys.maxsize if reading.packed else reading.status.st_size - reading.start)
        problem = _problem_of(file)
        end = size = copy.tell()
        if by_line:
            end = last_newline(copy, size) + 1
            copy.seek(end)
            if is_whole(copy.read()):
                end = size
            copy.truncate(end)
        ends = probe(copy, end)
    if reading.start:
        with reading.file.path.open("rb") as file:
            ends = probe(file, reading.start + end)
    digest = _digest(target, end)
    if end == size and not reading.packed and not reading.start:
        return Piece(target, end, ends, lambda: digest, problem=problem)
    content = beside.submit(sha256_of, reading)
    return Piece(target, reading.start + end, ends, lambda: replace(digest, sha256=content.result()), problem=problem)


def _problem_of(file: IO[bytes]) -> str | None:
    archive = getattr(file, "raw", None)
    if not isinstance(archive, _Archive) or not archive.problem:
        return None
    return f"the archive ends early or is damaged ({archive.problem}): what came before it is loaded; replace the file"


def _copy_bytes(file: IO[bytes], copy: IO[bytes], size: int) -> None:
    while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
        copy.write(chunk)
        size -= len(chunk)


def last_newline(file: IO[bytes], size: int) -> int:
    """Offset of the last newline before `size`, -1 where there is none."""
    position = size
    while position > 0:
        start = max(0, position - CHUNK_BYTES)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found
        position = start
    return -1


def is_whole(last: bytes) -> bool:
    """Whether a last line without newline is already whole JSON."""
    try:
        return any(isinstance(value, dict | list) for value in records.parse_line(last))
    except records.Reject:
        return False


def shorten(data: Path, target: Path, longest: int) -> None:
    """Copy lines; one longer than `longest` bytes becomes one that is no JSON, so that it is read on its own."""
    with data.open("rb") as lines, target.open("wb") as short:
        short.writelines(line if len(line) <= longest else b"-\n" for line in lines)


def numbered(lines: Iterable[bytes], first_line: int, ordinals: list[int]) -> Iterator[tuple[int, int, bytes]]:
    """(ordinal, physical line number, bytes) of the non-blank lines with these ordinals, from 1, in order."""
    wanted = iter(ordinals)
    next_wanted = next(wanted, None)
    ordinal = 0
    for number, line in enumerate(lines, first_line):
        if next_wanted is None:
            return
        if not line.strip():
            continue
        ordinal += 1
        if ordinal == next_wanted:
            yield ordinal, number, line
            next_wanted = next(wanted, None)


def remember(connection: duckdb.DuckDBPyConnection, entry: LedgerEntry, former: str | None = None) -> None:
    """Keep an entry in place of the path's former one, and of that of the path by which the file was known before."""
    connection.execute(
        "DELETE FROM state.files WHERE path = ? OR (path = ? AND inode = ?)", [entry.path, former, entry.inode]
    )
    values = [getattr(entry, column.name) for column in fields(entry)]
    connection.execute(f"INSERT INTO state.files VALUES ({', '.join('?' for _ in values)})", values)
