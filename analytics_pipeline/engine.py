"""Where SQL files run: DuckDB here.

Belongs here: finding a SQL file, binding its named parameters, replacing the rows of a window. The SQL itself lives in
`sql/`, one file a table; which rows go where is said by the caller.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

Parameters = dict[str, str | int | float | bool | date | datetime | None]


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`, without a trailing semicolon."""
    return (files("analytics_pipeline") / "sql" / f"{name}.sql").read_text("utf-8").rstrip().removesuffix(";")


@cache
def _parameter_names(name: str) -> frozenset[str]:
    code = re.sub(r"--[^\n]*", "", sql(name))
    return frozenset(re.findall(r"\$([a-z_]+)", code))


def _bound(name: str, parameters: Parameters) -> Parameters:
    """The parameters that the file uses (DuckDB refuses any it does not know)."""
    return {key: parameters[key] for key in _parameter_names(name)}


def quoted(text: object) -> str:
    """A text between single quotes of SQL: for what takes no parameter, such as paths in ATTACH and COPY."""
    return str(text).replace("'", "''")


def query(connection: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
    """Run `sql/<name>.sql` with the named parameters it uses; fetch from what is returned."""
    return connection.execute(sql(name), _bound(name, parameters))


def rows(connection: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of `sql/<name>.sql`, each by the names of its columns."""
    result = query(connection, name, **parameters)
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def make(connection: duckdb.DuckDBPyConnection, relation: str, name: str, **parameters: Any) -> None:
    """Keep the rows of `sql/<name>.sql` as the temporary table `relation`."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {relation} AS {sql(name)}", _bound(name, parameters))


def insert(connection: duckdb.DuckDBPyConnection, table: str, name: str, **parameters: Any) -> int:
    """Insert the rows of `sql/<name>.sql` into `table` by column name; returns how many."""
    statement = f"INSERT INTO {table} BY NAME {sql(name)}"
    row = connection.execute(statement, _bound(name, parameters)).fetchone()
    return int(row[0]) if row else 0


def replace(connection: duckdb.DuckDBPyConnection, table: str, name: str, *, where: str, **parameters: Any) -> int:
    """Delete the rows of `table` that satisfy `where` (it may use the parameters), then insert those of the SQL file.

    `where` and the file's own window must be the same half-open predicate, so that a window made again, empty or not,
    holds what it should and its neighbours stay untouched. Returns the number of rows inserted.
    """
    used = set(re.findall(r"\$([a-z_]+)", where))
    connection.execute(f"DELETE FROM {table} WHERE {where}", {key: parameters[key] for key in used})
    return insert(connection, table, name, **parameters)
