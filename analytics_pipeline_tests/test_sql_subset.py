"""Every SQL file says what it is, and the portable ones keep to what DuckDB and Spark read alike (docs: scaling).

sqlglot parses and is asked what it found; it never translates.
"""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

FOLDER = files("analytics_pipeline") / "sql"
FILES = {path.name.removesuffix(".sql"): path.read_text("utf-8") for path in FOLDER.iterdir()}
ENGINE = re.compile(r"^-- engine: (portable|duckdb)$", re.MULTILINE)
PORTABLE = sorted(name for name, text in FILES.items() if ENGINE.findall(text) == ["portable"])


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


SYNTAX = _words("""
    Add Alias And Between Boolean CTE Case Column DataType DataTypeParam Distinct Div EQ Exists From GT GTE Group
    GroupingSets Having Identifier If In Is Join LT LTE Literal Mod Mul NEQ Neg Not Null NullSafeEQ NullSafeNEQ Or Order
    Ordered Paren Placeholder Select Star Sub Subquery Table TableAlias Tuple Union Var Where Window WindowSpec With
""")
FUNCTIONS = _words("""
    Abs Avg Cast Ceil Coalesce Count Exp Extract Floor Greatest Grouping Least Ln Max Min Nullif Pow Round RowNumber
    Sqrt StddevSamp Sum TimestampTrunc UnixMicros
""")
SPARK_NAMES = {"TryCast": "Cast", "Quantile": "percentile"}
"""What sqlglot calls the same words when it reads them as Spark's."""
MACROS = {"get", "percentile"}
"""Functions of Spark that macros.sql gives to DuckDB and sqlglot does not know there."""
NUMBERS = {exp.DataType.Type[name] for name in ("BIGINT", "INT", "DOUBLE", "DECIMAL")}


def faults(sql: str) -> list[str]:
    """What a portable file says that only one engine understands, or understands otherwise."""
    code = re.sub(r"--[^\n]*", "", sql)
    found = ["`::` instead of CAST"] if "::" in code else []
    for dialect, text in (("duckdb", code), ("spark", re.sub(r"\$([a-z_]+)", r":\1", code))):
        try:
            statements = sqlglot.parse(text, read=dialect)
        except SqlglotError as error:
            found.append(f"{dialect} does not read it: {error}")
            continue
        if len(statements) != 1 or not isinstance(statements[0], exp.Query):
            found.append("not one query")
            continue
        tree = statements[0]
        found += [fault for node in tree.walk() if (fault := _fault(node))]
        ordered = len(list(tree.find_all(exp.Ordered)))
        if ordered != len(re.findall(r"\bNULLS\s+(?:FIRST|LAST)\b", text, re.IGNORECASE)):
            found.append("an ORDER BY that does not say where NULL goes")
    return sorted(set(found))


def _fault(node: exp.Expr) -> str | None:
    kind = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
    kind = SPARK_NAMES.get(kind, kind)
    if kind not in SYNTAX | FUNCTIONS | MACROS:
        return f"{kind} is not in the subset"
    if isinstance(node, exp.Cast) and node.to.this not in NUMBERS and not isinstance(node.this, exp.Placeholder):
        return f"a cast to {node.to.sql()} belongs to the load"
    if isinstance(node, exp.Div) and not _is_guarded(node, node.expression):
        return "a division without guard"
    if isinstance(node, exp.Ln) and not _is_guarded(node, node.this):
        return "a logarithm without guard"
    if isinstance(node, exp.Join) and (node.args.get("using") or node.method):
        return f"{node.method or 'USING'} in a join"
    if isinstance(node, exp.Window) and SPARK_NAMES.get(type(node.this).__name__, node.this.name) == "percentile":
        return "a percentile as a window"
    if isinstance(node, exp.Group) and node.args.get("all"):
        return "GROUP BY ALL"
    if isinstance(node, exp.Select):
        return _lateral_alias(node)
    return None


def _is_guarded(node: exp.Expr, operand: exp.Expr) -> bool:
    """Whether the operand is a constant, a NULLIF, or looked at by an enclosing CASE."""
    is_constant = operand.find(exp.Column) is None
    return is_constant or isinstance(operand, exp.Nullif) or node.find_ancestor(exp.Case) is not None


