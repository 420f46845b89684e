"""The sentences: what a finding says to a person, and how numbers are written.

Belongs here: titles, descriptions, recommendations, the writing of money, durations, rates and counts. Does not belong
here: when a finding is one (rules.py) and how a report is laid out (serving/report.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics_pipeline.statistics.causes import SURE_SCORE

UNKNOWN = "unknown"

_LEAST_USD = 5e-10
"""Amounts below it are nothing: money is kept in billionths of a dollar."""

_SIZES = ("tiny", "small", "medium", "large", "huge")


def words(insight: Mapping[str, Any]) -> dict[str, Any]:
    """`title`, `description` (one or two sentences) and `recommendations` (the first step first) of a finding."""
    return _WORDS[insight["type"]](insight)


def usd(amount: float | None) -> str:
    """`$1,234.50`; below a dollar with two digits that mean something; `unknown` for None."""
    if amount is None:
        return UNKNOWN
    if abs(amount) < _LEAST_USD:
        return "$0.00"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 0.995:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.2f}" if size >= 0.0995 else f"{sign}${_two_digits(size)}"


def duration(milliseconds: float | None) -> str:
    """`850 ms`, `12.4 s`, `3.5 min` or `2.1 h`; `unknown` for None."""
    if milliseconds is None:
        return UNKNOWN
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= size:
            return f"{milliseconds / size:.1f} {unit}"
    return f"{milliseconds:.0f} ms"


def percent(value: float | None) -> str:
    """`48%` from 48.2; one decimal below ten; `unknown` for None."""
    if value is None:
        return UNKNOWN
    return f"{value:.0f}%" if abs(value) >= 9.95 else f"{value:.1f}%"


def count(number: int, noun: str) -> str:
    """`1 run`, `1,204 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def known_cost(cost: float | None, unpriced_calls: int, calls: int, *, aside: str = "") -> str:
    """`$12.30 known, 4 of 310 calls unpriced`: a total of money, always with what it leaves out.

    Args:
        cost: Sum of the known costs, USD.
        unpriced_calls: Calls that are not in it.
        calls: Calls whose cost ought to be known: those of models.
        aside: What is to be said of the sum itself, behind it.
    """
    sum_ = f"{usd(cost)} known{aside}" if cost is not None else "cost unknown" if calls else f"{usd(0)} known"
    if unpriced_calls:
        return f"{sum_}, {unpriced_calls:,} of {count(calls, 'call')} unpriced"
    return f"{sum_}, every call priced" if calls else f"{sum_}, no model calls"


def signed_usd(amount: float | None) -> str:
    """`+$1.20`, `-$0.40`; nothing where it is unknown."""
    return "" if amount is None else f"{'+' if amount > 0 else ''}{usd(amount)}"


def coverage(unpriced_calls: int) -> str:
    """What a sum of money leaves out, as a sentence; empty where it leaves nothing out."""
    if not unpriced_calls:
        return ""
    return f"{count(unpriced_calls, 'call')} without a known price {'is' if unpriced_calls == 1 else 'are'} not in it."


def failure_patterns(by_error_type: Mapping[str, int], by_pipeline: Mapping[str, int]) -> list[str]:
    """What more than half of the failures have in common, a sentence each; nothing is said of an unknown cause."""
    said = []
    if (error := _majority(by_error_type)) is not None:
        said.append(f"Most failures ({by_error_type[error]:,}) are {error}.")
    if (pipeline := _majority(by_pipeline)) is not None:
        said.append(f"Most failures ({by_pipeline[pipeline]:,}) are of pipeline {pipeline}.")
    return said


def _majority(counts: Mapping[str, int]) -> str | None:
    top = max(counts, key=counts.__getitem__, default=UNKNOWN)
    return top if top != UNKNOWN and 2 * counts[top] > sum(counts.values()) else None


def _cost_spike(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    rise = "" if data["increase_percent"] is None else f" {percent(data['increase_percent'])}"
    return {
        "title": f"Cost {_of(insight)}up{rise or ' from nothing'} in {days} days",
        "description": _sentences(
            f"{_subject(insight)} spent {usd(data['current_cost'])}, after {usd(data['previous_cost'])} in the "
            f"{days} days before, with {count(data['current_runs'], 'run')} after {data['previous_runs']:,}.",
            _cause(insight),
            coverage(data["unpriced_calls"]),
        ),
        "recommendations": [
            _first_cost_step(data),
            "Look for runs that loop or retry without end: the dearest sessions come first.",
            "Send simple work to a smaller model where one is good enough.",
        ],
    }


def _first_cost_step(data: Mapping[str, Any]) -> str:
    if not data["previous_runs"]:
        return "See that it is meant to run, and what it may cost: there was none of it in the period before."
    if data["change_percent"] is None:
        return "Find out what began to cost: the period before had runs, and spent nothing."
    if data["current_runs"] >= (1 + data["change_percent"] / 200) * data["previous_runs"]:
        return "Find out who starts more runs than before: their number rose along with the cost."
    return "Compare a run's tokens and model with those of the period before: each run costs more."


def _regression(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    return {
        "title": f"A run {_of(insight)}costs {percent(data['adjusted_change_percent'])} more in {days} days",
        "description": _sentences(
            f"Runs {_of(insight)}of the same kind and input size cost "
            f"{percent(data['adjusted_change_percent'])} more than in the {days} days before{_since(data)}; the mean "
            f"run cost {usd(data['current_cost_per_run'])}, after {usd(data['previous_cost_per_run'])}.",
            _cause(insight),
            coverage(data["unpriced_calls"]),
        ),
        "recommendations": [
            "Compare with what changed in the pipeline, its prompts or its models since then.",
            "Look at the tokens of a run: longer prompts and repeated calls cost without being seen.",
        ],
    }


def _performance_degradation(insight: Mapping[str, Any]) -> dict[str, Any]:
    return _performance(
        insight,
        "slower",
        [
            "Look at the slowest stages first: waiting for an API or its rate limit is the usual cause.",
            "Compare with what changed in the pipeline, its prompts or its models since then.",
            "Keep the results of steps that are repeated with the same input.",
        ],
    )


def _performance_improvement(insight: Mapping[str, Any]) -> dict[str, Any]:
    return _performance(insight, "faster", ["Note what changed, and see whether other pipelines can have it too."])


def _performance(insight: Mapping[str, Any], word: str, recommendations: list[str]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    return {
        "title": f"Runs {_of(insight)}{percent(abs(data['adjusted_change_percent']))} {word} in {days} days",
        "description": _sentences(
            f"The mean run {_of(insight)}took {duration(data['current_avg_ms'])}, after "
            f"{duration(data['previous_avg_ms'])} in the {days} days before{_since(data)}.",
            _raw_and_adjusted(data),
            _cause(insight),
        ),
        "recommendations": recommendations,
    }


def _raw_and_adjusted(data: Mapping[str, Any]) -> str:
    """That the plain means say something else, where they do: by more than 5 points."""
    raw, adjusted = data["change_percent"], data["adjusted_change_percent"]
    if abs(raw - adjusted) <= 5:
        return ""
    return (
        f"By the plain means, which other work and a few long runs move too, that is {_signed_percent(raw)}; among "
        f"runs of the same kind and input size the typical one takes {percent(abs(adjusted))} "
        f"{'more' if adjusted > 0 else 'less'}."
    )


def _failure_pattern(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    error = _top_error(data)
    return {
        "title": f"{percent(100 * data['failure_rate'])} of runs {_of(insight)}failed in {days} days",
        "description": _sentences(_failed(insight), _most_frequent(data), _cause(insight)),
        "recommendations": [
            _first_failure_step(error),
            "Compare with what changed in the pipeline or its configuration before the failures began.",
            "Check credentials, quotas and rate limits of the services it calls.",
        ],
    }


def _failed(insight: Mapping[str, Any]) -> str:
    data, before = insight["data"], insight["data"]["previous"]
    earlier = "" if before is None else f", after {percent(100 * before)} in the {data['period_days']} days before"
    return f"{data['total_failures']:,} of {count(data['total_runs'], 'finished run')} {_of(insight)}failed{earlier}."


def _most_frequent(data: Mapping[str, Any]) -> str:
    error = _top_error(data)
    return "" if error == UNKNOWN else f"The most frequent error is {error} ({data['by_error_type'][error]:,})."


def _top_error(data: Mapping[str, Any]) -> str:
    return next(iter(data["by_error_type"]), UNKNOWN)


def _first_failure_step(error_type: str) -> str:
    if error_type == UNKNOWN:
        return "Read the messages of the failed runs; log an error_type, so that they can be counted by cause."
    return f"Start with the runs that ended in {error_type}."


def _reliability(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    before, after = (percent(100 * data[name]) for name in ("previous", "current"))
    if data["metric"] == "qa_pass_rate":
        return {
            "title": f"QA passes {after} of runs {_of(insight)}, after {before}".replace(" ,", ","),
            "description": (
                f"Of {count(data['checked_runs'], 'checked run')} {_of(insight)}in {days} days {after} passed, after "
                f"{before} in the {days} days before, while no more runs failed."
            ),
            "recommendations": [
                "Read the checks that failed: a change of prompt or model shows there first.",
                "Compare with what changed in the pipeline since then.",
            ],
        }
    return {
        "title": f"Failures {_of(insight)}up from {before} to {after} in {days} days",
        "description": _sentences(_failed(insight), _most_frequent(data), _cause(insight)),
        "recommendations": [
            _first_failure_step(_top_error(data)),
            "Compare with what changed in the pipeline or its configuration before the failures began.",
        ],
    }


def _tool_degradation(insight: Mapping[str, Any]) -> dict[str, Any]:
    data = insight["data"]
    error = "" if data["top_error_type"] in (None, UNKNOWN) else f"Its most frequent error is {data['top_error_type']}."
    return {
        "title": f"Tool {data['tool_name']} fails of late",
        "description": _sentences(
            f"Of late {percent(100 * data['success_rate_ewma'])} of its calls succeeded, against "
            f"{percent(100 * data['success_rate'])} of all {data['total_executions']:,} in 30 days.",
            error,
        ),
        "recommendations": [
            f"Look at the latest failed calls of {data['tool_name']}, and at the service behind it.",
            "Let runs do without it, or use another tool, until it is well again.",
        ],
    }


def _budget_threshold(insight: Mapping[str, Any]) -> dict[str, Any]:
    data = insight["data"]
    whose = f"of project {data['scope']['project']} " if "project" in data["scope"] else ""
    is_spent = data["spent"] >= data["budget"]
    share = percent(data["spent_percent"] if is_spent else data["projected_percent"])
    gone = f" It is used up on {data['exhausted_on']}." if data["exhausted_on"] and not is_spent else ""
    return {
        "title": f"Budget {whose}{share} {'spent' if is_spent else 'used by the end of the month'}",
        "description": _sentences(
            f"{usd(data['spent'])} of {usd(data['budget'])} are spent; {usd(data['projected'])} are expected by the "
            f"end of the month.{gone}",
            coverage(data["unpriced_calls"]),
        ),
        "recommendations": [
            "See which pipelines and models the money goes to.",
            "Raise the budget, or put off what can wait until next month.",
        ],
    }


def _cost_optimization(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    share = percent(100 * data["share"])
    cost = "known cost" if data["unpriced_calls"] else "cost"
    if "wasted_cost" in data:
        return {
            "title": f"{share} of the {cost} went into runs that failed or were cancelled",
            "description": _sentences(
                f"In {days} days {usd(data['failed_cost'])} went into failed and {usd(data['cancelled_cost'])} into "
                f"cancelled runs, of {usd(data['total_cost'])}.",
                coverage(data["unpriced_calls"]),
            ),
            "recommendations": [
                "Let runs fail before their dear steps: check inputs and services first.",
                "See which errors are behind the dearest failed runs.",
            ],
        }
    return {
        "title": f"{data['model']} takes {share} of the {cost}",
        "description": _sentences(
            f"{data['model']} cost {usd(data['model_cost'])} of {usd(data['total_cost'])} in {days} days: what is "
            "saved there counts.",
            coverage(data["unpriced_calls"]),
        ),
        "recommendations": [
            "Try a smaller model on the simple part of its work.",
            "See whether its prompts can be shorter, or cached.",
        ],
    }


def _usage_pattern(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    hours = ", ".join(f"{hour}:00" for hour in sorted(data["peak_hours"]))
    pipelines, models = (
        ", ".join(f"{entry['name']} ({percent(100 * entry['share'])})" for entry in data[name])
        for name in ("busiest_pipelines", "preferred_models")
    )
    return {
        "title": f"Busiest hours: {hours}",
        "description": _sentences(
            f"{percent(100 * data['peak_share'])} of {count(data['current'], 'run')} in {days} days started in these "
            f"hours. Busiest pipelines: {pipelines}.",
            f"Models by calls: {models}." if models else "",
        ),
        "recommendations": ["Move what can wait out of these hours, where rate limits or workers are short."],
    }


def _cause(insight: Mapping[str, Any]) -> str:
    """What the change comes from, in a sentence; nothing where that may be chance or went the other way."""
    explanation = insight.get("explanation")
    if not explanation:
        return ""
    first = explanation["causes"][0]
    before, after = (first.get(f"{name}_usd", first.get(name)) for name in ("previous", "current"))
    if (after > before) is (insight["type"] == "performance_improvement"):
        return ""
    named = {name: value for name, value in first["dims"].items() if insight["data"]["scope"].get(name) != value}
    effect = _effect(first.get("effects", {}))
    if not named:
        is_worth_it = insight["data"]["metric"] == "cost" and len(first["effects"]) > 1
        return f"{effect[0].upper()}{effect[1:]}." if is_worth_it else ""
    if first["score"] < SURE_SCORE:
        return ""
    where = " with ".join(f"{_NAMES_OF_DIMENSIONS[name]} {value}" for name, value in named.items())
    share = "all" if first["explained"] >= 0.995 else percent(100 * first["explained"])
    return _sentences(f"It comes from {where} ({share} of the change).", f"There {effect}." if effect else "")


def _effect(effects: Mapping[str, float]) -> str:
    """The largest of them; calls without tokens have no price of a token, and exactly no effect of size."""
    name = max(effects, key=lambda name: abs(effects[name]), default=None)
    if name is None:
        return ""
    has_tokens = name != "price" or effects["size"] != 0
    said = _NAMES_OF_EFFECTS[name] if has_tokens else "the cost of a run counts most"
    return f"{said} ({signed_usd(effects[name])})"


def _model_recommendation(insight: Mapping[str, Any]) -> dict[str, Any]:
    data = insight["data"]
    sizes = ", ".join(size or "unsized" for size in sorted(data["input_categories"], key=(*_SIZES, None).index))
    return {
        "title": f"{data['candidate_model']} would do {sizes} inputs {_of(insight)}for "
        f"{usd(data['potential_savings'])} less a month",
        "description": (
            f"{data['current_model']} cost {usd(data['current_cost'])} for {sizes} inputs {_of(insight)}in the last "
            f"{data['evidence_days']} days. {data['candidate_model']}, which did some of this work too, takes about "
            f"{percent(100 - data['savings_percent'])} of that, and most likely loses no more than "
            f"{100 * max(data['success_lost_at_most'], 0):.1f} points of success."
        ),
        "recommendations": [
            f"Route {sizes} inputs to {data['candidate_model']}.",
            "Watch the success rate of these runs for a week, and go back if it falls.",
        ],
    }


_NAMES_OF_DIMENSIONS = {
    "pipeline_id": "pipeline",
    "model": "model",
    "name": "step",
    "agent_id": "agent",
    "error_type": "error",
    "provider": "provider",
    "project": "project",
}

_NAMES_OF_EFFECTS = {
    "volume": "the number of runs counts most",
    "size": "the tokens of a run count most",
    "price": "the price of a token counts most",
    "new": "all of it is new",
    "gone": "all of it is gone",
}


def _anomaly(insight: Mapping[str, Any]) -> dict[str, Any]:
    return {"period": _long_tail, "hour": _hours_astray, "session": _far_off}[insight["data"]["grain"]](insight)


def _long_tail(insight: Mapping[str, Any]) -> dict[str, Any]:
    data, days = insight["data"], insight["data"]["period_days"]
    return {
        "title": f"Some runs {_of(insight)}take {data['p95_ms'] / data['p50_ms']:.0f} times as long as most",
        "description": (
            f"Half of {count(data['runs'], 'run')} {_of(insight)}in {days} days took at most "
            f"{duration(data['p50_ms'])}, but one in twenty {duration(data['p95_ms'])} or more."
        ),
        "recommendations": [
            "Open the slowest runs and look for retries, loops and waits.",
            "Give steps that wait for others a time limit.",
        ],
    }


_ASTRAY = {
    "cost": "Cost",
    "tokens": "Tokens",
    "runs": "The number of runs",
    "duration": "The duration of runs",
    "failure_rate": "The failure rate",
}


def _hours_astray(insight: Mapping[str, Any]) -> dict[str, Any]:
    data = insight["data"]
    metric, hours = data["metric"], data["hours"]
    is_more = metric not in ("runs", "tokens") or data["current"] >= data["previous"]  # of the others only more is told
    came, expected = (_amount(metric, data[name]) for name in ("current", "previous"))
    verb = "were" if metric in ("runs", "tokens") and round(data["previous"]) != 1 else "was"
    start, end = insight["period_start"], insight["period_end"]
    span = f"{start:%Y-%m-%d %H:%M} to {end:{'%H:%M' if start.date() == end.date() else '%Y-%m-%d %H:%M'}} UTC"
    return {
        "title": f"{_ASTRAY[metric]} {_of_scope(data['scope'])}unusually {'high' if is_more else 'low'} for "
        f"{count(hours, 'hour')}",
        "description": _sentences(
            f"{span}: {came}{' on average' * (metric == 'duration')} where {expected} {verb} to be expected "
            f"({data['robust_z']:.1f} standard deviations off).",
            _cause(insight),
        ),
        "recommendations": [
            "Look at what began in its first hour: a release, a new prompt or model, a service that was down.",
            "Compare a few of its runs with those of the day before.",
        ],
    }


def _far_off(insight: Mapping[str, Any]) -> dict[str, Any]:
    data = insight["data"]
    metric, is_more = data["metric"], data["current"] >= data["previous"]
    amounts = [_amount(metric, data[name]) for name in ("current", "previous")]
    verb, more, less = {"cost": ("cost", "dear", "cheap"), "duration": ("took", "slow", "quick")}[metric]
    return {
        "title": f"Session {data['session_id']} {_of(insight)}is unusually {more if is_more else less}",
        "description": f"It {verb} {amounts[0]} where {amounts[1]} was to be expected for its pipeline and input size "
        f"({abs(data['robust_z']):.1f} standard deviations off).",
        "recommendations": [
            "Open the session and look for loops, retries and an input that grew."
            if is_more
            else "Check that the session did its whole work: one that is cut short is cheap and quick."
        ],
    }


def _amount(metric: str, value: float) -> str:
    if metric == "cost":
        return usd(value)
    if metric == "duration":
        return duration(value)
    return percent(100 * value) if metric == "failure_rate" else count(round(value), metric[:-1])


def _of_scope(scope: Mapping[str, str]) -> str:
    name = scope.get("pipeline_id", scope.get("model"))
    return f"of {name} " if name is not None else ""


_WORDS = {
    "anomaly": _anomaly,
    "cost_spike": _cost_spike,
    "cost_optimization": _cost_optimization,
    "model_recommendation": _model_recommendation,
    "regression": _regression,
    "performance_degradation": _performance_degradation,
    "performance_improvement": _performance_improvement,
    "failure_pattern": _failure_pattern,
    "reliability": _reliability,
    "tool_degradation": _tool_degradation,
    "budget_threshold": _budget_threshold,
    "usage_pattern": _usage_pattern,
}


def _since(data: Mapping[str, Any]) -> str:
    return f" (since {data['since']})" if data["since"] else ""


def _signed_percent(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{percent(abs(value))}"


def _of(insight: Mapping[str, Any]) -> str:
    return f"of {insight['pipeline_id']} " if insight["pipeline_id"] is not None else ""


def _subject(insight: Mapping[str, Any]) -> str:
    return f"Pipeline {insight['pipeline_id']}" if insight["pipeline_id"] is not None else "All pipelines together"


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _two_digits(size: float) -> str:
    text = f"{size:.2g}"
    return f"{float(text):.12f}".rstrip("0") if "e" in text else text
