"""schema.py against DuckDB, Dagster, the contract's own list of columns, and the tables page."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from analytics_pipeline import schema
from analytics_pipeline.schema import TABLES, Column, Table

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT.parent / "shared" / "checks" / "contract_schema.py"

RECORD_START_AND_END = {
    "run": ("started_at", "ended_at"),
    "call": ("started_at", "ended_at"),
    "job": ("queued_at", "finished_at"),
    "qa": ("checked_at", None),
    "support_session": ("created_at", "resolved_at"),
    "flow": ("created_at", None),
    "flow_choice": ("chosen_at", None),
    "flow_proposal": ("created_at", "reviewed_at"),
    "ticket_post": ("posted_at", None),
    "decision": ("decided_at", None),
}
REQUIRED_FIELDS = {
    "run": {"run_id", "started_at", "status"},
    "call": {"call_id", "run_id", "kind", "started_at"},
    "job": {"job_id", "state", "queued_at"},
    "qa": {"run_id", "status", "checked_at"},
    "support_session": {"session_id", "status", "created_at"},
    "flow": {"flow_id", "created_at"},
    "flow_choice": {"choice_id", "session_id", "chosen_at"},
    "flow_proposal": {"proposal_id", "status", "created_at"},
    "ticket_post": {"post_id", "session_id", "status", "posted_at"},
    "decision": {"decision_id", "target_id", "kind", "decided_at"},
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        schema.create_all(opened)
        yield opened


def _contract() -> ModuleType:
    if not CONTRACT.exists():
        pytest.skip(f"the contract's list of columns is not beside this checkout: {CONTRACT.name}")
    spec = importlib.util.spec_from_file_location("contract_schema", CONTRACT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _found(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, tuple[str, str]]]:
    """Type and comment of every column in the database, by table and column."""
    rows = connection.execute(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
        "ORDER BY column_index"
    ).fetchall()
    return {
        table: {column: (data_type, comment) for _, column, data_type, comment in group}
        for table, group in itertools.groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0])
    }


# --- the tables themselves -------------------------------------------------------------------------------------------


def test_tables_are_named_by_their_key() -> None:
    assert [table.name for table in TABLES.values()] == list(TABLES)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_named_once_and_hold_the_grain(table: Table) -> None:
    names = schema.columns(table.name)
    assert len(names) == len(set(names))
    assert table.grain
    assert set(table.grain) <= set(names)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_s_comment_starts_with_its_grain(table: Table) -> None:
    assert re.match(r"One row per .+: \S", table.comment)
    assert table.comment == table.comment.strip().rstrip(".")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_described_and_consistent(table: Table) -> None:
    for column in table.columns:
        name = column.name
        assert column.comment, name
        assert column.comment == column.comment.strip().rstrip("."), name
        assert column.comment.isascii(), name
        if column.words:
            assert column.type == "VARCHAR", name
            assert len(set(column.words)) == len(column.words) >= 2, name
        if column.minimum is not None and column.maximum is not None:
            assert column.minimum < column.maximum, name
        if column.field:
            assert table.record, name
            assert schema._FIELD_TYPES[column.field] == column.type, name
        assert column.field or not column.source_field, name
        assert column.field != "int" or column.minimum == 0, f"{name}: a negative count is rejected"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_numbers_say_their_unit(table: Table) -> None:
    units = {"_ms": "milliseconds", "_percent": "percent", "_usd": "USD", "_rate": "0-1"}
    for column in table.columns:
        unit = next((unit for ending, unit in units.items() if column.name.endswith(ending)), "")
        if column.type == "DOUBLE":
            assert unit in column.comment, column.name
        if column.type == schema.MONEY:
            assert "USD" in column.comment, column.name
        if column.type == "TIMESTAMP":
            assert re.search("UTC|wall clock", column.comment), column.name


def test_records_carry_what_the_loader_needs() -> None:
    records = schema.records()
    assert {kind: (table.start, table.ended) for kind, table in records.items()} == RECORD_START_AND_END
    for table in records.values():
        names = schema.columns(table.name)
        assert {"attributes", "updated_at", "source", "source_file", "ingested_at"} <= set(names)
        assert {"org_id", "org_id_stated"} & set(names)
        stated = [column.source_field or column.name for column in table.columns if column.field]
        assert len(stated) == len(set(stated)), "a field of the record feeds one column"
        assert "org_id" in stated
        types = {column.name: column.type for column in table.columns}
        assert all(types[name] == "TIMESTAMP" for name in (table.start, table.ended) if name)


def test_only_what_a_record_must_hold_is_required_in_the_log_tier() -> None:
    for kind, table in schema.records().items():
        read = {column.name for column in table.columns if column.required and column.field}
        derived = {column.name for column in table.columns if column.required and not column.field}
        assert read == REQUIRED_FIELDS[kind]
        assert derived <= {"org_id"}, "the loader fills in `default`"


def test_only_the_grain_and_the_org_are_required_in_the_analytics_tier() -> None:
    for table in TABLES.values():
        if table.tier == "analytics":
            assert {column.name for column in table.columns if column.required} <= {*table.grain, "org_id"}


def test_a_call_s_cost_is_read_from_the_field_cost_usd() -> None:
    by_name = {column.name: column for column in TABLES["calls"].columns}
    assert (by_name["cost_reported"].field, by_name["cost_reported"].source_field) == ("money", "cost_usd")
    assert by_name["cost_usd"].field is None


# --- DuckDB ----------------------------------------------------------------------------------------------------------


def test_the_database_is_what_the_schema_says(connection: duckdb.DuckDBPyConnection) -> None:
    found = _found(connection)
    assert found == {
        table.name: {column.name: (column.type, column.description) for column in table.columns}
        for table in TABLES.values()
    }
    comments = dict(connection.execute("SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal").fetchall())
    assert comments == {table.name: table.comment for table in TABLES.values()}


def test_creating_again_keeps_the_rows() -> None:
    with duckdb.connect() as own:
        schema.create_all(own)
        own.execute("INSERT INTO flows (flow_id) VALUES ('f1')")
        schema.create_all(own)
        assert own.execute("SELECT flow_id FROM flows").fetchall() == [("f1",)]


def test_names_and_comments_are_quoted() -> None:
    table = Table('or"der', "One row per 'x'", ("group",), (Column("group", "BIGINT", 'It\'s 1; not "2"'),), "log")
    with duckdb.connect() as own:
        for statement in schema.ddl(table):
            own.execute(statement)
        assert _found(own) == {'or"der': {"group": ("BIGINT", 'It\'s 1; not "2"')}}


def test_words_are_part_of_the_description() -> None:
    column = Column("state", "VARCHAR", "State of the lamp", words=("on", "off"))
    assert column.description == "State of the lamp. One of: on, off"


def test_every_column_of_the_contract_is_there_with_its_kind(connection: duckdb.DuckDBPyConnection) -> None:
    contract = _contract()
    found = _found(connection)
    wrong = [
        f"{table}.{column} is no {kind}"
        for table, kinds in contract.TABLES.items()
        for column, kind in kinds.items()
        if column not in found.get(table, {}) or not contract.fits(kind, found[table][column][0])
    ]
    assert wrong == []


def test_the_keys_of_the_log_tables_are_the_contract_s() -> None:
    assert {table.name: table.grain for table in schema.records().values()} == _contract().LOG_TABLES


# --- Dagster ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_dagster_shows_the_same_columns(table: Table) -> None:
    shown = schema.dagster_metadata(table)
    assert [(c.name, c.type, c.description) for c in shown.columns] == [
        (c.name, c.type, c.comment) for c in table.columns
    ]
    assert [not c.constraints.nullable for c in shown.columns] == [c.required for c in table.columns]


def test_dagster_shows_sets_ranges_and_keys() -> None:
    shown = {column.name: column.constraints for column in schema.dagster_metadata(TABLES["runs"]).columns}
    assert shown["run_id"].unique
    assert not shown["status"].unique
    assert list(shown["input_complexity_score"].other) == [">= 0", "<= 1"]
    assert list(shown["human_effort_level"].other) == ["in (LOW, MEDIUM, HIGH)"]


def test_importing_the_schema_imports_neither_dagster_nor_duckdb() -> None:
    code = (
        "import sys, analytics_pipeline.schema; print([m for m in ('dagster', 'duckdb', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the tables page -------------------------------------------------------------------------------------------------


def test_the_tables_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == schema.as_markdown(), "write it anew: python -m analytics_pipeline.schema > docs/tables.md"


def test_the_tables_page_names_every_column_once_a_table() -> None:
    sections = schema.as_markdown().split("\n## ")[1:]
    assert [section.split("\n", 1)[0] for section in sections] == list(TABLES)
    for section, table in zip(sections, TABLES.values(), strict=True):
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(schema.columns(table.name))
