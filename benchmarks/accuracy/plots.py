"""The pictures of docs/statistics.md, in docs/images, for a person to look at.

`forecasts.svg`: twelve real series with their forecasts, each from the last origin of its file, so that none is picked
for its looks. `incidents.svg`: a real series by hour, with what was expected of it and the hours that stray.
`sessions.svg`: the sessions of a pipeline of a simulated world, with what was expected and what was flagged.
`confidence.svg`: how often forecasts came true, by the confidence that they stated. `tools.svg`: the words for a tool
by its executions and failures. To draw them anew: `python -m benchmarks.accuracy.plots`.

Belongs here: drawing. Does not belong here: any figure that is judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import duckdb
import numpy as np
import pandas as pd

from analytics_pipeline.settings import Thresholds
from analytics_pipeline.statistics.baselines import robust_z
from analytics_pipeline.statistics.confidence import tool_confidences, wilson_lower_bound
from analytics_pipeline.statistics.forecast import Forecast, forecasts
from analytics_pipeline.statistics.incidents import among, weekly_scores
from analytics_pipeline.transforms.incidents import RUNS_Z, runs_astray
from benchmarks.accuracy import series, worlds
from benchmarks.accuracy.forecasts import ours
from benchmarks.accuracy.scores import landed_near
from benchmarks.accuracy.series import Array, Window

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLUMNS = 3
HEAD = 40
"""Height of the legend above the panels."""
WIDTH, HEIGHT = 340, 220
SIDE, END, TITLE, FOOT = 46, 12, 36, 22
"""Of a panel: what the labels of the amounts, the right edge, the title and the labels of the steps take."""
SHOWN = {7: 56, 24: 168}
"""Steps of the past that are drawn, by season: eight weeks of days, one of hours."""
AHEAD = {7: series.AHEAD, 24: 48}
_TICKS = {
    7: {-56: "8 weeks before", -28: "4 weeks", 0: "now", 29: "30 days"},
    24: {-168: "7 days before", -96: "4 days", 0: "now", 47: "2 days"},
}
"""Labels of steps, counted from the first one ahead, by season."""
_DAYS = {
    "bike_sharing": "rentals of a bike-sharing fleet",
    "wp_log": "views of a web page",
    "nyc_taxi": "taxi passengers in New York",
}
_NAB_HOURS = {
    "realAdExchange/exchange-2_cpc_results.csv": "cost per click, ad exchange 2",
    "realAdExchange/exchange-3_cpm_results.csv": "cost per thousand views, ad exchange 3",
    "realAdExchange/exchange-4_cpc_results.csv": "cost per click, ad exchange 4",
    "realAWSCloudwatch/elb_request_count_8c0756.csv": "requests of a load balancer",
    "realAWSCloudwatch/ec2_network_in_257a54.csv": "bytes that a server receives",
    "realAWSCloudwatch/ec2_cpu_utilization_53ea38.csv": "CPU of a server, %",
    "realAWSCloudwatch/rds_cpu_utilization_cc0c53.csv": "CPU of a database, %",
    "realKnownCause/cpu_utilization_asg_misconfiguration.csv": "CPU of a group of servers, %",
    "realKnownCause/ec2_request_latency_system_failure.csv": "latency of a server's answers",
}


@dataclass(frozen=True)
class Panel:
    """One series to draw."""

    title: str
    window: Window
    season: int


def panels() -> Iterator[Panel]:
    """The twelve series; fewer where files are absent."""
    for name, values in series.daily().items():
        yield Panel(f"{_DAYS[name]}, by day", Window(values[-114:-30], values[-30:]), 7)
    for path, title in _NAB_HOURS.items():
        file = _nab(path)
        if file.exists():
            hours = _hours(file).to_numpy(float)
            yield Panel(f"{title}, by hour", Window(hours[:-48], hours[-48:]), 24)


def _nab(path: str) -> Path:
    return series.REAL / "nab" / "data" / path


def _hours(file: Path) -> pd.Series:
    """The mean of each hour of a file of NAB; those without a value lie on the line between their neighbours."""
    rows = pd.read_csv(file, parse_dates=["timestamp"]).set_index("timestamp")["value"]
    return rows.resample("h").mean().interpolate()


def picture(drawn: Sequence[Panel]) -> str:
    """The panels in a grid below a legend, as SVG."""
    rows = -(-len(drawn) // COLUMNS)
    size = (COLUMNS * WIDTH, HEAD + rows * HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif">',
        "<title>Forecasts of twelve real series</title>",
        f'<rect width="{size[0]}" height="{size[1]}" fill="#fff"/>',
        *_forecast_legend(),
    ]
    for i, panel in enumerate(drawn):
        x, y = i % COLUMNS * WIDTH, HEAD + i // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{"".join(_panel(panel))}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _forecast_legend() -> Iterator[str]:
    marks = (
        ("known", f'height="2" y="16" fill="{GREY}"'),
        ("what came", 'height="2" y="16" fill="#111"'),
        ("forecast", f'height="2" y="16" fill="{BLUE}"'),
        ("80 % interval", f'height="12" y="11" fill="{BLUE}" fill-opacity="0.4"'),
        ("95 % interval", f'height="12" y="11" fill="{BLUE}" fill-opacity="0.15"'),
    )
    for place, (name, look) in enumerate(marks):
        x = SIDE + 120 * place
        yield f'<rect x="{x}" width="22" {look}/>'
        yield _text(x + 28, 21, name, size=12)


def _panel(panel: Panel) -> Iterator[str]:
    horizon = AHEAD[panel.season]
    (made,) = forecasts([panel.window.known], horizon, season=panel.season, totals=(horizon,))
    past = panel.window.known[-SHOWN[panel.season] :]
    bands = [(np.maximum(made.days - half, 0.0), made.days + half) for half in made.halves]
    usual = float(np.quantile(past, 0.98))  # a lone spike would flatten all the rest: it is cut off at the top
    top = 1.05 * max(usual, panel.window.comes.max(), bands[0][1].max())
    least = 0.95 * min(past.min(), panel.window.comes.min(), bands[0][0].min())
    foot = least if least > top / 2 else 0.0

    def at(step: float, amount: float) -> tuple[float, float]:
        x = SIDE + (step + past.size) / (past.size + horizon - 1) * (WIDTH - SIDE - END)
        return x, HEIGHT - FOOT - min(max((amount - foot) / (top - foot), 0.0), 1.0) * (HEIGHT - FOOT - TITLE)

    def points(values: Array, first: int) -> str:
        return " ".join("{:.1f},{:.1f}".format(*at(first + i, value)) for i, value in enumerate(values.tolist()))

    yield _text(SIDE, 15, panel.title, size=12, colour="#111")
    yield _text(SIDE, 29, _told(panel, made), size=9, colour="#666")
    for amount in _round_amounts(foot, top):
        y = at(0, amount)[1]
        yield f'<path d="M{SIDE} {y:.1f}H{WIDTH - END}" stroke="#e5e7eb"/>'
        yield _text(SIDE - 4, y + 3, _short(amount), anchor="end", size=9)
    for step, label in _TICKS[panel.season].items():
        x = at(step, foot)[0]
        yield f'<path d="M{x:.1f} {HEIGHT - FOOT}v4" stroke="#9ca3af"/>'
        anchor = "start" if step == -past.size else "end" if step == horizon - 1 else "middle"
        yield _text(x, HEIGHT - FOOT + 14, label, anchor=anchor, size=9)
    for (low, high), opacity in zip(bands[::-1], (0.15, 0.25), strict=True):
        outline = f"{points(high, 0)} {_backwards(points(low, 0))}"
        yield f'<polygon points="{outline}" fill="{BLUE}" fill-opacity="{opacity}"/>'
    yield _line(points(past, -past.size), GREY)
    yield _line(points(panel.window.comes, 0), "#111")
    yield _line(points(made.days, 0), BLUE)


def _round_amounts(low: float, top: float) -> list[float]:
    """Two to four round amounts from one to the other."""
    unit = 10.0 ** math.floor(math.log10(top - low))
    step = unit * next(part for part in (0.25, 0.5, 1, 2.5) if (top - low) / (part * unit) < 4)
    return [step * i for i in range(math.ceil(low / step), int(top / step) + 1)]


def _short(amount: float) -> str:
    """`1.5M`, `20k`, `0.05`."""
    for letter, size in (("M", 1e6), ("k", 1e3)):
        if amount >= size:
            return f"{amount / size:g}{letter}"
    return f"{amount:g}"


def _backwards(points: str) -> str:
    return " ".join(points.split()[::-1])


def _line(points: str, colour: str) -> str:
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'


def _told(panel: Panel, made: Forecast) -> str:
    """How the forecast came true, in a line."""
    known, comes = panel.window.known, panel.window.comes
    scale = float(np.mean(np.abs(known[panel.season :] - known[: -panel.season])))
    naive = np.resize(known[-panel.season :], comes.size)
    mase, naive_mase = (float(np.mean(np.abs(one - comes))) / scale for one in (made.days, naive))
    within = float(np.mean(np.abs(made.days - comes) <= made.halves[0]))
    return f"MASE {mase:.2f} (last season again: {naive_mase:.2f}); {within:.0%} within the 80 % interval"


# Pictures with one pair of axes

SIZE = (640, 400)
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 68, 44
LEGEND = 52
RED, BLUE, AMBER, GREY = "#dc2626", "#2563eb", "#d97706", "#888"
LINE_Z = Thresholds().anomaly_z
"""Robust z beyond which a session is flagged."""
_TAXI = "realKnownCause/nyc_taxi.csv"
_PASSENGERS = 100
_TURN_OF_THE_YEAR = ("2014-12-21", "2015-01-11")
_SIZES = (30, 500, 2_000, 6_000, 20_000, 130_000)
"""Characters at which an input category begins; first and last as far as the picture goes."""


@dataclass(frozen=True)
class Axes:
    """Maps amounts to points.

    Attributes:
        x: The least and the greatest amount across; their logarithms where `is_log`.
        y: The same upwards.
        is_log: Whether both scales are logarithmic.
        top: Where the axes end, from the picture's upper edge.
        bottom: Where they begin, from the same.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    is_log: bool = False
    top: int = TOP
    bottom: int = SIZE[1] - BOTTOM

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point of a pair."""
        across, up = (math.log(x), math.log(y)) if self.is_log else (x, y)
        (left, right), (low, high) = self.x, self.y
        return (
            LEFT + (across - left) / (right - left) * (SIZE[0] - LEFT - RIGHT),
            self.bottom - (up - low) / (high - low) * (self.bottom - self.top),
        )

    def points(self, pairs: Iterable[tuple[float, float]]) -> str:
        """Pairs as the points of a line."""
        return " ".join("{:.1f},{:.1f}".format(*self.at(*pair)) for pair in pairs)

    def frame(
        self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_name: str, y_name: str
    ) -> Iterator[str]:
        """Grid lines with their labels, and the names of the axes."""
        end = SIZE[0] - RIGHT
        for value, label in x_ticks.items():
            x = self.at(value, next(iter(y_ticks)))[0]
            yield f'<path d="M{x:.1f} {self.top}V{self.bottom}" stroke="#e5e7eb"/>'
            yield _text(x, self.bottom + 14, label, anchor="middle")
        for value, label in y_ticks.items():
            y = self.at(next(iter(x_ticks)), value)[1]
            yield f'<path d="M{LEFT} {y:.1f}H{end}" stroke="#e5e7eb"/>'
            yield _text(LEFT - 6, y + 3, label, anchor="end")
        yield _text((LEFT + end) / 2, self.bottom + 34, x_name, anchor="middle")
        middle = (self.top + self.bottom) / 2
        yield f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, y_name, anchor="middle")}</g>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 10, colour: str = "#444") -> str:
    look = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(words)}</text>'


def _dashed(pairs: Iterable[tuple[float, float]], axes: Axes, colour: str) -> str:
    return _line(axes.points(pairs), colour).replace("/>", ' stroke-dasharray="4 3"/>')


def _drawn(title: str, below: str, parts: Iterable[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {SIZE[1]}" font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{SIZE[0]}" height="{SIZE[1]}" fill="#fff"/>',
        _text(12, 18, title, size=13, colour="#111"),
        _text(12, 34, below, colour="#666"),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def sessions_picture(days: int = 14) -> str:
    """Cost against input size: one genus of the busiest pipeline of a world, with what its last day's baseline says."""
    drawn = worlds.world(worlds.REPORTED[0], worlds.Kind())
    with worlds.hold(drawn) as connection:
        seen = connection.execute(
            "SELECT session_id, input_category, total_cost::DOUBLE AS cost, cost_robust_z AS z FROM session_analytics "
            "WHERE pipeline_id = 'p0' AND genus_hash = 'g0' AND day > (SELECT max(day) FROM sessions) - $days "
            "ORDER BY session_id",
            {"days": days},
        ).df()
        fits = list(_fits(connection))
    numbers = seen["session_id"].str[1:].astype(int).to_numpy()
    truth = drawn.sessions.iloc[numbers].reset_index(drop=True)
    pairs = list(zip(truth["chars"], seen["cost"], strict=True))
    planted, flagged = truth["is_anomaly"].to_numpy(), (seen["z"].abs() > LINE_Z).to_numpy()
    axes = Axes((math.log(_SIZES[0]), math.log(_SIZES[-1])), (math.log(0.01), math.log(30)), is_log=True)
    parts = [
        *axes.frame(
            {100: "100", 1_000: "1,000", 10_000: "10,000", 100_000: "100,000"},
            {0.01: "$0.01", 0.1: "$0.10", 1: "$1", 10: "$10"},
            "characters of input",
            "cost of the session",
        )
    ]
    groups = (
        ("not flagged", ~planted & ~flagged, f'r="1.6" fill="{GREY}" fill-opacity="0.5"'),
        ("planted, missed", planted & ~flagged, f'r="3" fill="{AMBER}"'),
        ("flagged, not planted", ~planted & flagged, f'r="3" fill="#fff" stroke="{RED}" stroke-width="1.4"'),
        ("planted, flagged", planted & flagged, f'r="3.2" fill="{RED}"'),
    )
    x = float(LEFT)
    for name, of_group, style in groups:
        for number in np.flatnonzero(of_group):
            point = axes.at(*pairs[number])
            parts.append(f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" {style}/>')
        parts.append(f'<circle cx="{x + 4:.1f}" cy="{LEGEND - 3}" {style}/>')
        parts.append(_text(x + 12, LEGEND, f"{name} ({of_group.sum()})"))
        x += 140
    for low, high, fit in fits:
        ends = [(chars, fit.expected(chars)) for chars in (low, high)]
        parts.append(_line(axes.points(ends), BLUE))
        for reach in (math.exp(fit.reach), math.exp(-fit.reach)):
            parts.append(_dashed([(chars, cost * reach) for chars, cost in ends], axes, BLUE))
    return _drawn(
        "Expected cost by input size, and the sessions that stray from it",
        f"One kind of work of a simulated pipeline, {len(pairs):,} sessions of {days} days. Line: expected on the last "
        f"day; dashed: |robust z| = {LINE_Z} on it.",
        parts,
    )


@dataclass(frozen=True)
class Fit:
    """What a baseline says of an input category: ln(cost) at the median size, the slope, and how far z = 2.5 is."""

    location: float
    slope: float
    centre: float
    reach: float

    def expected(self, chars: float) -> float:
        """Expected cost, USD."""
        return math.exp(self.location + self.slope * (math.log(chars) - self.centre))


def _fits(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[float, float, Fit]]:
    """The last day's fit of each input category of p0, g0, with the sizes that it holds for."""
    rows = connection.execute(
        "SELECT g.input_category, g.fitted_location, g.fitted_slope, g.fitted_size_centre, g.fitted_scale, "
        "g.fitted_tail, g.fitted_count, c.fitted_count "
        "FROM cluster_baselines AS g INNER JOIN cluster_baselines AS c ON c.as_of_day = g.as_of_day "
        "AND c.level = 'cluster' AND c.pipeline_id = g.pipeline_id AND c.input_category = g.input_category "
        "WHERE g.level = 'genus' AND g.pipeline_id = 'p0' AND g.genus_hash = 'g0' "
        "AND g.as_of_day = (SELECT max(as_of_day) FROM cluster_baselines) ORDER BY g.input_category"
    ).fetchall()
    ends = dict(zip(worlds.CATEGORIES.tolist(), pairwise(_SIZES), strict=True))
    offsets = np.linspace(0, 20, 4_001)
    for category, location, slope, centre, scale, tail, genus_n, cluster_n in rows:
        freedom = min(tail, 10 + 0.37 * max(cluster_n - 1, 0))
        offset = float(np.interp(LINE_Z, robust_z(offsets, np.full(offsets.shape, freedom)), offsets))
        reach = offset * scale * math.sqrt(1 + 1.57 / (genus_n + 5))
        yield *ends[category], Fit(location, slope, centre, reach)


def incidents_picture() -> str:
    """Passengers of taxis by hour over the turn of a year: what came and was expected, and the score with its line."""
    hours = 2 * _hours(_nab(_TAXI)) / _PASSENGERS  # the file has half hours
    runs = hours.round().to_numpy(float)
    expected, scores = weekly_scores(runs)[1], _told_by(runs)
    first, last = (int(hours.index.searchsorted(pd.Timestamp(day))) for day in _TURN_OF_THE_YEAR)
    shown = range(first, last)
    told = [hour for _, hour, *_ in runs_astray(runs, 1) if hour in shown]
    above, below = (
        Axes((first, last), y, top=top, bottom=end) for y, top, end in (((0, 600), TOP, 222), ((-8, 12), 250, 356))
    )
    days = {float(hour): f"{hours.index[hour]:%b %-d}" for hour in range(first, last + 1, 72)}
    parts = [
        *above.frame(dict.fromkeys(days, ""), {y: str(y) for y in (0, 200, 400, 600)}, "", "runs in the hour"),
        *below.frame(days, {y: str(y) for y in (-8, -4, 0, 4, 8, 12)}, "2014 to 2015", "score"),
        _line(above.points((hour, expected[hour]) for hour in shown), BLUE),
        _line(above.points((hour, runs[hour]) for hour in shown), GREY),
        _line(below.points((hour, scores[hour]) for hour in shown), GREY),
        *(_dashed([(first, line), (last, line)], below, RED) for line in (-RUNS_Z, RUNS_Z)),
    ]
    for x, y in (point for hour in told for point in (above.at(hour, runs[hour]), below.at(hour, scores[hour]))):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{RED}"/>')
    for place, (name, colour) in enumerate((("came", GREY), ("expected", BLUE), ("hours told", RED))):
        parts.append(f'<circle cx="{LEFT + 5 + 110 * place}" cy="{LEGEND - 3}" r="4" fill="{colour}"/>')
        parts.append(_text(LEFT + 14 + 110 * place, LEGEND, name))
    return _drawn(
        "Hours with too many or too few runs",
        f"Taxi passengers in New York, each {_PASSENGERS} of them as if a run. Dashed: beyond it hours are told.",
        parts,
    )


def _told_by(runs: Array) -> Array:
    """The score of each hour, negative for fewer runs: of it alone or with the two before, whichever is farther off."""
    one, three = (weekly_scores(runs, hours)[0] for hours in (1, 3))
    farther = np.where(np.abs(one) >= np.abs(three), one, three)
    found: Array = np.copysign(np.maximum(among(np.abs(farther), np.full(runs.size, 2.0)), 0.0), farther)
    return found


def confidence_picture(bins: int = 5) -> str:
    """How often totals landed within 20 %, against the confidence that was stated, in bins of as many forecasts."""
    axes = Axes((0.4, 1), (0.4, 1))
    ticks = {value: f"{value:.0%}" for value in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)}
    parts = [*axes.frame(ticks, ticks, "stated confidence", "landed within 20 %")]
    parts.append(_dashed([(0.4, 0.4), (1, 1)], axes, "#9ca3af"))
    stated: dict[int, list[float]] = {7: [], 30: []}
    seen: dict[int, list[float]] = {7: [], 30: []}
    for windows in series.cost_worlds():
        made = ours(windows)
        for count in stated:
            stated[count] += (made.confidences or {})[count].tolist()
            seen[count] += landed_near(windows, made, count).tolist()
    for place, (count, colour) in enumerate(((7, BLUE), (30, AMBER))):
        order = np.argsort(stated[count], kind="stable")
        for part in np.array_split(order, bins):
            hits, said = int(np.array(seen[count])[part].sum()), float(np.array(stated[count])[part].mean())
            low = wilson_lower_bound(part.size, hits) or 0.0
            high = 1 - (wilson_lower_bound(part.size, part.size - hits) or 0.0)
            (x, y), (_, top), (_, bottom) = (axes.at(said, value) for value in (hits / part.size, high, low))
            parts.append(f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}" stroke-opacity="0.5"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(f'<circle cx="{LEFT + 5 + 130 * place}" cy="{LEGEND - 3}" r="4" fill="{colour}"/>')
        parts.append(_text(LEFT + 14 + 130 * place, LEGEND, f"totals of {count} days"))
    return _drawn(
        "Does a stated confidence come true?",
        f"{len(stated[7])} simulated pipelines; each point {len(stated[7]) // bins} forecasts, with a 95 % interval. "
        "On the dashed line both agree.",
        parts,
    )


