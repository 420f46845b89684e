"""`model_frontier`, `optimization_opportunities`, `call_patterns`: what would cost less or fail less, from 30 days.

Belongs here: which runs are compared with which, and the sentences of an opportunity. Does not belong here: what
follows from their counts (statistics/savings.py, statistics/patterns.py) and prices (pricing.py).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analytics_pipeline import engine
from analytics_pipeline.insights.wording import count, percent, usd
from analytics_pipeline.partitions import HISTORY_DAYS, Clock
from analytics_pipeline.statistics import savings
from analytics_pipeline.statistics.savings import Stratum, Switch, Work

if TYPE_CHECKING:
    import duckdb

WEEKS = 4
_LEAST_BOUND = 0.05
"""Share of the cost that an experiment must promise at most, to be worth a try."""

Row = dict[str, Any]
Model = tuple[str | None, str]
Scope = tuple[str, str | None]
Strata = dict[str | None, Work]


def make_model_frontier(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Make the day's `model_frontier` again; keeps `model_runs` of the last 30 days.

    Returns:
        Rows written per table.
    """
    starts_at, ends_at = _window(clock)
    engine.make(connection, "model_runs", "model_runs", starts_at=starts_at, ends_at=ends_at)
    rows = []
    figures = engine.rows(connection, "model_frontier_figures")
    for _, group in groupby(figures, key=lambda row: (row["org_id"], row["pipeline_id"], row["input_category"])):
        models = list(group)
        respects = [(row["cost_per_success"], row["success_rate"], row["p50_duration_ms"]) for row in models]
        for row, is_best in zip(models, savings.on_frontier(respects), strict=True):
            rows.append(row | {"as_of_day": clock.today, "on_frontier": is_best})
    written = engine.replace(
        connection,
        "model_frontier",
        "model_frontier",
        where="as_of_day = $as_of_day",
        as_of_day=clock.today,
        rows=rows,
    )
    return {"model_frontier": written}


