"""Why a finding is one: the cells of dimensions behind a change, and of a cost how much is volume, size and price.

Belongs here: reading the sums of cells (`sql/cause_*.sql`), and the JSON of `explanation`. Does not belong here: the
scoring of cells and the split (statistics/causes.py) and when something is a finding (rules.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from analytics_pipeline import engine
from analytics_pipeline.statistics import causes
from analytics_pipeline.statistics.causes import Cause, Cell, Spending

if TYPE_CHECKING:
    import duckdb

Metric = Literal["cost", "duration", "failed"]

DIMENSIONS = ("pipeline_id", "model", "name", "agent_id", "error_type", "provider", "project")
"""What a cause may be named by, those first that are preferred where two names mean the same."""

METHOD = "likelihood_ratio_scan"


@dataclass(frozen=True)
class Periods:
    """Two half-open periods of naive UTC instants, the earlier first; they need not touch nor be equally long."""

    previous_from: datetime
    previous_until: datetime
    current_from: datetime
    current_until: datetime


@dataclass
class Explainer:
    """Explains changes from one period to another; reads the calls or runs of both once a metric.

    Attributes:
        connection: Where `calls` and `runs` are; a temporary table `cause_leaves` is made.
        periods: The periods.
        org_id: The org that is asked about, or None for any.
    """

    connection: duckdb.DuckDBPyConnection
    periods: Periods
    org_id: str | None = None
    _metric: Metric | None = field(default=None, init=False)

    def explain(
        self, org_id: str, metric: Metric, scope: Mapping[str, str], *, scale: float = 1.0
    ) -> dict[str, Any] | None:
        """The `explanation` of a change: its method and causes, the best first; None where nothing changed.

        Of the failures of a model nothing is explained: a run, not its model's call, is what failed.

        Args:
            org_id: The org.
            metric: `cost` in USD, `duration` of calls in milliseconds, or `failed` runs.
            scope: `{}` for the whole org, `{"pipeline_id": ...}` or `{"model": ...}`.
            scale: What amounts of the earlier period are multiplied by: the ratio of the lengths of the periods, or of
                their runs where it is a change by run that is explained.
        """
        if metric == "failed" and "model" in scope:
            return None
        self._keep_leaves(metric)
        of_scope = {"pipeline": scope.get("pipeline_id"), "model": scope.get("model")}
        rows = engine.rows(self.connection, "cause_cells", org=org_id, **of_scope, scale=scale)
        whole, cells = _cells(rows)
        if whole is None:
            return None
        found = causes.causes(whole, [cell for cell in cells if cell.dims.keys() - scope.keys()])
        made = [self._cause(rank, org_id, metric, scope, cause, scale) for rank, cause in enumerate(found, start=1)]
        return {"method": METHOD, "causes": made} if made else None

    def _keep_leaves(self, metric: Metric) -> None:
        if self._metric != metric:
            name = "cause_runs" if metric == "failed" else "cause_calls"
            bounds = vars(self.periods)
            engine.make(self.connection, "cause_leaves", name, **bounds, metric=metric, org=self.org_id)
            self._metric = metric

    def _cause(
        self, rank: int, org_id: str, metric: Metric, scope: Mapping[str, str], cause: Cause, scale: float
    ) -> dict[str, Any]:
        dims = {**scope, **cause.cell.dims}
        said = {
            "rank": rank,
            "dims": {name: dims[name] for name in DIMENSIONS if name in dims},
            "score": round(cause.score, 6),
            "r_in": cause.r_in,
            "r_out": cause.r_out,
            "explained": cause.explained,
        }
        if metric != "cost":
            return said | {"previous": cause.cell.previous, "current": cause.cell.current}
        before, after = self._spending(org_id, dims, scale)
        effects = causes.split(before, after)
        return said | {"previous_usd": before.cost, "current_usd": after.cost, "effects": effects}

    def _spending(self, org_id: str, dims: Mapping[str, str | None], scale: float) -> tuple[Spending, Spending]:
        cell = {"called" if name == "name" else name: dims.get(name) for name in DIMENSIONS}
        found = engine.rows(self.connection, "cause_spending", org=org_id, **vars(self.periods), **cell)
        rows = {row["is_current"]: row for row in found}
        spent = []
        for is_current, factor in ((0, scale), (1, 1.0)):
            row = rows.get(is_current, {"runs": 0, "tokens": 0, "cost": 0.0})
            spent.append(Spending(factor * row["runs"], factor * row["tokens"], factor * row["cost"]))
        return spent[0], spent[1]


def _cells(rows: list[dict[str, Any]]) -> tuple[Cell | None, list[Cell]]:
    """The whole, and every cell whose dimensions are all known, in the order in which their names are preferred."""
    whole, cells = None, []
    for row in rows:
        if row["previous"] is None:
            continue  # the whole of no rows
        dims = {name: row[name] for name in DIMENSIONS if not row[f"any_{name}"]}
        cell = Cell(dims, row["previous"], row["current"], row["before"], row["after"])
        if not dims:
            whole = cell
        elif None not in dims.values():
            cells.append(cell)
    return whole, cells