def tools_picture(most: int = 120, most_failures: int = 30) -> str:
    """HIGH, MEDIUM and LOW by executions and failures."""
    lines = Thresholds().tool_confidence
    axes = Axes((0.5, most + 0.5), (-0.5, most_failures + 0.5))
    colours = {"HIGH": "#86efac", "MEDIUM": "#f3f4f6", "LOW": "#fca5a5"}
    parts = []
    for n in range(1, most + 1):
        failures = range(min(n, most_failures) + 1)
        levels = [found.level for found in tool_confidences([(n, n - k) for k in failures], lines.high, lines.low)]
        for level, group in groupby(failures, key=levels.__getitem__):
            rows = list(group)
            (x, top), (end, bottom) = axes.at(n - 0.5, rows[-1] + 0.5), axes.at(n + 0.5, rows[0] - 0.5)
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{end - x + 0.3:.1f}" height="{bottom - top:.1f}" '
                f'fill="{colours[level]}"/>'
            )
    parts += axes.frame(
        {n: str(n) for n in (1, 10, 20, 37, 60, 80, 100, 120)},
        {k: str(k) for k in (0, 5, 10, 15, 20, 25, 30)},
        "executions in 30 days",
        "failures among them",
    )
    for rate, above in ((lines.high, -7), (lines.low, 46)):
        end = min(most, most_failures / (1 - rate))
        parts.append(_dashed([(1, 1 - rate), (end, end * (1 - rate))], axes, "#444"))
        x, y = axes.at(end, end * (1 - rate))
        parts.append(_text(x - 4, y + above, f"{rate:.0%} succeed", anchor="end"))
    for place, (name, colour) in enumerate(colours.items()):
        x = LEFT + 90 * place
        parts.append(f'<rect x="{x}" y="{LEGEND - 9}" width="10" height="10" fill="{colour}" stroke="#9ca3af"/>')
        parts.append(_text(x + 15, LEGEND, name))
    return _drawn(
        "Confidence in a tool, by how often it was used and how often it failed",
        "The same rate is HIGH or LOW only where enough executions say so. Dashed: the two thresholds as plain rates. "
        "White: cannot be.",
        parts,
    )


def main() -> None:
    """Draw the pictures."""
    drawn = list(panels())
    pictures: dict[str, Callable[[], str]] = {
        "forecasts": lambda: picture(drawn),
        "incidents": incidents_picture,
        "sessions": sessions_picture,
        "confidence": confidence_picture,
        "tools": tools_picture,
    }
    for name, draw in pictures.items():
        if name in ("forecasts", "incidents") and not drawn:
            continue  # without the real series the pictures of them stay
        path = IMAGES / f"{name}.svg"
        path.write_text(draw(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
