"""Readers of the published file while new generations are renamed over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from analytics_pipeline.serving.published import Published
from analytics_pipeline_tests.serving.publishing import ago, publish, run, settings_for


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    made = Published(settings_for(tmp_path).published_path)
    yield made
    made.close()


def put(home: Path, number: int) -> None:
    publish(settings_for(home), [run(f"r{i}", ago(1)) for i in range(number)])


def count(cursor: duckdb.DuckDBPyConnection) -> int:
    return int(cursor.execute("SELECT COUNT(*) FROM runs").fetchall()[0][0])


def test_a_new_generation_is_seen_and_an_old_reader_keeps_its_own(tmp_path: Path, published: Published) -> None:
    put(tmp_path, 1)
    with published.read() as old:
        assert count(old) == 1
        put(tmp_path, 2)
        with published.read() as new:
            assert (count(old), count(new)) == (1, 2)
        put(tmp_path, 3)
        with published.read() as newest:
            assert (count(old), count(newest)) == (1, 3)
    with published.read() as cursor:
        assert count(cursor) == 3


def test_nothing_published_is_an_empty_database(tmp_path: Path, published: Published) -> None:
    with published.read() as cursor:
        assert count(cursor) == 0
    assert published.mark() is None
    assert not published.path.exists()
    put(tmp_path, 1)
    with published.read() as cursor:
        assert count(cursor) == 1
    assert published.mark() is not None


def test_readers_cannot_write(tmp_path: Path, published: Published) -> None:
    put(tmp_path, 1)
    with published.read() as cursor, pytest.raises(duckdb.Error, match="read-only"):
        cursor.execute("DELETE FROM runs")


def test_a_reader_does_not_lock_others_out(tmp_path: Path, published: Published) -> None:
    put(tmp_path, 1)
    with published.read() as cursor, duckdb.connect(str(published.path), read_only=True) as other:
        assert count(other) == count(cursor) == 1