def make_optimization_opportunities(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Make the whole of `optimization_opportunities` again; `model_runs` and the day's frontier must be made.

    Returns:
        Rows written per table.
    """
    starts_at, ends_at = _window(clock)
    engine.make(connection, "price_classes", "price_classes", now=clock.naive)
    engine.make(connection, "model_tokens", "model_tokens", starts_at=starts_at, ends_at=ends_at)
    work = _work(engine.rows(connection, "model_strata"))
    repriced = engine.rows(connection, "model_switches", now=clock.naive)
    frontier = _on_frontier(connection, clock)
    lost = engine.rows(
        connection, "lost_work", starts_at=starts_at, ends_at=ends_at, weeks_end_at=clock.window(HISTORY_DAYS)[1]
    )
    rows = [*_model_rows(work, repriced, frontier), *_loss_rows(lost)]
    written = engine.replace(
        connection, "optimization_opportunities", "optimization_opportunities", where="TRUE", rows=rows
    )
    return {"optimization_opportunities": written}


def _window(clock: Clock) -> tuple[Any, Any]:
    starts_at, ends_at = clock.window(HISTORY_DAYS)
    return starts_at, min(ends_at, clock.naive)


# --- models ----------------------------------------------------------------------------------------------------------


def _work(strata: Iterable[Row]) -> dict[tuple[Scope, Model], Strata]:
    """The work of each model in each pipeline, by input category."""
    work: dict[tuple[Scope, Model], Strata] = {}
    for row in strata:
        key = (row["org_id"], row["pipeline_id"]), (row["provider"], row["model"])
        work.setdefault(key, {})[row["input_category"]] = Work(
            finished=row["finished"],
            succeeded=row["succeeded"],
            priced=row["priced"],
            cost=row["cost"],
            model_cost=row["model_cost"],
            spread=_spread(row["logs"], row["log_sum"], row["log_squares"]),
        )
    return work


def _spread(logs: int, total: float, squares: float) -> float | None:
    return math.sqrt(max(squares - total**2 / logs, 0.0) / (logs - 1)) if logs > 1 else None


def _on_frontier(connection: duckdb.DuckDBPyConnection, clock: Clock) -> set[tuple[Scope, str | None, str]]:
    rows = connection.execute(
        "SELECT org_id, pipeline_id, input_category, model FROM model_frontier WHERE as_of_day = $1 AND on_frontier",
        [clock.today],
    ).fetchall()
    return {((org_id, pipeline_id), category, model) for org_id, pipeline_id, category, model in rows}


def _model_rows(
    work: dict[tuple[Scope, Model], Strata],
    repriced: Iterable[Row],
    frontier: set[tuple[Scope, str | None, str]],
) -> Iterator[Row]:
    """Downgrades, and experiments for models of which no candidate is known well enough to say."""
    tried: dict[tuple[Scope, Model, Model], list[Switch]] = {}
    for (scope, current, candidate), strata in _strata(work, repriced).items():
        if found := savings.switches(strata):
            tried[scope, current, candidate] = found
    chosen = _chosen(tried)
    for (scope, current, candidate), switches in chosen.items():
        yield _downgrade(scope, current, candidate, tried[scope, current, candidate], switches, frontier)
    known = {key[:2] for key, switches in tried.items() if any(_is_evidence(switch) for switch in switches)}
    for scope, current in sorted({key[:2] for key in tried} - known, key=repr):
        candidates = {key[2]: switches for key, switches in tried.items() if key[:2] == (scope, current)}
        candidate = min(candidates, key=lambda model: _distance(current, model, candidates[model]))
        if experiment := _experiment(scope, current, candidate, candidates[candidate]):
            yield experiment


def _strata(
    work: dict[tuple[Scope, Model], Strata], repriced: Iterable[Row]
) -> dict[tuple[Scope, Model, Model], list[Stratum]]:
    """What each model's work would cost by each candidate, where its cost and the tokens of half of it are known."""
    strata: dict[tuple[Scope, Model, Model], list[Stratum]] = {}
    nothing = Work(0, 0, 0, 0.0, 0.0)
    for row in repriced:
        scope = row["org_id"], row["pipeline_id"]
        current, candidate = (row["provider"], row["model"]), (row["to_provider"], row["to_model"])
        own = work[scope, current][row["input_category"]]
        if own.finished < savings.LEAST_RUNS or row["counted_cost"] < own.model_cost / 2 or own.model_cost <= 0:
            continue
        strata.setdefault((scope, current, candidate), []).append(
            Stratum(
                name=row["input_category"],
                current=own,
                candidate=work.get((scope, candidate), {}).get(row["input_category"], nothing),
                repriced=row["repriced"] * own.model_cost / row["counted_cost"],
            )
        )
    return strata


def _chosen(
    tried: dict[tuple[Scope, Model, Model], list[Switch]],
) -> dict[tuple[Scope, Model, Model], list[Switch]]:
    """The best recommended switch of each piece of work; nothing is moved to a model from which work is moved away."""
    offers = [
        (switch, scope, current, candidate)
        for (scope, current, candidate), switches in tried.items()
        for switch in switches
        if switch.recommended
    ]
    offers.sort(key=lambda offer: (-offer[0].saving, repr(offer[1:]), str(offer[0].stratum.name)))
    left: set[tuple[Scope, str | None, Model]] = set()
    taken: set[tuple[Scope, str | None, Model]] = set()
    chosen: dict[tuple[Scope, Model, Model], list[Switch]] = {}
    for switch, scope, current, candidate in offers:
        old, new = (scope, switch.stratum.name, current), (scope, switch.stratum.name, candidate)
        if old in left or old in taken or new in left:
            continue
        left.add(old)
        taken.add(new)
        chosen.setdefault((scope, current, candidate), []).append(switch)
    return chosen


def _is_evidence(switch: Switch) -> bool:
    return switch.stratum.candidate.finished >= savings.LEAST_RUNS


def _repriced(switches: Iterable[Switch]) -> float:
    return math.fsum(switch.stratum.repriced - switch.stratum.current.model_cost for switch in switches)


def _distance(current: Model, candidate: Model, switches: list[Switch]) -> tuple[bool, bool, bool, float, str]:
    """What is tried first: what is cheaper, was used in the pipeline, is of the same provider; then the cheapest."""
    dearer = _repriced(switches)
    is_new = not any(switch.stratum.candidate.finished for switch in switches)
    return dearer >= 0, is_new, current[0] != candidate[0], dearer, repr(candidate)


def _downgrade(
    scope: Scope,
    current: Model,
    candidate: Model,
    tried: list[Switch],
    chosen: list[Switch],
    frontier: set[tuple[Scope, str | None, str]],
) -> Row:
    cost = math.fsum(switch.stratum.current.cost for switch in chosen)
    saving = math.fsum(switch.saving for switch in chosen)
    runs = sum(switch.stratum.current.finished for switch in chosen)
    sizes = _sizes(switch.stratum.name for switch in chosen)
    where = f"for {sizes} inputs {_of(scope)}"
    names = {switch.stratum.name for switch in chosen}
    strata = [
        _stratum(switch, switch.stratum.name in names)
        | {"candidate_on_frontier": (scope, switch.stratum.name, candidate[1]) in frontier}
        for switch in sorted(tried, key=lambda switch: str(switch.stratum.name))
    ]
    return _opportunity(
        scope,
        "model_downgrade",
        (current, candidate),
        description=(
            f"{current[1]} did {count(runs, 'run')} {where} in the last {HISTORY_DAYS} days for {usd(cost)}; "
            f"{candidate[1]} does about as well there, and would have taken about {usd(cost - saving)}."
        ),
        recommendation=f"Use {candidate[1]} in place of {current[1]} {where}, and watch the success rate for a week.",
        difficulty="low" if len(chosen) == len(tried) else "medium",
        cost=cost,
        saving=saving,
        saving_lo=savings.lower_bound(chosen),
        evidence=_models(current, candidate) | {"strata": strata},
    )


def _experiment(scope: Scope, current: Model, candidate: Model, switches: list[Switch]) -> Row | None:
    cost = math.fsum(switch.stratum.current.cost for switch in switches)
    bound = -_repriced(switches)
    if bound < _LEAST_BOUND * cost:
        return None
    return _opportunity(
        scope,
        "experiment",
        (current,),
        description=(
            f"{current[1]} cost {usd(cost)} {_of(scope)} in the last {HISTORY_DAYS} days. At the prices of "
            f"{candidate[1]} the same tokens would cost {usd(bound)} less; how well it does there, nobody knows yet."
        ),
        recommendation=(
            f"Give {candidate[1]} a share of these runs until it has {savings.LEAST_RUNS} of each input size, then "
            "compare success and cost."
        ),
        difficulty="medium",
        cost=cost,
        saving=None,
        saving_lo=None,
        evidence=_models(current, candidate)
        | {
            "price_only_saving": bound,
            "strata": [_stratum(switch, False) for switch in sorted(switches, key=lambda s: str(s.stratum.name))],
        },
    )


def _models(current: Model, candidate: Model) -> Row:
    return {
        "current": {"provider": current[0], "model": current[1]},
        "candidate": {"provider": candidate[0], "model": candidate[1]},
    }


def _stratum(switch: Switch, recommended: bool) -> Row:
    stratum, has_evidence = switch.stratum, _is_evidence(switch)
    return {
        "input_category": stratum.name,
        "recommended": recommended,
        "current_runs": stratum.current.finished,
        "candidate_runs": stratum.candidate.finished,
        "current_success_rate": stratum.current.succeeded / stratum.current.finished,
        "candidate_success_rate": (
            stratum.candidate.succeeded / stratum.candidate.finished if stratum.candidate.finished else None
        ),
        "success_lost_at_most": switch.loss if has_evidence else None,
        "current_cost": stratum.current.cost,
        "repriced_cost": stratum.current.cost - stratum.current.model_cost + stratum.repriced,
        "verbosity": switch.verbosity if has_evidence else None,
        "saving": switch.saving if has_evidence else None,
    }


def _sizes(names: Iterable[str | None]) -> str:
    known = sorted({name or "unsized" for name in names}, key=_SIZES.index)
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} and {known[-1]}"


