"""A bad line is rejected with its line number and a reason while its neighbours load, whichever way it is read."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analytics_pipeline import records, schema
from analytics_pipeline.load import stage
from analytics_pipeline_tests.load.conftest import NOW, Home, Homes, Line, Record, as_bytes, at, call, run


def tomorrow(seconds: int) -> str:
    return (NOW + timedelta(days=1, seconds=seconds)).isoformat()


def with_text(record: Record, text: str) -> str:
    """A record with further fields, as written."""
    return json.dumps(record)[:-1] + ", " + text + "}"


BAD: list[tuple[Line, str]] = [
    (b"nonsense", "not JSON: Expecting value"),
    (b'{"record": "run"', "not JSON: Expecting ',' delimiter"),
    (b'"{\\"record\\": \\"run\\"}"', "not an object"),
    (b"[1, 2]", "not an object: a list"),
    (b"null", "not an object: null"),
    (b"17", "not an object: 17"),
    (b'{"record": "run", "run_id": "\xff"}', "not UTF-8: byte 0xff"),
    (b"\xff\xfe{", "not UTF-8"),
    (b"\x00", "not JSON"),
    (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 500"),
    (with_text(run(), '"deep": ' + '{"a":' * 10_000 + "1" + "}" * 10_000), "nested deeper than 500"),
    (with_text(run(), '"deep": ' + '{"a":' * 600 + "1" + "}" * 600), "nested deeper than 500"),
    ({}, "record: missing"),
    ({"record": None}, "record: missing"),
    ({"record": "runs"}, "record: 'runs' is unknown"),
    ({"record": 1}, "record: 1 is unknown"),
    ({"record": "run", "run_id": "r", "status": "running"}, "started_at: missing"),
    (run(started_at=None), "started_at: missing"),
    (run(run_id=""), "run_id: missing"),
    (run() | {"run_id": 12}, "run_id: 12 is not text"),
    (run(project={"a": 1}), "project: an object is not text"),
    (run(project=[]), "project: a list is not text"),
    (run(project=True), "project: true is not text"),
    (run(project=-1.5), "project: -1.5 is not text"),
    (with_text(run(), '"project" : 5'), "project: 5 is not text"),
    (run(status="done"), "status: 'done' is not one of"),
    (run(status=["running"]), "status: a list is not text"),
    (call(kind="LLM"), "kind: 'LLM' is not one of"),
    (run(qa_status="ok"), "qa_status: 'ok' is not one of"),
    (run(started_at="yesterday"), "started_at: 'yesterday' is not an RFC 3339 time"),
    (run(started_at="2025-11-20T10:00:00"), "started_at: '2025-11-20T10:00:00' has no offset"),
    (run(started_at="2025-11-20"), "started_at"),
    (run(started_at="2025-02-30T10:00:00Z"), "started_at"),
    (run(started_at="2025-11-20T24:00:00.0Z"), "started_at"),
    (run(started_at="2025-11-20T10:00:00+24:00"), "started_at"),
    (run(started_at="2025-11-20T10:00:05.Z"), "started_at"),
    (run(started_at=True), "started_at: true is not a number"),
    (run(started_at={}), "started_at: an object is not a number"),
    (run(started_at="1999-12-31T23:59:59.9Z"), "started_at: '1999-12-31T23:59:59.9Z' is before 2000"),
    (run(updated_at="1999-12-31T23:59:59Z"), "updated_at: '1999-12-31T23:59:59Z' is before 2000"),
    (run(started_at=0), "started_at: 0 is before 2000"),
    (run(started_at="0946684799"), "started_at"),
    (run(started_at="9999-12-31T23:59:59Z"), "started_at: 9999-12-31T23:59:59Z is more than a day ahead"),
    (run(ended_at="10000-01-01T00:00:00Z"), "ended_at"),
    (run(ended_at=1e300), "ended_at"),
    (run(started_at=tomorrow(1)), "started_at: 2025-11-22T12:00:01Z is more than a day ahead"),
    (
        {"record": "job", "job_id": "j", "state": "running", "queued_at": tomorrow(-9), "started_at": tomorrow(1)},
        "started_at",
    ),
    (call(input_tokens=-1), "input_tokens: -1 is negative"),
    (call(input_tokens="-1"), "input_tokens: '-1' is negative"),
    (call(input_tokens=1.5), "input_tokens: 1.5 is not a whole number"),
    (call(input_tokens=True), "input_tokens: true is not a number"),
    (call(input_tokens="true"), "input_tokens: 'true' is not a number"),
    (call(input_tokens="ten"), "input_tokens: 'ten' is not a number"),
    (call(input_tokens="1_000"), "input_tokens: '1_000' is not a number"),
    (call(input_tokens=10**12 + 1), "input_tokens: 1000000000001 is too large"),
    (call(input_tokens=2**70), "input_tokens"),
    (call(cost_usd=True), "cost_usd: true is not a number"),
    (call(cost_usd="NaN"), "cost_usd: 'NaN' is not a number"),
    (call(cost_usd="inf"), "cost_usd: 'inf' is not a number"),
    (call(cost_usd=10**6), "cost_usd: 1000000 is too large"),
    (call(cost_usd="1_0"), "cost_usd: '1_0' is not a number"),
    (call(duration_ms="1_0"), "duration_ms: '1_0' is not a number"),
    (call(duration_ms="Infinity"), "duration_ms: 'Infinity' is not a number"),
    (call(duration_ms=1e300), "duration_ms"),
    (call(browser_used="true"), "browser_used: 'true' is not true or false"),
    (call(browser_used=1), "browser_used: 1 is not true or false"),
    *(
        (with_text(record, f'"{key}": {text}'), words)
        for record, key in [
            (call(), "cost_usd"),
            (call(), "duration_ms"),
            (call(), "unknown"),
            (run(), "input"),
            (run(), "tags"),
        ]
        for text, words in [
            ("NaN", "not JSON: NaN"),
            ("nan", "not JSON"),
            ("-Infinity", "not JSON: -Infinity"),
            ("[nan]", "not JSON"),
            ('{"a": -inf}', "not JSON"),
            ("1,", "not JSON"),
            ("[1,]", "not JSON"),
            ("01", "not JSON"),
            ("[1 2]", "not JSON"),
            ("'x'", "not JSON"),
        ]
    ),
    *((with_text(call(), f'"{key}": 1e400'), f"{key}: ") for key in ("cost_usd", "duration_ms", "input_tokens")),
    (with_text(call(), '"unknown": [-1e400]'), "attributes: holds a number that is not finite"),
    (with_text(run(), '"input": {"a": 1e400}'), "input: holds a number that is not finite"),
    (with_text(run(), '"tags": [1e400]'), "tags: holds a number that is not finite"),
    (with_text(run(), '"note": "\\ud800"'), 'attributes: \'{"note":"\\ud800"}\' holds half of a surrogate pair'),
    (with_text(run(), '"status": "succeeded", "status": 5'), "status: 5 is not text"),
]


def test_every_bad_line_is_rejected_where_it_stands(home: Home) -> None:
    """Among good neighbours, blank lines and both kinds of line ends."""
    lines: list[bytes] = []
    expected = []
    for number, (bad, words) in enumerate(BAD):
        lines += [as_bytes(run(f"good{number}"), end=b"\r\n" if number % 2 else b"\n")]
        lines += [[b"", b"\n", b" \t\r\n", b"\r\n"][number % 4]]
        expected.append((b"".join(lines).count(b"\n") + 1, words))
        lines += [as_bytes(bad, end=b"\n" if number % 3 else b"\r\n")]
    path = home.logs / "a.jsonl"
    path.write_bytes(b"".join(lines))
    result = home.load(path)
    found = home.rejects()
    assert [line for _, line, _ in found] == [line for line, _ in expected]
    for (_, _, reason), (_, words) in zip(found, expected, strict=True):
        assert reason.startswith(words)
        assert "\n" not in reason and len(reason) < 500
    assert result.records == {"run": len(BAD)}
    assert result.problems == []
    raws = home.rows("SELECT raw FROM rejected_records WHERE raw = '' OR strlen(raw) > 20000 OR raw LIKE '%\n'")
    assert raws == []


def test_a_bad_line_is_kept_once_however_often_it_is_read(home: Home) -> None:
    path = home.write("a.jsonl", run(), "bad")
    home.load()
    path.write_bytes(as_bytes(run(), "bad", run("r2")))
    path.write_bytes(as_bytes(run(), "bad", run("r3")))
    home.load()
    path.write_bytes(as_bytes(run(note="other"), "bad", run("r3")))
    home.load()
    assert len(home.rejects()) == 1
    assert home.quality()["default", "canonical"]["rejects"] == 1


GOOD: dict[str, tuple[Line, Record]] = {
    "numbers in quotes": (
        call("q", input_tokens="12", output_tokens="3.0", cost_usd="0.25", duration_ms="1e3"),
        {
            "input_tokens": 12,
            "output_tokens": 3,
            "duration_ms": 1000.0,
            "ended_at": at("10:00:01") + timedelta(seconds=1),
        },
    ),
    "more tokens than 31 bits": (
        call("big", input_tokens=2**31 + 1),
        {"input_tokens": 2**31 + 1, "total_tokens": 2**31 + 1},
    ),
    "a repeated key: the last": (with_text(run("dup"), '"status": "failed"'), {"status": "failed"}),
    "a repeated unknown key": (with_text(run("dup2"), '"x": 1, "x": 2'), {"attributes": '{"x":2}'}),
    "half up to the microsecond": (
        run("us", started_at="2025-11-20T10:00:00.0000015Z"),
        {"started_at": at("10:00:00.000002")},
    ),
    "epoch seconds": (run("s", started_at=1763632800), {"started_at": at("10:00:00")}),
    "epoch seconds in quotes": (run("sq", started_at="1763632800"), {"started_at": at("10:00:00")}),
    "epoch seconds with a fraction": (run("sf", started_at=1763632800.25), {"started_at": at("10:00:00.25")}),
    "epoch milliseconds": (run("ms", started_at=1763632800123), {"started_at": at("10:00:00.123")}),
    "epoch milliseconds with a fraction": (run("mf", started_at=1763632800123.5), {"started_at": at("10:00:00.1235")}),
    "an offset": (run("o", started_at="2025-11-20T15:45:00+05:45"), {"started_at": at("10:00:00")}),
    "a space and an offset without colon": (
        run("o2", started_at="2025-11-20 04:00:00-0600"),
        {"started_at": at("10:00:00")},
    ),
    "less than a day ahead": (run("ahead", started_at=tomorrow(-1)), {"status": "running"}),
    "an end in the year 9999": (run("y9999", ended_at="9999-12-31T23:59:59Z"), {"ended_at": at("9999-12-31T23:59:59")}),
    "an end before the start": (
        call("skew", ended_at="2025-11-20T09:00:00Z", cost_usd=2),
        {"ended_at": None, "duration_ms": None, "cost_source": "reported"},
    ),
    "a negative duration": (call("skew2", duration_ms=-5), {"ended_at": None, "duration_ms": None}),
    "the end wins over the duration": (
        call("both", ended_at="2025-11-20T10:00:03Z", duration_ms=9),
        {"duration_ms": 2000.0},
    ),
    "a total beside parts is passed over": (call("tot", total_tokens=9, output_tokens=2), {"total_tokens": 2}),
    "a total alone": (call("tot2", total_tokens=9), {"total_tokens": 9, "input_tokens": None}),
    "a reported 0": (call("zero", cost_usd=0), {"cost_usd": 0, "cost_source": "reported"}),
    "one word alone is no set": (run("word", mode="anything"), {"mode": "anything"}),
    "an empty text is unknown": (run("empty", project="", qa_status=""), {"project": None, "qa_status": None}),
    "any text": (
        run("text", project="\x00\u2028\U0001f600 'q' \"", **{"": 1}),
        {"project": "\x00\u2028\U0001f600 'q' \""},
    ),
    "a text that looks like a number": (
        run("like", project="12", agent_id="true"),
        {"project": "12", "agent_id": "true"},
    ),
    "tags of any shape": (run("tags", tags="one"), {"tags": '"one"'}),
}


@pytest.mark.parametrize("glued", [False, True])
def test_unusual_lines_that_are_valid(home: Home, glued: bool) -> None:
    """Alone on their line, and all of them on one line, which goes the other way."""
    lines = as_bytes(*(line for line, _ in GOOD.values()), end=b" " if glued else b"\n")
    home.load(home.write("a.jsonl", lines))
    assert home.rejects() == []
    for line, expected in GOOD.values():
        (record,) = records.parse_line(as_bytes(line))
        assert isinstance(record, dict)
        kind = record["record"]
        row = home.row(schema.records()[kind].name, record[f"{kind}_id"])
        assert {name: row[name] for name in expected} == expected
    assert home.quality()["default", "canonical"]["clock_skew_records"] == 2


def test_several_objects_on_a_line_are_read_one_by_one(home: Home) -> None:
    line = json.dumps(run("r1")) + json.dumps(run("r2", status="no")) + " " + json.dumps(run("r3")) + '{"re'
    home.load_lines(run("r0"), line, run("r4"))
    assert home.rows("SELECT run_id FROM runs ORDER BY 1") == [("r0",), ("r1",), ("r3",), ("r4",)]
    assert [(line, reason[:7]) for _, line, reason in home.rejects()] == [(2, "status:")], "one reject a line"


def test_a_check_without_a_name_is_qa_both_ways(home: Home) -> None:
    check: Record = {"record": "qa", "status": "passed", "checked_at": "2025-11-20T11:00:00Z"}
    names: list[Record] = [{}, {"name": ""}, {"name": None}]
    checks = [{**check, "run_id": f"r{number}", **named} for number, named in enumerate(names)]
    home.load_lines(*checks, as_bytes(*({**one, "run_id": one["run_id"] + "x"} for one in checks), end=b" "))
    assert home.rows("SELECT name, count(*) FROM qa_results GROUP BY ALL") == [("qa", 6)]


def test_a_byte_order_mark_is_passed_over(home: Home) -> None:
    home.load_lines(b"\xef\xbb\xbf" + as_bytes(run("r1"), end=b""), run("r2"), "bad")
    assert home.rows("SELECT run_id FROM runs ORDER BY 1") == [("r1",), ("r2",)]
    assert [line for _, line, _ in home.rejects()] == [3]


def test_a_long_line_loads(home: Home) -> None:
    """Longer than DuckDB's own limit for a line."""
    size = stage.LONGEST_LINE + 5_000_000
    home.load_lines(run("r1"), run("long", input="x" * size), "bad", run("r2"))
    assert home.row("runs", "long")["input_chars"] == size
    assert [line for _, line, _ in home.rejects()] == [3]