def _lateral_alias(select: exp.Select) -> str | None:
    """The first column that names an earlier alias of the same SELECT."""
    earlier: set[str] = set()
    for projection in select.expressions:
        for column in projection.find_all(exp.Column):
            if not column.table and column.name in earlier and column.find_ancestor(exp.Select) is select:
                return f"{column.name} is an alias of the same SELECT"
        if isinstance(projection, exp.Alias) and not (
            isinstance(projection.this, exp.Column) and projection.this.name == projection.alias
        ):
            earlier.add(projection.alias)
    return None


@pytest.mark.parametrize("name", sorted(FILES))
def test_header_says_grain_inputs_and_engine(name: str) -> None:
    header = "\n".join(line for line in FILES[name].splitlines() if line.startswith("--"))
    assert FILES[name].startswith("-- "), "the first line says what the file makes"
    assert "-- Grain:" in header
    assert "Inputs:" in header
    assert len(ENGINE.findall(header)) == 1, "one line `-- engine: portable` or `-- engine: duckdb`"


@pytest.mark.parametrize("name", PORTABLE)
def test_portable_files_keep_to_the_subset(name: str) -> None:
    assert faults(FILES[name]) == []


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT a::INT AS a FROM t", "::"),
        ("SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a ASC NULLS LAST) = 1", "Qualify"),
        ("SELECT a, count(*) AS n FROM t GROUP BY ALL", "GROUP BY ALL"),
        ("SELECT a FROM t ASOF JOIN u ON t.a >= u.a", "ASOF in a join"),
        ("SELECT unnest(a) AS a FROM t", "not in the subset"),
        ("SELECT a[1] AS a FROM t", "Bracket"),
        ("SELECT hash(a) AS a FROM t", "hash is not in the subset"),
        ("SELECT regexp_replace(a, 'x', 'y') AS a FROM t", "RegexpReplace"),
        ("SELECT t.a FROM t INNER JOIN u USING (a)", "USING in a join"),
        ("SELECT MAP {'a': 1} AS m", "not in the subset"),
        ("SELECT a / b AS c FROM t", "a division without guard"),
        ("SELECT ln(a) AS c FROM t", "a logarithm without guard"),
        ("SELECT stddev(a) AS c FROM t", "Stddev is not in the subset"),
        ("SELECT median(a) AS c FROM t", "Median is not in the subset"),
        ("SELECT count(*) FILTER (WHERE a) AS c FROM t", "Filter"),
        ("SELECT percentile(a, 0.5) OVER (PARTITION BY b) AS c FROM t", "a percentile as a window"),
        ("SELECT a FROM t ORDER BY a", "where NULL goes"),
        ("SELECT CAST(a AS TIMESTAMP) AS a FROM t", "belongs to the load"),
        ("SELECT a + 1 AS b, b + 1 AS c FROM t", "b is an alias of the same SELECT"),
        ("SELECT epoch_us(a) AS a FROM t", "not in the subset"),
        ("SELECT 1 AS a; SELECT 2 AS a", "not one query"),
        ("DELETE FROM t", "not one query"),
    ],
)
def test_what_only_one_engine_understands_is_a_fault(sql: str, fault: str) -> None:
    assert any(fault in found for found in faults(sql)), faults(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, CAST(sum(b) AS BIGINT) AS b FROM t WHERE c >= $start AND c < $end GROUP BY a",
        "SELECT CASE WHEN b > 0 THEN a / b END AS c, a / nullif(b, 0) AS d, a / 1000 AS e FROM t",
        "SELECT get(percentile(a, $shares), 0) AS low, get(percentile(a, $shares), 1) AS high FROM t",
        "SELECT percentile(a, 0.95) AS p FROM t AS t INNER JOIN u AS u ON t.a IS NOT DISTINCT FROM u.a",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b DESC NULLS LAST, c ASC NULLS FIRST) AS n FROM t",
        "SELECT unix_micros(a) - unix_micros(b) AS c FROM t WHERE CAST($org AS VARCHAR) IS NULL OR org_id = $org",
    ],
)
def test_the_subset_itself_passes(sql: str) -> None:
    assert faults(sql) == []
