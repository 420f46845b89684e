"""`python -m benchmarks.accuracy` (`make bench-accuracy`): how right the statistics are, beside naive rules and peers.

A part is a module of this package with `figures()`; `--only NAME` measures one. A run of all parts writes its figures
to benchmarks/README.md.

Belongs here: running and showing. Does not belong here: what is measured (the parts).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from itertools import groupby

from benchmarks.accuracy import Figure
from benchmarks.accuracy.series import REAL
from benchmarks.speed import circumstances, tell, write_readme

PARTS = (
    *("baselines", "incidents", "counts", "tools", "changes", "causes", "forecasts"),
    *("nab", "capacity", "savings", "patterns"),
)


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, a part after the other."""
    lines = ["| measured | value | target | | naive rule | peer | |", "|---|--:|--:|---|--:|--:|---|"]
    for part, found in groupby(figures, key=lambda figure: figure.part):
        lines.append(f"| **{part}** | | | | | | |")
        lines += [_row(figure) for figure in found]
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    sign = "≤" if figure.better == "lower" else "≥"
    naive = "" if figure.naive is None else f"{figure.naive:.3g}"
    peer = "" if figure.peer is None else f"{figure.peer[0]} {figure.peer[1]:.3g}"
    target = f"{sign} {figure.target:.3g}"
    verdict = "met" if is_met(figure) else "**missed**"
    return f"| {figure.what} | {figure.value:.3g} | {target} | {verdict} | {naive} | {peer} | {figure.detail} |"


def is_met(figure: Figure) -> bool:
    """Whether a figure is on the right side of its target."""
    return figure.value <= figure.target if figure.better == "lower" else figure.value >= figure.target


def measured(part: str) -> list[Figure]:
    """The figures of a part."""
    tell(f"measuring {part}")
    begun = time.perf_counter()
    found: list[Figure] = import_module(f"benchmarks.accuracy.{part}").figures()
    tell(f"{part}: {len(found)} figures in {time.perf_counter() - begun:.0f} s")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was measured in full."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, metavar="NAME", help=f"measure one part: {', '.join(PARTS)}")
    options = parser.parse_args(arguments)
    if not REAL.exists():
        tell(f"{REAL} is not there: figures of real series are left out")
    figures = [figure for part in ([options.only] if options.only else PARTS) for figure in measured(part)]
    text = f"{table(figures)}\n\n{circumstances(0.0)}"
    print(text, flush=True)
    if not options.only:
        write_readme("accuracy", text)


if __name__ == "__main__":
    main()