@pytest.mark.crash
def test_a_line_of_50_mb_loads(home: Home) -> None:
    home.load_lines(run("r1"), run("long", note="x" * 50_000_000), "bad" * 10_000_000, run("r2"))
    assert home.rows("SELECT strlen(attributes) FROM runs WHERE run_id = 'long'") == [(50_000_011,)]
    assert [line for _, line, _ in home.rejects()] == [3]


def test_files_of_bad_lines_do_not_hold_up_others(home: Home) -> None:
    home.write("a.jsonl", run("r1"))
    home.write("b.jsonl", *['{"record": "run"}'] * 3000)
    home.write("c.jsonl", b"\x00" * 100_000)
    home.write("d.jsonl", b"\xff" * 100_000)
    result = home.load()
    assert sorted(Path(path).name for path, _ in result.problems) == ["b.jsonl", "c.jsonl", "d.jsonl"]
    assert (result.records, result.rejects) == ({"run": 1}, 3002)


# --- both ways --------------------------------------------------------------------------------------------------------

_TEXTS = [
    "",
    "a",
    "12",
    "true",
    "null",
    "[",
    "{}",
    "ü\u0000'",
    "2025-11-20T10:00:05.123456Z",
    "1763632800",
    "ok",
    "llm",
]
_NUMBERS = [0, 1, -1, 12.0, -0.0, 0.1234567895, 1e-10, 1e5, 1e22, 10**12, 2**63, 1763632800, 1763632800123.5]
_PLAIN: list[Any] = [*_TEXTS, *_NUMBERS, None, True, [], {"b": 1, "a": None}]
_WRITTEN = [
    "NaN",
    "1E5",
    "-0",
    "1e400",
    "tru",
    '"\\u0041"',
    '"\\ud800"',
    '{"a":1,}',
    '{"a":1,"a":2}',
    "[[1,{}]]",
    '"1.0e0"',
]
_value = st.one_of(
    st.sampled_from([*map(json.dumps, _PLAIN), *_WRITTEN]),
    st.datetimes(at("1999-12-31T00:00:00"), at("2025-12-01T00:00:00")).map(lambda time: f'"{time.isoformat()}Z"'),
    st.integers(-2, 10**18).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.text(max_size=5).map(json.dumps),
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A record, most often valid, as a logger may write it; @@ stands for a number of its own."""
    kind = draw(st.sampled_from(list(schema.records())))
    columns = [column for column in schema.records()[kind].columns if column.field]
    written = {"record": json.dumps(kind)}
    for column in columns:
        if column.required:
            plain = (
                "2025-11-20T10:00:00Z" if column.field == "time" else column.words[0] if len(column.words) > 1 else "@@"
            )
            written[column.source_field or column.name] = json.dumps(plain)
    names = [column.source_field or column.name for column in columns] + ["note", "a/b~c", "input", ""]
    drawn = st.lists(st.sampled_from(names).filter(lambda name: name not in ("run_id", "org_id")), max_size=2)
    for name in draw(drawn):
        written[name] = draw(_value)
    items = draw(st.permutations(list(written.items()))) if draw(st.booleans()) else list(written.items())
    space = draw(st.sampled_from(["", " ", "\t"]))
    return "{" + f",{space}".join(f"{json.dumps(name)}{space}:{space}{text}" for name, text in items) + "}"


def both_ways(homes: Homes, found: list[str]) -> None:
    """Load lines, most of which are read in bulk; compare with what the validator makes of each."""
    home = homes.new()
    written, rows, reasons = by_the_validator(found)
    home.load(home.write("a.jsonl", *written), format="canonical")
    assert {line: reason for _, line, reason in home.rejects()} == reasons
    tables = home.tables(*(table.name for table in schema.records().values()))
    for kind, table in schema.records().items():
        columns = {column.name for column in table.columns if column.field} | {"attributes"}
        measures = {"input_depth", "input_items", "input_fingerprint", "input_tokens_estimated", "input_category"}
        for row in tables[table.name]:
            if row["source"] == "implied":
                continue
            key = (kind, *(row[name] for name in table.grain))
            assert key in rows, "rejected by the validator"
            wanted = rows.pop(key)
            names = {name for name in columns | measures if row.get(name) is not None}
            if kind == "call" and any(name.endswith("_tokens") and name != "total_tokens" for name in wanted):
                names.discard("total_tokens")  # then it is the sum of its parts
            assert {name: comparable(name, row[name]) for name in names} == wanted
    assert rows == {}
    homes.clear()


def by_the_validator(found: list[str]) -> tuple[list[str], dict[tuple[Any, ...], Record], dict[int, str]]:
    """Lines of different keys, their rows by kind and key, reasons of rejects by line."""
    written: list[str] = []
    rows: dict[tuple[Any, ...], Record] = {}
    reasons: dict[int, str] = {}
    for number, text in enumerate(found):
        line = text.replace("@@", str(number))
        try:
            normal = records.normalise(records.parse_line(line.encode())[0], now=NOW)
        except records.Reject as reject:
            written.append(line)
            reasons[len(written)] = reject.reason
            continue
        key = (normal.kind, *(normal.row[name] for name in schema.records()[normal.kind].grain))
        if key not in rows:
            written.append(line)
            row = {**normal.row, **({"attributes": normal.attributes} if normal.attributes else {})}
            row.pop("input_complexity_score", None)  # two libraries take the logarithm
            rows[key] = {name: comparable(name, value) for name, value in row.items()}
    return written, rows, reasons


_JSON = {column.name for table in schema.records().values() for column in table.columns if column.type == schema.JSON}


def comparable(name: str, value: Any) -> object:
    """JSON as its value, whatever the order of its keys and the form of its numbers."""
    return json.loads(value) if name in _JSON else value


UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""What differs is shown with its key; an example takes too long to make smaller."""
line_lists = st.lists(lines(), min_size=50, max_size=300)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(line_lists)
def test_a_line_gives_the_same_row_both_ways(homes: Homes, found: list[str]) -> None:
    both_ways(homes, found)


@pytest.mark.fuzz
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(line_lists)
def test_a_line_gives_the_same_row_both_ways_at_length(homes: Homes, found: list[str]) -> None:
    both_ways(homes, found)
