"""A simulated world of agent runs: realistic canonical logs with planted incidents, and the truth about them.

Here belong the world (models, pipelines, agents), what is planted in it, and the writing of its log lines. Reading
logs, judging them and the command line do not. The numbers are drawn with numpy in chunks of runs, each chunk from a
generator of its own, so that memory stays flat and the bytes depend on nothing but the arguments.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000  # milliseconds
CALLS_PER_CHUNK = 120_000
TRACING_HOSTS = 2  # of ten
FILES = ("runs.jsonl", "calls.jsonl", "jobs.jsonl", "qa.jsonl", "support.jsonl")


# ---------------------------------------------------------------------------------------------------- the world
@dataclass(frozen=True)
class Model:
    """A model and its price in USD per million tokens; a one-hour cache write costs twice the input."""

    provider: str
    name: str
    input: float
    cache_read: float
    cache_write: float
    output: float
    reasoning: bool = False
    reports_cost: bool = False


MODELS = (
    Model("anthropic", "claude-sonnet-4-5", 3.0, 0.30, 3.75, 15.0),
    Model("anthropic", "claude-haiku-4-5", 1.0, 0.10, 1.25, 5.0),
    Model("anthropic", "claude-opus-4-5", 5.0, 0.50, 6.25, 25.0, reports_cost=True),
    Model("openai", "gpt-4o", 2.5, 1.25, 2.5, 10.0),
    Model("openai", "gpt-4o-mini", 0.15, 0.075, 0.15, 0.60, reports_cost=True),
    Model("openai", "gpt-4.1", 2.0, 0.50, 2.0, 8.0, reports_cost=True),
    Model("openai", "gpt-4.1-mini", 0.40, 0.10, 0.40, 1.60),
    Model("openai", "gpt-5-mini", 0.25, 0.025, 0.25, 2.0, reasoning=True),
    Model("google", "gemini-2.5-flash", 0.30, 0.03, 0.30, 2.50, reasoning=True, reports_cost=True),
    Model("google", "gemini-2.5-pro", 1.25, 0.125, 1.25, 10.0, reasoning=True),
    Model("openai", "text-embedding-3-small", 0.02, 0.02, 0.02, 0.0),
    Model("orion-labs", "orion-2-preview", 0.0, 0.0, 0.0, 0.0),  # in no price list
)
MODEL_ID = {model.name: index for index, model in enumerate(MODELS)}
EMBEDDER, UNPRICED = MODEL_ID["text-embedding-3-small"], MODEL_ID["orion-2-preview"]


@dataclass(frozen=True)
class Pipeline:
    """One pipeline. `cycle` is its rhythm of calls: s(tage) l(lm) t(ool) e(mbedding) r(etrieval).

    `size` is the median input in characters, `tokens` the median tokens of a run, `elasticity` how tokens (and so
    cost) follow the input's size, `noise` the deviation of log cost. With `split` a run uses one model throughout,
    one run in five the last of `models`; without it the first stage uses the first model and the rest the last.
    """

    name: str
    project: str
    share: float
    models: tuple[str, ...]
    tools: tuple[str, ...]
    stages: tuple[str, ...]
    cycle: str
    size: int
    tokens: int
    elasticity: float
    noise: float
    failure_rate: float
    org_id: str = "default"
    split: bool = False
    batch: bool = False


PIPELINES = (
    Pipeline("ticket-triage", "support", 0.24, ("gpt-4o-mini",), ("search_tickets", "lookup_customer", "set_priority"),
             ("classify", "route"), "slt", 1_400, 14_000, 0.55, 0.30, 0.020),
    Pipeline("answer-drafter", "support", 0.14, ("claude-sonnet-4-5", "claude-haiku-4-5"), ("search_docs", "get_order"),
             ("plan", "draft", "review"), "sltl", 2_200, 16_000, 0.60, 0.35, 0.025),
    Pipeline("web-research", "research", 0.11, ("gpt-4o",), ("fetch_page", "web_search", "take_screenshot"),
             ("plan", "gather", "synthesize"), "sltl", 900, 26_000, 0.50, 0.45, 0.030),
    Pipeline("contract-review", "documents", 0.09, ("gpt-4.1",), ("extract_clauses", "compare_versions"),
             ("read", "assess", "report"), "sltl", 14_000, 22_000, 0.90, 0.35, 0.030, batch=True),
    Pipeline("code-review", "coding", 0.08, ("claude-sonnet-4-5",), ("read_file", "run_linter", "git_diff", "grep"),
             ("inspect", "comment"), "sltl", 6_500, 34_000, 0.75, 0.40, 0.025),
    Pipeline("paper-digest", "research", 0.07, ("gemini-2.5-pro",), ("fetch_pdf", "cite_check"),
             ("read", "summarize"), "slt", 24_000, 30_000, 0.85, 0.30, 0.030, batch=True),
    Pipeline("invoice-extract", "documents", 0.07, ("gemini-2.5-flash",), ("ocr_page", "validate_iban", "post_ledger"),
             ("extract", "validate"), "slt", 3_200, 12_000, 0.35, 0.30, 0.020, batch=True),
    Pipeline("test-writer", "coding", 0.05, ("claude-opus-4-5", "claude-haiku-4-5"), ("run_tests", "write_file"),
             ("plan", "write", "verify"), "sltl", 4_800, 24_000, 0.65, 0.45, 0.040),
    Pipeline("translation", "documents", 0.05, ("gpt-4.1-mini", "gpt-4o-mini"), ("glossary_lookup", "detect_language"),
             ("translate", "proofread"), "slt", 5_200, 11_000, 0.95, 0.30, 0.020, split=True),
    Pipeline("knowledge-search", "support", 0.04, ("gpt-4.1-mini",), ("open_article", "rate_article"),
             ("retrieve", "answer"), "serltl", 500, 9_000, 0.40, 0.35, 0.020),
    Pipeline("bug-repro", "coding", 0.03, ("claude-haiku-4-5",), ("open_browser", "run_shell", "read_log"),
             ("setup", "reproduce", "report"), "sltl", 2_600, 40_000, 0.55, 0.50, 0.040),
    Pipeline("market-scan", "research", 0.03, ("gpt-5-mini",), ("news_search", "get_quote"),
             ("scan", "rank"), "slt", 1_800, 20_000, 0.60, 0.40, 0.030, batch=True),
    Pipeline("shop-assistant", "storefront", 0.025, ("gpt-4o-mini", "gpt-4o"), ("search_catalog", "check_stock"),
             ("understand", "answer"), "slt", 400, 8_000, 0.45, 0.35, 0.020, org_id="northwind"),
    Pipeline("catalog-cleanup", "storefront", 0.01, ("gemini-2.5-flash",), ("read_item", "update_item"),
             ("normalize", "check"), "slt", 2_000, 10_000, 0.70, 0.35, 0.030, org_id="northwind", batch=True),
)  # fmt: skip
PIPELINE_ID = {pipeline.name: index for index, pipeline in enumerate(PIPELINES)}
TOOLS = tuple(dict.fromkeys(tool for pipeline in PIPELINES for tool in pipeline.tools))
STAGES = tuple(dict.fromkeys(stage for pipeline in PIPELINES for stage in pipeline.stages))
BROWSER_TOOLS = ("fetch_page", "take_screenshot", "open_browser")
GENERA = 3  # structures of a pipeline; the first is the usual one
AGENTS = tuple(f"agent-{name}" for name in ("ada", "bela", "chen", "dara", "eero", "fay", "gus", "hana"))
ERRORS = {
    "timeout": "no answer within 120 s",
    "rate_limit": "429 from the provider after 5 attempts",
    "tool_error": "a tool did not return",
    "invalid_output": "the answer does not match its schema",
    "context_length": "the prompt exceeds the context window",
}
ERROR_TYPES = tuple(ERRORS)
TOOL_ERROR_RATE = 0.02
MAX_CALL_TOKENS = 180_000  # below the size from which some models have another price


# ---------------------------------------------------------------------------------------------------- incidents
@dataclass(frozen=True)
class Plant:
    """What is planted: in the last `lasts` days, where there are `needs_days` of logs and `needs_runs` runs it hits."""

    kind: str
    pipeline: str
    scope: dict[str, str]
    severity: str
    expected_types: tuple[str, ...]
    lasts: int
    needs_days: int
    needs_runs: int


PLANTS = (
    Plant("cost_spike", "answer-drafter", {"pipeline_id": "answer-drafter", "model": "claude-sonnet-4-5"},
          "critical", ("cost_spike",), lasts=7, needs_days=14, needs_runs=20),
    Plant("degrading_tool", "web-research", {"name": "fetch_page"},
          "warning", ("tool_degradation",), lasts=3, needs_days=7, needs_runs=30),
    Plant("failing_pipeline", "contract-review", {"pipeline_id": "contract-review"},
          "critical", ("failure_pattern",), lasts=7, needs_days=1, needs_runs=20),
    Plant("slow_model", "paper-digest", {"model": "gemini-2.5-pro"},
          "warning", ("performance_degradation",), lasts=7, needs_days=14, needs_runs=20),
    Plant("input_growth", "invoice-extract", {"pipeline_id": "invoice-extract"},
          "info", (), lasts=7, needs_days=14, needs_runs=20),
    Plant("unpriced_model", "market-scan", {"provider": "orion-labs", "model": "orion-2-preview"},
          "info", (), lasts=10, needs_days=1, needs_runs=10),
)  # fmt: skip
COST_FACTOR, TOOL_FAILURES, FAILURE_RATE, SLOWNESS, GROWTH, UNPRICED_SHARE = 3.0, 0.40, 0.32, 2.0, 2.5, 0.3
RUNAWAY_PIPELINE, RUNAWAY_CALLS, RUNAWAY_COST, RUNAWAY_NEEDS_RUNS = "code-review", 8, 40.0, 30
BUDGET_PROJECT, BUDGET_NEEDS_DAYS = "coding", 7


@dataclass
class World:
    """What every chunk shares: the arguments, the arrivals of all runs, and where the incidents lie.

    `starts` (ms, sorted) and `pipes` (index into PIPELINES) have one entry a run; `since` holds the start in ms of each
    planted kind; `runaway` is the index of the runaway run or -1; `spend` the budget
    project's USD by hour since the epoch.
    """

    seed: int
    begin: int
    end: int
    calls_per_run: float
    tag: str
    starts: Ints
    pipes: Ints
    genus_offset: Floats
    since: dict[str, int] = field(default_factory=dict)
    runaway: int = -1
    spend: dict[int, float] = field(default_factory=dict)

    def hit(self, kind: str, runs: slice = slice(None)) -> Bools:
        """Which of the runs lie in the planted incident's time and pipeline."""
        if kind not in self.since:
            return np.zeros(self.starts[runs].size, dtype=bool)
        pipeline = next(plant.pipeline for plant in PLANTS if plant.kind == kind)
        return np.asarray((self.pipes[runs] == PIPELINE_ID[pipeline]) & (self.starts[runs] >= self.since[kind]))

    def run_ids(self, runs: slice) -> list[str]:
        """The ids of these runs; the tag keeps simulations with other arguments apart."""
        days = np.datetime_as_string(self.starts[runs].astype("datetime64[ms]"), unit="D").tolist()
        return [f"run-{day.replace('-', '')}-{self.tag}-{i:07d}" for i, day in enumerate(days, runs.start)]