_SIZES = ("tiny", "small", "medium", "large", "huge", "unsized")


# --- failures and waste ----------------------------------------------------------------------------------------------

_LOSSES = {
    "failed": (
        "reliability",
        "run",
        "failed",
        "Find what the failed runs have in common (error types, stages) and undo what changed since the best week.",
    ),
    "cancelled": (
        "waste",
        "run",
        "were cancelled",
        "Ask who cancels them and why; stop earlier the runs that nobody waits for.",
    ),
    "repeated": (
        "waste",
        "model call",
        "were made again",
        "Look at why answers are asked for twice: time limits that are too short, or answers that do not parse.",
    ),
}


def _loss_rows(lost: Iterable[Row]) -> Iterator[Row]:
    """What failed, was cancelled or was repeated beyond what the pipeline's best week shows to be normal."""
    for (org_id, pipeline_id, what), group in groupby(
        lost, key=lambda row: (row["org_id"], row["pipeline_id"], row["what"])
    ):
        rows = list(group)
        weeks = [(row["units"], row["lost"]) for row in rows if row["week"] < WEEKS]
        rest = [(row["units"], row["lost"]) for row in rows if row["week"] >= WEEKS]
        cost = math.fsum(row["lost_cost"] or 0.0 for row in rows)
        found = savings.avoidable(weeks, rest[0] if rest else (0, 0))
        if found and cost > 0:
            units, bad = (sum(row[name] for row in rows) for name in ("units", "lost"))
            kind, noun, verb, advice = _LOSSES[what]
            yield _opportunity(
                (org_id, pipeline_id),
                kind,
                (what,),
                description=(
                    f"{bad:,} of {count(units, noun)} {_of((org_id, pipeline_id))} {verb} in the last {HISTORY_DAYS} "
                    f"days and cost {usd(cost)}: {percent(100 * found.rate)}, after {percent(100 * found.target)} in "
                    "the best week."
                ),
                recommendation=advice,
                difficulty="medium",
                cost=cost,
                saving=cost * found.share,
                saving_lo=cost * found.share_lo,
                evidence={"what": what, "units": units, "lost": bad, "rate": found.rate, "target_rate": found.target},
            )


def _of(scope: Scope) -> str:
    return "without a pipeline" if scope[1] is None else f"of {scope[1]}"


def _opportunity(
    scope: Scope,
    kind: str,
    about: tuple[Any, ...],
    *,
    description: str,
    recommendation: str,
    difficulty: str,
    cost: float,
    saving: float | None,
    saving_lo: float | None,
    evidence: Row,
) -> Row:
    identity = json.dumps([*scope, kind, *about], sort_keys=True)
    return {
        "opportunity_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "org_id": scope[0],
        "type": kind,
        "description": description,
        "recommendation": recommendation,
        "difficulty": difficulty,
        "current_cost": cost,
        "potential_savings": saving,
        "savings_lo": saving_lo,
        "savings_percent": None if saving is None else 100 * saving / cost,
        "evidence": json.dumps({"pipeline_id": scope[1]} | evidence),
    }
