"""Which files hold what has not been read yet, and from which byte on: the ledger of files.

A growing file is read on, a replaced one again, a renamed or copied one not twice. Content is recognised by its size and
SHA-256; that a file only grew, by the hashes of its first and its last read bytes.

Belongs here: finding log files, comparing them with `state.files`, unpacking, cutting at whole lines. Does not belong
here: what the lines mean (sources/, stage.py).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import duckdb

LOG_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".log", ".traj")
PACKED_ENDINGS = (".gz", ".zst")
NOT_LOGS = frozenset({"truth.json"})
"""Files with a log's ending that the simulator writes beside its logs."""
PROBE_BYTES = 4096
CHUNK_BYTES = 8 * 1024 * 1024
DIRECT_BYTES = 16 * 1024 * 1024
"""From this size on an unread plain file is read where it lies; smaller ones, and tails, as an exact copy."""


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
    """What was read of a file."""

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
    failed: bool = False


@dataclass
class Reading:
    """The part of a file that is to be read now."""

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
    longest_line: int


@dataclass
class Piece:
    """Whole lines of a file in a form that can be read from the first to the last byte.

    Attributes:
        data: A plain file; the log itself, or an exact copy of its unread part.
        end: Offset in the unpacked file behind the last whole line.
        digest: Waits for the pass over the bytes, which runs beside the reading.
        drop_last: Whether `data` ends in a line that is not whole yet.
        problem: Why the file could not be read to its end (a truncated archive), if so.
    """

    data: Path
    end: int
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
    for folder, folders, names in os.walk(path, onerror=lambda e: found.problems.append((str(e.filename), e.strerror))):
        folders.sort()
        for name in sorted(names):
            if is_log(name):
                yield (Path(folder) / name).absolute()
            else:
                found.passed_over += 1


def is_log(name: str) -> bool:
    """Whether a file found in a folder has a log's ending."""
    plain = name.lower()
    for ending in PACKED_ENDINGS:
        plain = plain.removesuffix(ending)
    return plain.endswith(LOG_ENDINGS) and name not in NOT_LOGS


def read_ledger(connection: duckdb.DuckDBPyConnection) -> dict[str, LedgerEntry]:
    """The ledger by path."""
    rows = connection.execute(
        "SELECT path, format, inode, size_bytes, modified_ns, consumed, newlines, head_hash, tail_hash, sha256, failed "
        "FROM state.files"
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
    )


def differing(sources: Iterable[LogFile], ledger: dict[str, LedgerEntry]) -> list[str]:
    """Paths of the log files that are not as the ledger knows them, by one look at each."""
    found = []
    for file in find(sources).files:
        try:
            status = file.path.stat()
        except OSError:
            continue  # gone since the folder was listed
        if not is_unchanged(file, status, ledger):
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
    can_read_on = entry is not None and entry.format in read_on and not packed and not entry.failed
    if entry and can_read_on and _only_grew(file.path, status, entry):
        return Reading(file, status, entry.consumed, entry.newlines + 1, entry, packed)
    return Reading(file, status, 0, 1, entry, packed)


def _renamed_from(status: os.stat_result, ledger: dict[str, LedgerEntry]) -> LedgerEntry | None:
    return next(
        (e for e in ledger.values() if e.inode == inode(status) and not os.path.exists(e.path)),
        None,
    )


def _only_grew(path: Path, status: os.stat_result, entry: LedgerEntry) -> bool:
    if status.st_size < entry.consumed:
        return False
    with path.open("rb") as file:
        head, tail = probe(file, entry.consumed)
    return head == entry.head_hash and tail == entry.tail_hash