def simulate(
    out: Path,
    *,
    days: int = 35,
    runs_per_day: float = 400,
    seed: int = 7,
    end: datetime,
    calls_per_run: float = 8.0,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Write logs of `days` times 24 h that end at `end` into the folder `out`, with `truth.json` beside them.

    There are round(runs_per_day * days) runs with `calls_per_run` calls on average. `progress` gets the share done,
    0 to 1. The same arguments give the same bytes. Returns `{"records": {kind: count}, "files": {name: bytes},
    "incidents": [...]}`, the incidents as in `truth.json`.

    Raises:
        ValueError: a number is out of range, or `end` has no UTC offset.
    """
    world = _world(days, runs_per_day, seed, end, calls_per_run)
    records: dict[str, int] = {}
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {name: stack.enter_context((out / name).open("wb")) for name in FILES}
        chunk = max(1, int(CALLS_PER_CHUNK / calls_per_run))
        for first in range(0, world.starts.size, chunk):
            _write_chunk(world, slice(first, min(first + chunk, world.starts.size)), files, records)
            if progress:
                progress(min(1.0, (first + chunk) / world.starts.size))
        _write(files["jobs.jsonl"], records, "job", _waiting_jobs(world))
        for kind, lines in _support(world).items():
            _write(files["support.jsonl"], records, kind, lines)
    incidents = _truth(world)
    (out / "truth.json").write_text(json.dumps(incidents, indent=2) + "\n", encoding="utf-8")
    return {"records": records, "files": {name: (out / name).stat().st_size for name in FILES}, "incidents": incidents}


def _world(days: int, runs_per_day: float, seed: int, end: datetime, calls_per_run: float) -> World:
    """Check the arguments, draw all arrivals and place the incidents."""
    if days < 1 or not runs_per_day > 0 or not calls_per_run >= 1:
        raise ValueError(
            f"days and calls_per_run must be at least 1 and runs_per_day above 0; "
            f"got days={days}, runs_per_day={runs_per_day}, calls_per_run={calls_per_run}"
        )
    if end.utcoffset() is None:
        raise ValueError(f"end must carry a UTC offset; got {end.isoformat()}")
    end_ms = int(end.timestamp()) * SECOND + end.microsecond // SECOND
    arguments = f"{days}|{float(runs_per_day)}|{seed}|{end_ms}|{float(calls_per_run)}"
    rng = np.random.default_rng([seed, 0])
    starts, pipes = _arrivals(rng, days, max(1, round(runs_per_day * days)), end_ms)
    world = World(
        seed, end_ms - days * DAY, end_ms, calls_per_run, hashlib.sha256(arguments.encode()).hexdigest()[:6], starts,
        pipes, genus_offset=rng.normal(0, 0.3, (len(PIPELINES), GENERA)),
    )  # fmt: skip
    _place(world, days)
    return world


def _arrivals(rng: np.random.Generator, days: int, n: int, end: int) -> tuple[Ints, Ints]:
    """Start (ms, sorted) and pipeline of n runs, with a rhythm of the day and the week and busy and quiet days."""
    begin = end - days * DAY
    middle = begin + np.arange(days * 24) * HOUR + HOUR // 2
    weekend = (middle // DAY + 3) % 7 >= 5  # the epoch was a Thursday
    rhythm = np.where(weekend, 0.45, 1.0) * (1 + 0.9 * np.sin((middle // HOUR % 24 - 8) / 24 * 2 * np.pi))
    busy = np.exp(rng.normal(0, 0.1, (days, len(PIPELINES)))).repeat(24, axis=0)
    weight = (rhythm[:, None] * busy * np.array([pipeline.share for pipeline in PIPELINES])).ravel()
    cell = np.arange(weight.size).repeat(rng.multinomial(n, weight / weight.sum()))
    starts = begin + cell // len(PIPELINES) * HOUR + (rng.random(n) * HOUR).astype(np.int64)
    late = min(3, n // 20)  # still running at the end
    order = np.argsort(starts, kind="stable")
    starts, pipes = starts[order], (cell % len(PIPELINES))[order]
    starts[n - late :] = np.maximum(starts[n - late :], end - np.arange(late, 0, -1) * 20 * SECOND)
    return starts, pipes


def _place(world: World, days: int) -> None:
    """Decide which incidents fit, and where; windows end with the hour in which the end lies, as reports' do."""
    anchor = _last_hour(world)
    for plant in PLANTS:
        if days < plant.needs_days:
            continue
        world.since[plant.kind] = max(world.begin, anchor - plant.lasts * DAY)
        if world.hit(plant.kind).sum() < plant.needs_runs:
            del world.since[plant.kind]
    latest = anchor - 36 * HOUR
    in_time = (world.starts >= latest - 30 * DAY) & (world.starts < latest)
    at_risk = np.flatnonzero(in_time & (world.pipes == PIPELINE_ID[RUNAWAY_PIPELINE]))
    if at_risk.size > RUNAWAY_NEEDS_RUNS:
        world.runaway = int(at_risk[-1])


def _last_hour(world: World) -> int:
    """The end of the hour in which the world's end lies, ms."""
    return -(-world.end // HOUR) * HOUR


def _truth(world: World) -> list[dict[str, Any]]:
    """The planted incidents as `truth.json` lists them."""
    found = [
        _incident(plant.kind, plant.scope, world.since[plant.kind], world.end, plant.severity, plant.expected_types)
        for plant in PLANTS
        if plant.kind in world.since
    ]
    if world.runaway >= 0:
        start = int(world.starts[world.runaway])
        session = {"session_id": world.run_ids(slice(world.runaway, world.runaway + 1))[0]}
        found.append(_incident("runaway_session", session, start, start + DAY, "info", ("anomaly",)))
    return found + _budget(world)


def _incident(
    kind: str, scope: dict[str, str], start: int, end: int, severity: str, expected: Sequence[str]
) -> dict[str, Any]:
    """One entry of `truth.json`; start and end in ms."""
    return {
        "kind": kind, "org_id": "default", "scope": scope, "from": _time(start), "to": _time(end),
        "severity": severity, "expected_types": list(expected),
    }  # fmt: skip


def _budget(world: World) -> list[dict[str, Any]]:
    """A project's monthly budget that its spend of the month will break, but has not broken yet."""
    if (world.end - world.begin) < BUDGET_NEEDS_DAYS * DAY or not world.spend:
        return []
    now = datetime.fromtimestamp(world.end // SECOND, UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0)
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    first, last = int(month.timestamp()) * SECOND, int(following.timestamp()) * SECOND
    if first >= world.end:
        return []
    spent = sum(usd for hour, usd in world.spend.items() if hour * HOUR >= first)
    observed = min(28 * DAY, world.end - world.begin)
    recent = sum(usd for hour, usd in world.spend.items() if (hour + 1) * HOUR > world.end - observed)
    projected = spent + recent / observed * (last - world.end)
    budget = math.ceil(100 * max(0.85 * projected, spent / 0.97)) / 100
    severity = "critical" if projected >= budget else "warning"
    scope = {"project": BUDGET_PROJECT}
    incident = _incident("budget", scope, max(first, world.begin), world.end, severity, ("budget_threshold",))
    return [incident | {"budget_monthly": budget}]


# ---------------------------------------------------------------------------------------------------- numbers
@dataclass
class Runs:
    """Columns of a chunk's runs. Times and durations in ms; `head` and `parent` are positions in the chunk, -1: none.

    `variant` is the choice of models, `qa` an index into QA_STATUSES or -1, `error` counts from 1.
    """

    pipe: Ints
    agent: Ints
    queued: Ints
    start: Ints
    genus: Ints
    variant: Ints
    chars: Ints
    tokens: Floats
    duration: Floats
    status: Ints
    error: Ints
    head: Ints
    parent: Ints
    n_calls: Ints
    end: Ints
    qa: Ints


@dataclass
class Calls:
    """Columns of a chunk's calls in the order of their runs; `run` is the position in the chunk, -1 and 0 mean none."""

    run: Ints
    agent: Ints
    pos: Ints
    kind: Ints
    name: Ints
    model: Ints
    retry: Bools
    error: Ints
    parent: Ints
    start: Ints
    end: Ints
    duration: Ints
    input: Ints
    cache_read: Ints
    write_5m: Ints
    write_1h: Ints
    output: Ints
    reasoning: Ints
    cost: Floats


LLM, TOOL, STAGE, EMBEDDING, RETRIEVAL = range(5)
SUCCEEDED, FAILED, CANCELLED, RUNNING = range(4)
STATUSES = ("succeeded", "failed", "cancelled", "running")


def _table(values: Iterable[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)


CYCLE = np.array([["ltser".index(letter) for letter in (p.cycle * 4)[:12]] for p in PIPELINES])  # lengths divide 12
PERIOD = np.array([len(p.cycle) for p in PIPELINES])
TOOL_TABLE = np.array([[TOOLS.index(p.tools[i % len(p.tools)]) for i in range(12)] for p in PIPELINES])
STAGE_TABLE = np.array([[STAGES.index(p.stages[i % len(p.stages)]) for i in range(12)] for p in PIPELINES])
SIZE, TOKENS = _table(p.size for p in PIPELINES), _table(p.tokens for p in PIPELINES)
ELASTICITY, NOISE = _table(p.elasticity for p in PIPELINES), _table(p.noise for p in PIPELINES)
FAILURES = _table(p.failure_rate for p in PIPELINES)
SPREAD = np.linspace(0.6, 1.1, len(PIPELINES))  # deviation of log input size
CACHED = np.linspace(0.0, 0.6, len(PIPELINES))  # share of later prompts that the cache holds
TALK = np.linspace(0.07, 0.18, len(PIPELINES))  # share of the tokens that are output
BATCH = np.array([p.batch for p in PIPELINES])
PRICE = {name: _table(getattr(m, name) for m in MODELS) for name in ("input", "cache_read", "cache_write", "output")}
WRITES_CACHE = np.array([m.provider == "anthropic" for m in MODELS])
REASONS = np.array([m.reasoning for m in MODELS])
LEAF_TIME = np.array([1.0, 0.6, 0.0, 0.08, 0.15])  # relative duration by kind of call; a stage spans its calls


def _models(pipeline: Pipeline) -> list[list[int]]:
    """Models by variant of the run (usual, other, unpriced) and by stage (first, later)."""
    first, last = MODEL_ID[pipeline.models[0]], MODEL_ID[pipeline.models[-1]]
    usual = [first, first] if pipeline.split else [first, last]
    return [usual, [last, last], [UNPRICED, UNPRICED]]


MODEL_TABLE = np.array([_models(pipeline) for pipeline in PIPELINES])
SPLIT = np.array([pipeline.split for pipeline in PIPELINES])


def _draw_runs(world: World, rng: np.random.Generator, span: slice) -> Runs:
    """Draw what is known of the runs before their calls and their QA, which set `end`, `status` and `qa`."""
    pipe, start = world.pipes[span], world.starts[span]
    n = pipe.size
    runaway = np.arange(span.start, span.stop) == world.runaway
    agent = (pipe + 3 * (rng.random(n) < 0.3)) % len(AGENTS)
    genus = rng.choice(GENERA, n, p=[0.7, 0.2, 0.1])
    size = SPREAD[pipe] * rng.standard_normal(n) + np.log(GROWTH) * world.hit("input_growth", span)
    chars = np.clip(SIZE[pipe] * np.exp(size), 20, 400_000).astype(np.int64)
    noise = NOISE[pipe] * rng.standard_t(5, n) / math.sqrt(5 / 3) * ~runaway
    volume = ELASTICITY[pipe] * size + world.genus_offset[pipe, genus] + noise
    seconds = 20 * np.sqrt(SIZE[pipe] / 2_500) * np.exp(0.5 * size + 0.6 * noise + 0.35 * rng.standard_normal(n))
    failing = world.hit("failing_pipeline", span)
    failure_rate = np.where(failing, FAILURE_RATE, FAILURES[pipe])
    luck = np.where(runaway, 1.0, _luck(rng, failing))
    status = np.select([luck < failure_rate, luck < failure_rate + 0.01], [FAILED, CANCELLED], SUCCEEDED)
    variant = (SPLIT[pipe] & (rng.random(n) < 0.2)).astype(np.int64)
    variant[world.hit("unpriced_model", span) & (rng.random(n) < UNPRICED_SHARE)] = 2
    head, parent = _sessions(rng, pipe, start, runaway)
    wait = rng.exponential(np.where(BATCH[pipe], 20 * SECOND, SECOND // 2)).astype(np.int64)
    return Runs(
        pipe, agent, start - wait, start, genus, variant, chars,
        tokens=TOKENS[pipe] * np.exp(volume) * np.where(runaway, RUNAWAY_COST, 1.0),
        duration=_outlast(world, span, seconds * SECOND * np.where(runaway, RUNAWAY_CALLS, 1.0)),
        status=status, error=1 + rng.choice(len(ERRORS), n, p=[0.3, 0.25, 0.2, 0.15, 0.1]), head=head, parent=parent,
        n_calls=(1 + rng.poisson(world.calls_per_run - 1, n)) * np.where(runaway, RUNAWAY_CALLS, 1),
        end=start, qa=np.full(n, -1),
    )  # fmt: skip


def _luck(rng: np.random.Generator, planted: Bools) -> Floats:
    """Uniform draws, spread evenly over what is planted, so that few records too show the rate that truth states."""
    luck, n = rng.random(planted.size), int(planted.sum())
    luck[planted] = (rng.permutation(n) + 0.5) / max(n, 1)
    return luck


def _outlast(world: World, span: slice, duration: Floats) -> Floats:
    """Make the runs of the last minute go on past the end, so that something is still running."""
    left = world.end - world.starts[span]
    return np.where(left <= MINUTE, np.maximum(duration, 3.0 * left + MINUTE), duration)


def _sessions(rng: np.random.Generator, pipe: Ints, start: Ints, alone: Bools) -> tuple[Ints, Ints]:
    """First run of each run's session, and the parent run or -1: some runs go on where another left off."""
    order = np.argsort(pipe, kind="stable")
    near = (np.diff(pipe[order]) == 0) & (np.diff(start[order]) < 3 * HOUR)
    joins = np.r_[False, near & ~alone[order][1:] & ~alone[order][:-1]] & (rng.random(pipe.size) < 0.12)
    head = np.empty(pipe.size, dtype=np.int64)
    head[order] = order[np.maximum.accumulate(np.where(joins, 0, np.arange(pipe.size)))]
    follows = head != np.arange(pipe.size)
    return head, np.where(follows & (rng.random(pipe.size) < 0.3), head, -1)


def _draw_calls(world: World, rng: np.random.Generator, span: slice, runs: Runs) -> Calls:
    """Draw the calls of the runs, set the runs' ends and status, and leave out what the end cuts off."""
    run = np.arange(runs.pipe.size).repeat(runs.n_calls)
    first = np.cumsum(runs.n_calls) - runs.n_calls
    pos = np.arange(run.size) - first[run]
    pipe, last = runs.pipe[run], pos == runs.n_calls[run] - 1
    block = pos // PERIOD[pipe]
    kind = np.where(last, LLM, CYCLE[pipe, pos % 12])
    turn = block + runs.genus[run] + (rng.random(run.size) < 0.3)
    name = np.where(kind == STAGE, STAGE_TABLE[pipe, block % 12], TOOL_TABLE[pipe, turn % 12])
    retry, error = _errors(world, rng, span, runs, run, last, kind, name)
    model = np.where(kind == EMBEDDING, EMBEDDER, MODEL_TABLE[pipe, runs.variant[run], np.minimum(block, 1)])
    weight = np.exp(0.4 * rng.standard_normal(run.size))
    duration = _durations(world, span, runs, run, first, kind, model, weight)
    start, finish = _schedule(runs, run, first, pos % PERIOD[pipe] == 0, kind, duration)
    tokens = _tokens(world, rng, span, runs, run, first, pos, kind, model, weight, error)
    head_of_block = first[run] + block * PERIOD[pipe]
    has_parent = (kind[head_of_block] == STAGE) & (kind != STAGE) & (finish[head_of_block] <= world.end)
    runs.end = finish[first + runs.n_calls - 1] + rng.integers(1, 40, runs.pipe.size)
    runs.status[runs.end > world.end] = RUNNING
    _spend(world, pipe, start, tokens["cost"])
    calls = Calls(
        run, runs.agent[run], pos, kind, name, model, retry, error, np.where(has_parent, block * PERIOD[pipe], -1),
        start, finish, finish - start, **tokens,
    )  # fmt: skip
    return _select(calls, finish <= world.end)


def _select(calls: Calls, keep: Bools | npt.NDArray[np.intp]) -> Calls:
    return Calls(**{name: column[keep] for name, column in vars(calls).items()})


def _errors(
    world: World, rng: np.random.Generator, span: slice, runs: Runs, run: Ints, last: Bools, kind: Ints, name: Ints
) -> tuple[Bools, Ints]:
    """Which calls are retries and the error of each (0: none); a failed tool's retry replaces the next LLM call."""
    degraded = world.hit("degrading_tool", span)[run] & (kind == TOOL) & (name == TOOLS.index("fetch_page"))
    rate = np.where(degraded, TOOL_FAILURES, TOOL_ERROR_RATE)
    luck, patience = _luck(rng, degraded), rng.random(run.size)
    fails = (kind == TOOL) & (luck < rate)
    again = np.r_[False, fails[:-1] & (run[1:] == run[:-1])] & ~last & (kind == LLM) & (patience < 0.6)
    name[again] = name[np.flatnonzero(again) - 1]
    kind[again] = TOOL
    rate[again] = rate[np.flatnonzero(again) - 1]
    fails |= again & (luck < rate)
    error = np.where(fails, 1 + ERROR_TYPES.index("tool_error"), 0)
    error[(kind == LLM) & ~last & (luck < 0.004)] = 1 + ERROR_TYPES.index("rate_limit")
    return again, np.where(last & (runs.status == FAILED)[run], runs.error[run], error)


def _durations(
    world: World, span: slice, runs: Runs, run: Ints, first: Ints, kind: Ints, model: Ints, weight: Floats
) -> Ints:
    """Duration of each call in ms (0 for a stage): the run's, shared out by kind and weight."""
    share = LEAF_TIME[kind] * weight
    share *= (runs.duration / np.add.reduceat(share, first))[run]
    slow = world.hit("slow_model", span)[run] & (kind == LLM) & (model == MODEL_ID["gemini-2.5-pro"])
    return np.where(kind == STAGE, 0, 1 + (share * np.where(slow, SLOWNESS, 1.0)).astype(np.int64))


def _schedule(runs: Runs, run: Ints, first: Ints, opens_block: Bools, kind: Ints, duration: Ints) -> tuple[Ints, Ints]:
    """Start and end of each call: one after the other, 2 ms apart, a stage from its first call to its last."""
    after = np.cumsum(duration + 2)
    before = after - duration - 2
    start = runs.start[run] + 1 + before - before[first][run]
    finish = start + duration
    opening = np.flatnonzero(opens_block)
    closing = np.r_[opening[1:], run.size] - 1
    stage = kind[opening] == STAGE
    finish[opening[stage]] = finish[closing[stage]]
    return start, finish


def _tokens(
    world: World, rng: np.random.Generator, span: slice, runs: Runs, run: Ints, first: Ints, pos: Ints, kind: Ints,
    model: Ints, weight: Floats, error: Ints,
) -> dict[str, Any]:  # fmt: skip
    """Disjoint token counts of each call and what they cost in USD (0 where no list has a price)."""
    llm, pipe = kind == LLM, runs.pipe[run]
    spiked = world.hit("cost_spike", span)[run] & (model == MODEL_ID["claude-sonnet-4-5"])
    share = llm * weight
    total = share * (runs.tokens / np.add.reduceat(share, first))[run] * np.where(spiked, COST_FACTOR, 1.0)
    total = np.minimum(total, MAX_CALL_TOKENS)
    spoken = total * np.minimum(0.5, TALK[pipe] * np.exp(0.2 * rng.standard_normal(run.size)))
    prompt = total - spoken
    read = prompt * CACHED[pipe] * (pos > 1)
    write = prompt * 0.2 * (WRITES_CACHE[model] & (pos <= 1))
    hour_long = BATCH[pipe] | (runs.genus[run] == 2)
    thought = spoken * np.where(REASONS[model], 0.4, 0.0)
    answered = ~((error > 0) & (pos < runs.n_calls[run] - 1))
    embedded = np.clip(runs.chars[run] // 4, 1, 8_000) * (kind == EMBEDDING)
    counts = {
        "input": np.maximum(prompt - read - write, llm * 1.0) + embedded,
        "cache_read": read, "write_5m": write * ~hour_long, "write_1h": write * hour_long,
        "output": np.maximum(spoken - thought, 1.0 * llm) * answered, "reasoning": thought * answered,
    }  # fmt: skip
    columns: dict[str, Any] = {name: np.rint(count).astype(np.int64) for name, count in counts.items()}
    columns["cost"] = _cost(model, columns) + np.where(kind == RETRIEVAL, 0.0004, 0.0)
    return columns


def _cost(model: Ints, tokens: dict[str, Ints]) -> Floats:
    """USD of each call by the price list."""
    usd = tokens["input"] * PRICE["input"][model] + tokens["cache_read"] * PRICE["cache_read"][model]
    usd += tokens["write_5m"] * PRICE["cache_write"][model] + tokens["write_1h"] * 2 * PRICE["input"][model]
    usd += (tokens["output"] + tokens["reasoning"]) * PRICE["output"][model]
    return np.asarray(usd / 1e6)


def _spend(world: World, pipe: Ints, start: Ints, cost: Floats) -> None:
    """Add up, hour by hour, what the project with the budget spends."""
    counted = np.flatnonzero(np.isin(pipe, [i for i, p in enumerate(PIPELINES) if p.project == BUDGET_PROJECT]))
    hours, position = np.unique(start[counted] // HOUR, return_inverse=True)
    for hour, usd in zip(hours.tolist(), np.bincount(position, cost[counted], hours.size).tolist(), strict=True):
        world.spend[hour] = world.spend.get(hour, 0.0) + usd


# ---------------------------------------------------------------------------------------------------- lines
def _write_chunk(world: World, span: slice, files: dict[str, IO[bytes]], records: dict[str, int]) -> None:
    """Draw and write one chunk of runs with all that belongs to them."""
    rng = np.random.default_rng([world.seed, 1, span.start])
    runs = _draw_runs(world, rng, span)
    calls = _draw_calls(world, rng, span, runs)
    _judge(rng, runs)
    ids = world.run_ids(span)
    _write(files["runs.jsonl"], records, "run", _run_lines(rng, runs, ids))
    _write(files["calls.jsonl"], records, "call", _call_lines(calls, ids))
    _write(files["jobs.jsonl"], records, "job", _job_lines(runs, ids))
    _write(files["qa.jsonl"], records, "qa", _qa_lines(world, rng, runs, ids))


def _write(file: IO[bytes], records: dict[str, int], kind: str, lines: list[str]) -> None:
    records[kind] = records.get(kind, 0) + len(lines)
    if lines:
        file.write(("\n".join(lines) + "\n").encode())


def _times(instants: Ints) -> list[str]:
    """RFC 3339 in UTC with milliseconds."""
    texts: list[str] = np.datetime_as_string(instants.astype("datetime64[ms]"), "ms", timezone="UTC").tolist()
    return texts


def _time(instant: int) -> str:
    return _times(np.array([instant]))[0]


def _rows(*columns: Sequence[Any] | npt.NDArray[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of these columns, as plain Python values."""
    plain = (column.tolist() if isinstance(column, np.ndarray) else column for column in columns)
    return zip(*plain, strict=True)


def _field(name: str, values: Sequence[Any] | npt.NDArray[Any], form: str = "%s") -> list[str]:
    """A JSON member with its comma for each value; nothing where the value is 0 or empty."""
    template = f',"{name}":{form}'
    return [template % value if value else "" for (value,) in _rows(values)]


MODEL_PART = [f'"provider":"{m.provider}","model":"{m.name}"' for m in MODELS]
TOOL_PART = [f'"name":"{tool}"' + ',"browser_used":true' * (tool in BROWSER_TOOLS) for tool in TOOLS]
STATUS_PART = ['"status":"ok"', *(f'"status":"error","error_type":"{name}"' for name in ERRORS)]
KINDS = ("llm", "tool", "stage", "embedding", "retrieval")
REPORTS_COST = np.array([m.reports_cost for m in MODELS])


def _call_lines(calls: Calls, ids: list[str]) -> list[str]:
    """One line a call, in the order of the calls."""
    tails = {LLM: _llm_tails, TOOL: _tool_tails, STAGE: _stage_tails, EMBEDDING: _llm_tails, RETRIEVAL: _paid_tails}
    where = {kind: np.flatnonzero(calls.kind == kind) for kind in tails}
    lines: list[str] = []
    for kind, make in tails.items():
        chosen = _select(calls, where[kind])
        lines += map(str.__add__, _heads(chosen, ids, kind), make(chosen, ids))
    order = np.argsort(np.concatenate(list(where.values())))
    return list(map(lines.__getitem__, order.tolist()))


def _heads(calls: Calls, ids: list[str], kind: int) -> list[str]:
    """How the line of a call begins, whatever its kind; stages leave the agent to their run."""
    own = [ids[run] for run in calls.run.tolist()]
    agents = [f'"agent_id":"{agent}",' if kind != STAGE else "" for agent in AGENTS]
    parents = [f'"parent_call_id":"{run}.{pos}",' if pos >= 0 else "" for run, pos in _rows(own, calls.parent)]
    return [
        f'{{"record":"call","call_id":"{run}.{pos}","run_id":"{run}","kind":"{KINDS[kind]}","started_at":"{time}",'
        f"{parent}{agents[agent]}"
        for run, pos, time, parent, agent in _rows(own, calls.pos, _times(calls.start), parents, calls.agent)
    ]


def _llm_tails(calls: Calls, _: list[str]) -> list[str]:
    """What calls of a model cost; whether the log says so goes by the model, as it goes by the client in real logs."""
    streams = (calls.kind == LLM) & (calls.pos % 2 == 1)
    first = np.where(streams, calls.duration * (10 + calls.duration % 31) // 100, 0)
    rows = _rows(
        calls.model, calls.duration, calls.error, calls.input, _field("cache_read_tokens", calls.cache_read),
        _field("cache_write_5m_tokens", calls.write_5m), _field("cache_write_1h_tokens", calls.write_1h), calls.output,
        _field("reasoning_tokens", calls.reasoning), _field("time_to_first_token_ms", first),
        _field("cost_usd", np.where(REPORTS_COST[calls.model], calls.cost, 0.0), "%.7f"),
    )  # fmt: skip
    return [
        f'{MODEL_PART[model]},"duration_ms":{ms},{STATUS_PART[error]},"input_tokens":{tokens}{read}{short}{long},'
        f'"output_tokens":{output}{reasoning}{first_token}{cost}}}'
        for model, ms, error, tokens, read, short, long, output, reasoning, first_token, cost in rows
    ]


def _tool_tails(calls: Calls, ids: list[str]) -> list[str]:
    rows = _rows(calls.run, calls.pos, calls.retry)
    tried = _field("retry_of", [f"{ids[run]}.{pos - 1}" if again else "" for run, pos, again in rows], '"%s"')
    return [
        f'{TOOL_PART[name]},"duration_ms":{ms},{STATUS_PART[error]}{retry}}}'
        for name, ms, error, retry in _rows(calls.name, calls.duration, calls.error, tried)
    ]


def _stage_tails(calls: Calls, _: list[str]) -> list[str]:
    rows = _rows(calls.name, _times(calls.end))
    return [f'"name":"{STAGES[name]}","ended_at":"{end}","status":"ok"}}' for name, end in rows]


def _paid_tails(calls: Calls, _: list[str]) -> list[str]:
    """Retrievals, with the price of a query."""
    rows = _rows(calls.duration, calls.cost)
    return [f'"name":"vector_search","duration_ms":{ms},"status":"ok","cost_usd":{cost:.4f}}}' for ms, cost in rows]


# ---------------------------------------------------------------------------------------------------- runs and around
USERS, ENVIRONMENTS, EFFORTS = 40, ("production", "staging"), ("LOW", "MEDIUM", "HIGH")
TAGS = ('["nightly"]', '["customer"]', '["customer","priority"]', '["experiment"]')
QA_STATUSES = ("passed", "warning", "failed", "error", "not_run")
PROSE = (
    "Please look at the case from Zürich again: the parcel left on Monday, the customer was told Wednesday, and the "
    "depot has no scan since. The invoice says 1,240.50 EUR while the order says 1,204.50. Compare both, say which one "
    "is right and why, and propose a short answer in the customer's language. If a document is missing, name it. "
)
INPUTS: tuple[Any, ...] = (
    {"question": "@", "top_k": 5},
    {"messages": [{"content": "You are a careful assistant.", "role": "system"}, {"content": "@", "role": "user"}]},
    {"document": {"language": "de", "pages": [{"number": 1, "text": "@"}]}, "options": {"strict": True}},
)
INPUT_PARTS = [
    json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).split("@") for value in INPUTS
]
LONGEST_INPUT = 2_500
ENDLESS_PROSE = PROSE * (LONGEST_INPUT // len(PROSE) + 2)
EFFORT_PART = [*(f',"human_effort_level":"{effort}"' for effort in EFFORTS), ""]  # the last for -1: not stated
TAG_PART = [*(f',"tags":{tags}' for tags in TAGS), ""]
QA_PART = [*(f',"qa_status":"{status}"' for status in QA_STATUSES), ""]
JOB_STATES = ("completed", "failed", "cancelled", "running")  # in the order of STATUSES
JOB_PART = [f'"project":"{p.project}"' + f',"org_id":"{p.org_id}"' * (p.org_id != "default") for p in PIPELINES]


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def _identity(pipeline: Pipeline, genus: int, variant: int) -> str:
    """What runs of one structure and one choice of models have in common."""
    mode = "3loop" if pipeline.cycle == "sltl" else "2loop"
    org = f'"org_id":"{pipeline.org_id}",' if pipeline.org_id != "default" else ""
    return (
        f'{org}"project":"{pipeline.project}","pipeline_id":"{pipeline.name}",'
        f'"genus_hash":"{_digest(pipeline.name, genus)[:16]}",'
        f'"species_hash":"{_digest(pipeline.name, genus, variant)[:16]}","mode":"{mode}"'
    )


IDENTITY = [[[_identity(p, genus, variant) for variant in range(3)] for genus in range(GENERA)] for p in PIPELINES]


def _run_lines(rng: np.random.Generator, runs: Runs, ids: list[str]) -> list[str]:
    """One line a run, finished or still running."""
    rows = _rows(
        ids, _times(runs.queued), _times(runs.start), _ends(runs), runs.pipe, runs.genus, runs.variant, runs.agent,
        runs.status, _failures(runs), _places(runs, ids), _inputs(rng, runs), _labels(rng, runs), _traces(rng, runs),
    )  # fmt: skip
    return [
        f'{{"record":"run","run_id":"{run}","queued_at":"{queued}","started_at":"{start}"{end},'
        f'{IDENTITY[pipe][genus][variant]},"agent_id":"{AGENTS[agent]}","status":"{STATUSES[status]}"'
        f"{failure}{place}{given}{labels}{trace}}}"
        for run, queued, start, end, pipe, genus, variant, agent, status, failure, place, given, labels, trace in rows
    ]


def _ends(runs: Runs) -> list[str]:
    rows = _rows(_times(runs.end), runs.status)
    return [f',"ended_at":"{end}"' if status != RUNNING else "" for end, status in rows]


def _failures(runs: Runs) -> list[str]:
    texts = [f',"error_type":"{name}","error_message":"{message}"' for name, message in ERRORS.items()]
    return [texts[error - 1] if status == FAILED else "" for error, status in _rows(runs.error, runs.status)]


def _places(runs: Runs, ids: list[str]) -> list[str]:
    """Session and parent; a child run leaves the session to its parent, a run on its own is its own session."""
    shared = np.bincount(runs.head, minlength=runs.head.size)[runs.head] > 1
    return [
        f',"parent_run_id":"{ids[parent]}"' if parent >= 0 else f',"session_id":"s-{ids[head]}"' if several else ""
        for head, parent, several in _rows(runs.head, runs.parent, shared)
    ]


def _inputs(rng: np.random.Generator, runs: Runs) -> list[str]:
    """The input's size, or for some of the small ones the input itself, of just that size."""
    whole = (rng.random(runs.pipe.size) < 0.2) & (runs.chars >= 150) & (runs.chars <= LONGEST_INPUT)
    offset = rng.integers(0, len(PROSE), runs.pipe.size)
    return [
        f',"input":{_input(pipe, chars, at)}' if real else f',"input_chars":{chars}'
        for pipe, chars, at, real in _rows(runs.pipe, runs.chars, offset, whole)
    ]


def _input(pipe: int, chars: int, offset: int) -> str:
    """An input of the pipeline's shape as compact JSON of that many characters."""
    before, after = INPUT_PARTS[pipe % len(INPUT_PARTS)]
    return before + ENDLESS_PROSE[offset : offset + chars - len(before) - len(after)] + after


def _labels(rng: np.random.Generator, runs: Runs) -> list[str]:
    """Environment and, on some runs, user, effort, tags and QA."""
    n = runs.pipe.size
    efforts = np.where(rng.random(n) < 0.3, rng.choice(3, n, p=[0.6, 0.3, 0.1]), -1)
    users = np.where(rng.random(n) < 0.6, rng.integers(1, USERS + 1, n), 0)
    tags = np.where(rng.random(n) < 0.25, rng.integers(0, len(TAGS), n), -1)
    return [
        f',"environment":"{ENVIRONMENTS[staging]}"{user}{EFFORT_PART[effort]}{TAG_PART[tag]}{QA_PART[qa]}'
        for staging, user, effort, tag, qa in _rows(
            (rng.random(n) < 0.15).astype(int), _field("user_id", users, '"user-%02d"'), efforts, tags, runs.qa
        )
    ]


def _traces(rng: np.random.Generator, runs: Runs) -> list[str]:
    """On the hosts that trace, keys that the contract does not know, as real loggers add them."""
    n = runs.pipe.size
    digits, hosts = rng.bytes(16 * n).hex(), rng.integers(1, 11, n).tolist()
    return [
        f',"trace_id":"{digits[32 * i : 32 * i + 32]}","host":"worker-{host}.eu-central.internal","sdk":"runlog 1.4.2"'
        if host <= TRACING_HOSTS
        else ""
        for i, host in enumerate(hosts)
    ]


def _judge(rng: np.random.Generator, runs: Runs) -> None:
    """Give some of the finished runs a QA status of their own; failed runs fare worse."""
    n = runs.pipe.size
    verdict = np.where(
        runs.status == SUCCEEDED,
        rng.choice(len(QA_STATUSES), n, p=[0.87, 0.06, 0.04, 0.01, 0.02]),
        rng.choice(len(QA_STATUSES), n, p=[0.05, 0.10, 0.60, 0.15, 0.10]),
    )
    runs.qa = np.where((rng.random(n) < 0.4) & (runs.status != RUNNING), verdict, -1)


def _qa_lines(world: World, rng: np.random.Generator, runs: Runs, ids: list[str]) -> list[str]:
    """QA that came as records of its own, for finished runs that state none."""
    checked = runs.end + rng.integers(5 * SECOND, 10 * MINUTE, runs.end.size)
    due = np.flatnonzero((runs.qa < 0) & (checked <= world.end) & (rng.random(runs.end.size) < 0.35))
    score = rng.random(due.size)
    passed = score > np.where(runs.status[due] == SUCCEEDED, 0.08, 0.8)
    lines = []
    for run, time, value, good, second in _rows(due, _times(checked[due]), score, passed, due % 10 == 0):
        status = "passed" if good else "failed"
        rest = f'"status":"{status}","score":{value:.3f},"checked_at":"{time}"}}'
        lines.append(f'{{"record":"qa","run_id":"{ids[run]}","name":"qa",{rest}')
        if second:
            lines.append(f'{{"record":"qa","run_id":"{ids[run]}","name":"factuality",{rest}')
    return lines


def _job_lines(runs: Runs, ids: list[str]) -> list[str]:
    """The jobs behind runs of pipelines that work off a queue."""
    where = np.flatnonzero(BATCH[runs.pipe])
    ends = _ends(runs)
    return [
        f'{{"record":"job","job_id":"job-{ids[run]}","run_id":"{ids[run]}",{JOB_PART[pipe]},'
        f'"state":"{JOB_STATES[status]}","queued_at":"{queued}","started_at":"{start}"'
        f"{ends[run].replace('ended_at', 'finished_at')}}}"
        for run, pipe, status, queued, start in _rows(
            where, runs.pipe[where], runs.status[where], _times(runs.queued[where]), _times(runs.start[where])
        )
    ]


def _waiting_jobs(world: World) -> list[str]:
    """Jobs that wait for a worker at the end."""
    pipe = PIPELINE_ID["paper-digest"]
    queued = world.end - np.arange(min(3, world.starts.size // 20)) * 15 * SECOND
    return [
        f'{{"record":"job","job_id":"job-{world.tag}-waiting-{i}",{JOB_PART[pipe]},"state":"queued","queued_at":"{time}"}}'
        for i, time in enumerate(_times(queued))
    ]


# ---------------------------------------------------------------------------------------------------- support family
@dataclass(frozen=True)
class Domain:
    """A domain of support: its share of sessions, its flow (or none), how often each option ends escalated."""

    name: str
    share: float
    flow: str
    options: tuple[tuple[str, float], ...]


DOMAINS = (
    Domain("password_reset", 0.30, "Reset a password", (("Send a reset link", 0.05), ("Unlock the account", 0.10))),
    Domain("vpn", 0.22, "Fix the VPN", (("Renew the certificate", 0.08), ("Reinstall the client", 0.60))),
    Domain("billing", 0.20, "Explain an invoice", (("Show the line items", 0.10), ("Correct the address", 0.12))),
    Domain("delivery", 0.16, "Find a parcel", (("Show the tracking", 0.06), ("Ask the depot", 0.25))),
    Domain("single_sign_on", 0.12, "", ()),
)
SESSIONS_PER_RUN = 0.05
TIERS = ("guided", "exploring", "discovery")


def _support(world: World) -> dict[str, list[str]]:
    """Support sessions with flows, choices, proposals and ticket posts: lines by kind of record."""
    rng = np.random.default_rng([world.seed, 2])
    lines: dict[str, list[str]] = {
        kind: [] for kind in ("flow", "support_session", "flow_choice", "flow_proposal", "ticket_post")
    }
    for domain in DOMAINS:
        if domain.flow:
            lines["flow"].append(_line(
                "flow", flow_id=_flow(world, domain), name=domain.flow, problem_domain=domain.name, origin="manual",
                created_at=_time(world.begin),
            ))  # fmt: skip
    n = round(SESSIONS_PER_RUN * world.starts.size)
    starts = np.sort(world.starts[rng.integers(0, world.starts.size, n)])
    domains = rng.choice(len(DOMAINS), n, p=[domain.share for domain in DOMAINS])
    for i, (start, domain, luck) in enumerate(_rows(starts, domains, rng.random((n, 6)))):
        for kind, line in _session(world, i, start, DOMAINS[domain], luck):
            lines[kind].append(line)
    return lines


def _line(record: str, **fields: Any) -> str:
    """One line; fields that are None are left out."""
    return json.dumps({"record": record} | {k: v for k, v in fields.items() if v is not None}, separators=(",", ":"))


def _flow(world: World, domain: Domain) -> str:
    return f"flow-{world.tag}-{domain.name}"


def _session(world: World, i: int, start: int, domain: Domain, luck: list[float]) -> Iterator[tuple[str, str]]:
    """The records of one support session, those of them that lie before the end."""
    session, flow = f"support-{world.tag}-{i:06d}", _flow(world, domain) if domain.flow else None
    steps = 2 + int(4 * luck[0])
    option = int(luck[1] * len(domain.options)) if domain.options else 0
    risk = domain.options[option][1] if domain.options else 0.55
    outcome = "escalated" if luck[2] < risk else "abandoned" if luck[2] > 0.95 else "resolved"
    done = start + steps * 2 * MINUTE + int(luck[3] * 20 * MINUTE)
    over = done <= world.end
    ticket = f"T-{world.tag}-{i:06d}" if outcome == "escalated" else None
    yield "support_session", _line(
        "support_session", session_id=session, status=outcome if over else "open", created_at=_time(start),
        resolved_at=_time(done) if over else None, problem_domain=domain.name,
        confidence_tier=TIERS[min(2, int(3 * luck[4] ** 2))] if flow else TIERS[1 + (luck[4] < 0.8)],
        step_count=steps, session_rating=_rating(outcome, luck[5]) if over else None, flow_id=flow,
        ticket_id=ticket if over else None,
    )  # fmt: skip
    for step in range(steps if flow else 0):
        chosen, last = start + (step + 1) * 2 * MINUTE, step == steps - 1
        if chosen <= world.end:
            text, at = (domain.options[option][0], option) if last else ("Continue", len(domain.options))
            yield "flow_choice", _line(
                "flow_choice", choice_id=f"{session}.{step}", session_id=session, flow_id=flow, step_id=f"step-{step}",
                option_id=f"{flow}-option-{at}", option_text=text, chosen_at=_time(chosen),
                led_to=outcome if last else "back" if luck[step] < 0.1 else "next",
            )  # fmt: skip
    if ticket and over:
        failed = luck[3] < 0.08
        yield "ticket_post", _line(
            "ticket_post", post_id=f"post-{ticket}", session_id=session, status="failed" if failed else "success",
            retry_count=3 if failed else int(luck[0] * 2), posted_at=_time(done), hours_logged=round(2 * luck[5], 2),
        )  # fmt: skip
    if over and outcome == "resolved" and luck[4] < (0.04 if flow else 0.2):
        yield "flow_proposal", _proposal(world, i, done, domain, session, flow, luck)


def _rating(outcome: str, luck: float) -> int | None:
    """Half of the sessions are rated; solved ones better."""
    if luck < 0.5:
        return None
    return 3 + int(6 * (luck - 0.5)) if outcome == "resolved" else 1 + int(6 * (luck - 0.5))


def _proposal(
    world: World, i: int, created: int, domain: Domain, session: str, flow: str | None, luck: list[float]
) -> str:
    """A proposal for a flow that a session gave rise to; most wait for a review."""
    reviewed = created + DAY
    status = "approved" if luck[0] < 0.2 else "rejected" if luck[0] < 0.3 else "pending"
    if reviewed > world.end:
        status = "pending"
    seen = status != "pending"
    option = {"option_id": "a", "text": "It works", "next": "end"}
    return _line(
        "flow_proposal", proposal_id=f"proposal-{world.tag}-{i:06d}", kind="enhancement" if flow else "new_flow",
        status=status, problem_domain=domain.name, source_session_id=session, created_at=_time(created),
        reviewed_at=_time(reviewed) if seen else None, reviewed_by="user-01" if seen else None,
        title=f"{'Improve' if flow else 'Add'} the way through {domain.name.replace('_', ' ')}", target_flow_id=flow,
        supporting_sessions=1 + int(9 * luck[1]),
        steps=[{"step_id": "step-0", "text": "Ask what was tried", "options": [option]}],
    )  # fmt: skip
