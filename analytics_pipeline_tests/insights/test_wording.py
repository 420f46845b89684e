"""How numbers are written."""

from __future__ import annotations

import pytest

from analytics_pipeline.insights import wording


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0.0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.999, "$1.00"),
        (0.42, "$0.42"),
        (0.0042, "$0.0042"),
        (0.00000042, "$0.00000042"),
        (-3.2, "-$3.20"),
    ],
)
def test_usd(amount: float | None, text: str) -> None:
    assert wording.usd(amount) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "unknown"), (0.4, "0 ms"), (850, "850 ms"), (12_400, "12.4 s"), (210_000, "3.5 min"), (7_560_000, "2.1 h")],
)
def test_duration(milliseconds: float | None, text: str) -> None:
    assert wording.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (48.2, "48%"), (9.96, "10%"), (3.14, "3.1%"), (0, "0.0%")]
)
def test_percent(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


def test_count_and_coverage() -> None:
    assert wording.count(1, "run") == "1 run"
    assert wording.count(1204, "run") == "1,204 runs"
    assert wording.coverage(0) == ""
    assert wording.coverage(1) == "1 call without a known price is not in it."