def copy_of(reading: Reading, ledger: dict[str, LedgerEntry]) -> LedgerEntry | None:
    """The entry of another path with the same content, where the whole file would be read."""
    if reading.start or not reading.status.st_size:
        return None
    same_size = [e for e in ledger.values() if e.size_bytes == reading.status.st_size and not e.failed]
    if not same_size:
        return None
    digest = _sha256(reading.file.path)
    return next((e for e in same_size if e.sha256 == digest), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        try:
            return file.read(size)
        except (EOFError, OSError, _zst_error()):
            return b""


def _unpacked(path: Path) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            return gzip.open(path, "rb")
        case ".zst":
            import zstandard

            return zstandard.open(path, "rb")
        case _:
            return path.open("rb")


def _zst_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def cut(reading: Reading, folder: Path, beside: Executor, *, by_line: bool) -> Piece:
    """What of a file is to be read: its unread whole lines, or all of it where its format is not read `by_line`."""
    if by_line and not reading.packed and not reading.start and reading.status.st_size >= DIRECT_BYTES:
        return _in_place(reading, beside)
    return _copied(reading, folder, by_line=by_line)


def _in_place(reading: Reading, beside: Executor) -> Piece:
    """A large file read where it lies."""
    size = reading.status.st_size
    with reading.file.path.open("rb") as file:
        end = last_newline(file, size) + 1
        file.seek(end)
        last = file.read(size - end)
    whole = is_whole(last)
    digest = beside.submit(_digest, reading.file.path, size)
    return Piece(
        reading.file.path, size if whole else end, digest.result, drop_last=bool(last.strip()) and not whole
    )


def _digest(path: Path, size: int) -> Digest:
    """Hash, newlines and (an upper bound of) the longest line of the first `size` bytes."""
    hashed, newlines, longest, line_start, position = hashlib.sha256(), 0, 0, 0, 0
    with path.open("rb") as file:
        while position < size and (chunk := file.read(min(CHUNK_BYTES, size - position))):
            hashed.update(chunk)
            newlines += chunk.count(b"\n")
            first = chunk.find(b"\n")
            if first >= 0:
                longest = max(longest, position + first - line_start, min(CHUNK_BYTES, len(chunk)))
                line_start = position + chunk.rfind(b"\n") + 1
            position += len(chunk)
    return Digest(hashed.hexdigest(), newlines, max(longest, position - line_start))


def _copied(reading: Reading, folder: Path, *, by_line: bool) -> Piece:
    """An exact copy of what is to be read; of an archive as much as can be unpacked."""
    target = folder / "piece"
    problem = None
    with target.open("w+b") as copy, _unpacked(reading.file.path) as file:
        if reading.start:
            file.seek(reading.start)
        try:
            if reading.packed:
                shutil.copyfileobj(file, copy, CHUNK_BYTES)
            else:
                _copy_bytes(file, copy, reading.status.st_size - reading.start)
        except (EOFError, OSError, _zst_error()) as error:
            if not reading.packed:
                raise
            problem = f"the archive ends early or is damaged ({error}): what came before it is loaded; replace the file"
        end = size = copy.tell()
        if by_line:
            end = last_newline(copy, size) + 1
            copy.seek(end)
            if is_whole(copy.read()):
                end = size
            copy.truncate(end)
    digest = _digest(target, end)
    whole_hash = _sha256_of(reading, digest)
    return Piece(
        target, reading.start + end, lambda: replace(digest, sha256=whole_hash), problem=problem
    )


def _sha256_of(reading: Reading, digest: Digest) -> str:
    """The hash of the file's content; of a file that grew, chained from what was read before and the new part."""
    if reading.packed:
        return _sha256(reading.file.path)
    if reading.start and reading.previous:
        return hashlib.sha256((reading.previous.sha256 + digest.sha256).encode()).hexdigest()
    return digest.sha256


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
    import orjson

    if last.strip()[:1] not in (b"{", b"["):
        return False
    try:
        orjson.loads(last)
    except orjson.JSONDecodeError:
        return False
    return True


def lines(data: Path) -> Iterator[tuple[int, bytes]]:
    """Every line of a piece with its number within the piece, from 1."""
    with data.open("rb") as file:
        yield from enumerate(file, start=1)


def numbered(data: Path, first_line: int, ordinals: list[int]) -> Iterator[tuple[int, int, bytes]]:
    """(ordinal, physical line number, bytes) of the non-blank lines with these ordinals, from 1, in order."""
    wanted = iter(ordinals)
    next_wanted = next(wanted, None)
    ordinal = 0
    for number, line in lines(data):
        if next_wanted is None:
            return
        if not line.strip():
            continue
        ordinal += 1
        if ordinal == next_wanted:
            yield ordinal, first_line + number - 1, line
            next_wanted = next(wanted, None)


def remember(connection: duckdb.DuckDBPyConnection, entry: LedgerEntry, former: str | None) -> None:
    """Keep an entry in place of the path's former one (and of the path it was renamed from)."""
    connection.execute("DELETE FROM state.files WHERE path IN (?, ?)", [entry.path, former or entry.path])
    connection.execute(
        "INSERT INTO state.files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            entry.path,
            entry.format,
            entry.inode,
            entry.size_bytes,
            entry.modified_ns,
            entry.consumed,
            entry.newlines,
            entry.head_hash,
            entry.tail_hash,
            entry.sha256,
            entry.failed,
        ],
    )
