"""`call_patterns`: successions of tools or stages after which runs fail more, or cost more, in the last 30 days.

Belongs here: the counts of each pattern as arrays, and which patterns are kept. Does not belong here: the test
(statistics/patterns.py) and the counting (sql/pattern_*.sql).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.partitions import HISTORY_DAYS, Clock
from analytics_pipeline.statistics import patterns
from analytics_pipeline.statistics.change import benjamini_hochberg
from analytics_pipeline.statistics.patterns import Outcomes, Trouble

if TYPE_CHECKING:
    import duckdb
    import numpy as np

MOST_STEPS = 40
"""Steps of a run that are looked at."""
LEAST_Q = 0.10
LEAST_FAILURE_RATIO = 1.2
LEAST_COST_RATIO = 1.1
"""What is smaller is of no matter, however sure."""
MOST_TOLD = 5
"""Patterns of a pipeline and kind of step that are told."""
BETWEEN = " > "
"""Stands between the steps of a pattern."""

Row = dict[str, Any]
_Family = tuple[str, str | None, str]
_Key = tuple[_Family, tuple[int, ...]]
_STEPS = ("first_no", "second_no", "third_no", "fourth_no")


@dataclass(frozen=True)
class _Pattern:
    """One pattern of a pipeline with its test and what is told of it."""

    org_id: str
    pipeline_id: str | None
    kind: str
    numbers: tuple[int, ...]
    steps: tuple[str, ...]
    runs: int
    failure_rate: float | None
    cost_ratio: float | None
    trouble: Trouble

    @property
    def family(self) -> _Family:
        """The org, pipeline and kind of step among whose patterns it is tested."""
        return self.org_id, self.pipeline_id, self.kind

    @property
    def key(self) -> _Key:
        """What tells it from all others."""
        return self.family, self.numbers

    @property
    def place(self) -> Row:
        """Where it is found in `pattern_first`."""
        return {"org_id": self.org_id, "pipeline_id": self.pipeline_id} | dict(zip(_STEPS, self.numbers, strict=True))

    @property
    def row(self) -> Row:
        """What is told of it."""
        return {
            "org_id": self.org_id,
            "pipeline_id": self.pipeline_id,
            "pattern": BETWEEN.join(self.steps),
            "runs": self.runs,
            "failure_rate": self.failure_rate,
            "cost_ratio": self.cost_ratio,
        }


def make_call_patterns(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Make the day's `call_patterns` again.

    Returns:
        Rows written per table.
    """
    starts_at, ends_at = clock.window(HISTORY_DAYS)
    bounds = {"starts_at": starts_at, "ends_at": min(ends_at, clock.naive)}
    for relation in ("pattern_runs", "pattern_names", "pattern_steps", "pattern_first"):
        engine.make(connection, relation, relation, **bounds, most_steps=MOST_STEPS)
    engine.make(connection, "pattern_excluded", "pattern_excluded", rows=[])
    told: dict[tuple[str, str | None, str], Row] = {}
    for row in _told(connection):  # stages may be called like tools: the surer one stands
        told.setdefault((row["org_id"], row["pipeline_id"], row["pattern"]), {"as_of_day": clock.today} | row)
    written = engine.replace(
        connection,
        "call_patterns",
        "call_patterns",
        where="as_of_day = $as_of_day",
        as_of_day=clock.today,
        rows=list(told.values()),
    )
    return {"call_patterns": written}


def _told(connection: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    """Each trouble once: the surest pattern of a pipeline, then what still holds among the runs that do not show it.

    Whoever is about to show a pattern shows others more often than not; these are no trouble of their own.
    """
    tested = {pattern.key: pattern for pattern in _tested(connection)}
    scales = _families(tested.values())
    told: list[_Pattern] = []
    left = list(tested.values())
    for _ in range(MOST_TOLD):
        best = _surest(left, scales)
        for pattern, q in best:
            yield tested[pattern.key].row | {"q_value": q}
        if not best:
            return
        told += [pattern for pattern, _ in best]
        families = {pattern.family for pattern, _ in best}
        engine.make(connection, "pattern_excluded", "pattern_excluded", rows=[pattern.place for pattern in told])
        left = [pattern for pattern in _tested(connection) if pattern.family in families and pattern.key in tested]


def _families(tested: Iterable[_Pattern]) -> dict[_Family, float]:
    """The families in which some pattern is no chance, each with the factor that its q must bear.

    One trouble shows in many patterns; a q over all patterns of an org would let each of these excuse others elsewhere.
    So families are chosen first, by Simes' p (Benjamini & Bogomolov 2014).
    """
    simes = {
        family: float(benjamini_hochberg([pattern.trouble.p_value for pattern in group]).min())
        for family, group in groupby(tested, key=lambda pattern: pattern.family)
    }
    scales: dict[_Family, float] = {}
    for _, of_org in groupby(simes, key=lambda family: family[0]):
        families = list(of_org)
        q_values = benjamini_hochberg([simes[family] for family in families])
        chosen = [family for family, q in zip(families, q_values, strict=True) if q < LEAST_Q]
        scales |= dict.fromkeys(chosen, len(families) / max(len(chosen), 1))
    return scales


def _surest(found: Iterable[_Pattern], scales: dict[_Family, float]) -> list[tuple[_Pattern, float]]:
    """Of each family the pattern of the least p with its q; among equals of most runs, the shorter, the first."""
    best = []
    for family, group in groupby(found, key=lambda pattern: pattern.family):
        if family not in scales:
            continue
        patterns_of = list(group)
        q_values = benjamini_hochberg([pattern.trouble.p_value for pattern in patterns_of]) * scales[family]
        sure = [
            (pattern, float(q))
            for pattern, q in zip(patterns_of, q_values, strict=True)
            if q < LEAST_Q and _matters(pattern.trouble)
        ]
        if sure:
            best.append(min(sure, key=lambda each: _rank(each[0])))
    return best


def _rank(pattern: _Pattern) -> tuple[float, int, int, tuple[str, ...]]:
    return pattern.trouble.p_value, -pattern.runs, len(pattern.steps), pattern.steps


def _matters(trouble: Trouble) -> bool:
    return trouble.failure_ratio >= LEAST_FAILURE_RATIO or trouble.cost_ratio >= LEAST_COST_RATIO


_GROUP = ("org_id", "pipeline_id", "kind")


def _tested(connection: duckdb.DuckDBPyConnection) -> Iterator[_Pattern]:
    """The patterns that can be tested, by org, pipeline and kind of step."""
    pipelines = {(row["org_id"], row["pipeline_id"]): row for row in engine.rows(connection, "pattern_pipelines")}
    names = dict(connection.execute("SELECT step_no, name FROM pattern_names").fetchall())
    counts = engine.rows(connection, "pattern_counts", least=patterns.LEAST_RUNS)
    for (org_id, pipeline_id, _), group in groupby(counts, key=lambda row: tuple(row[name] for name in _GROUP)):
        yield from _of_kind(list(group), pipelines[org_id, pipeline_id], names)


def _of_kind(rows: list[Row], pipeline: Row, names: Mapping[int, str]) -> Iterator[_Pattern]:
    """The patterns of one pipeline and kind of step that can be tested."""
    everyone = [row for row in rows if not row["first_no"]]
    size = max(row["steps"] for row in everyone)
    usual = _outcomes(everyone, size, 1)
    whole = Outcomes(*(getattr(usual, name)[0] for name in Outcomes.__dataclass_fields__))
    shown = [row for row in rows if row["first_no"]]
    for numbers, group in groupby(shown, key=lambda row: tuple(row[name] for name in _STEPS)):
        found = list(group)
        trouble = patterns.trouble(_outcomes(found, size, size), whole)
        if trouble is None:
            continue
        runs, finished, failed, costs = (
            sum(row[name] for row in found) for name in ("runs", "finished", "failed", "costs")
        )
        yield _Pattern(
            org_id=pipeline["org_id"],
            pipeline_id=pipeline["pipeline_id"],
            kind=found[0]["kind"],
            numbers=numbers,
            steps=tuple(names[number] for number in numbers if number),
            runs=runs,
            failure_rate=failed / finished if finished else None,
            cost_ratio=_ratio(sum(row["cost_usd"] for row in found), costs, pipeline),
            trouble=trouble,
        )


def _outcomes(rows: Iterable[Row], size: int, places: int) -> Outcomes:
    """Rows of `pattern_counts` as arrays of the shape (places, size)."""
    import numpy as np

    def spread(name: str, unit: float = 1.0) -> np.ndarray:
        values = np.zeros((places, size))
        for row in rows:
            values[max(row["place"] - 1, 0), row["steps"] - 1] = row[name] * unit
        return values

    return Outcomes(
        finished=spread("finished"),
        failed=spread("failed"),
        expected=spread("expected_failed", 1e-6),
        costs=spread("excesses"),
        excess=spread("excess_cost", 1e-4),
        squares=spread("excess_squares", 1e-8),
    )


def _ratio(cost: float, costs: int, pipeline: Row) -> float | None:
    """Mean cost of these runs / that of the pipeline's others."""
    others = pipeline["costs"] - costs
    rest = (pipeline["cost_usd"] or 0.0) - cost
    return cost / costs / (rest / others) if costs and others and rest > 0 else None
