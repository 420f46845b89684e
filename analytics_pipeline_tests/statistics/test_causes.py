"""Cells in, causes out; and the split that adds up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_pipeline.statistics.causes import EVEN_SCORE, Cell, Spending, causes, split


def cell(previous: float, current: float, **dims: str) -> Cell:
    """A cell whose every unit is worth one run."""
    return Cell(dims, previous, current, previous, current)


WHOLE = cell(400, 500)


def test_the_cell_that_moved_comes_first() -> None:
    found = causes(WHOLE, [cell(100, 200, model="a"), cell(50, 90, model="a", name="x"), cell(300, 300, model="b")])
    assert [cause.cell.dims for cause in found] == [{"model": "a"}, {"model": "a", "name": "x"}]
    first = found[0]
    assert (first.explained, first.r_in, first.r_out) == (1.0, 2.0, 1.0)
    assert 0.5 < first.score < 1


def test_a_fall_is_explained_as_a_rise() -> None:
    found = causes(cell(500, 400), [cell(200, 100, model="a"), cell(300, 300, model="b")])
    assert [(cause.cell.dims, cause.r_in) for cause in found] == [({"model": "a"}, 0.5)]


def test_new_and_gone_cells() -> None:
    new = causes(cell(300, 400), [cell(0, 100, model="new")])[0]
    assert (new.r_in, new.r_out) == (None, 1.0)
    gone = causes(cell(400, 300), [cell(100, 0, model="gone")])[0]
    assert gone.r_in == 0.0


def test_where_all_moved_alike_the_whole_is_the_cause() -> None:
    for cells in ([], [cell(400, 500, model="only")], [cell(200, 250, model="a"), cell(200, 250, model="b")]):
        (only,) = causes(WHOLE, cells)
        assert (only.cell, only.score, only.explained, only.r_in, only.r_out) == (WHOLE, EVEN_SCORE, 1.0, 1.25, None)
    (only,) = causes(cell(0, 5), [cell(0, 5, model="a")])
    assert only.r_in is None


def test_a_cell_that_moved_hardly_more_comes_after_the_whole() -> None:
    first, second = causes(WHOLE, [cell(200, 260, model="a"), cell(200, 240, model="b")])
    assert (first.cell, first.score) == (WHOLE, EVEN_SCORE)
    assert second.cell.dims == {"model": "a"}
    assert 0 < second.score < EVEN_SCORE


def test_two_names_for_the_same_are_one_cause() -> None:
    found = causes(WHOLE, [cell(100, 200, pipeline_id="p"), cell(100, 200, project="q")])
    assert [cause.cell.dims for cause in found] == [{"pipeline_id": "p"}]


@pytest.mark.parametrize("whole", [cell(5, 5), cell(0, 0), cell(5, math.nan), cell(5, math.inf)])
def test_no_change_no_cause(whole: Cell) -> None:
    assert causes(whole, [cell(1, 2, model="a")]) == []


def test_small_cells_explain_nothing() -> None:
    assert causes(WHOLE, [cell(1, 5, model="a")])[0].cell is WHOLE


amounts = st.floats(1e-6, 1e9)


@given(amounts, amounts, amounts, amounts, amounts, amounts)
def test_the_split_adds_up(n0: float, n1: float, t0: float, t1: float, c0: float, c1: float) -> None:
    effects = split(Spending(n0, t0, c0), Spending(n1, t1, c1))
    assert effects.keys() == {"volume", "size", "price"}
    rounding = 1e-14 * sum(abs(effect) for effect in effects.values())  # large effects may cancel out
    assert sum(effects.values()) == pytest.approx(c1 - c0, rel=1e-9, abs=rounding + 1e-9)


def test_each_effect_is_its_own() -> None:
    quiet = Spending(100, 1e6, 10.0)
    assert split(quiet, Spending(200, 2e6, 20.0)) == pytest.approx({"volume": 10, "size": 0, "price": 0})
    assert split(quiet, Spending(100, 2e6, 20.0)) == pytest.approx({"volume": 0, "size": 10, "price": 0})
    assert split(quiet, Spending(100, 1e6, 20.0)) == pytest.approx({"volume": 0, "size": 0, "price": 10})
    assert split(quiet, quiet) == pytest.approx({"volume": 0, "size": 0, "price": 0})


def test_the_split_without_tokens_or_cost() -> None:
    assert split(Spending(10, None, 1.0), Spending(20, None, 2.0)) == pytest.approx(
        {"volume": 1, "size": 0, "price": 0}
    )
    assert split(Spending(10, 0, 1.0), Spending(10, 50, 3.0)) == pytest.approx({"volume": 0, "size": 0, "price": 2})
    assert split(Spending(0, 0, 0.0), Spending(10, 50, 3.0)) == {"new": 3.0}
    assert split(Spending(10, 50, 3.0), Spending(0, 0, 0.0)) == {"gone": -3.0}
    assert split(Spending(0, 0, 0.0), Spending(0, 0, 0.0)) == {"new": 0.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_amount_explains_nothing(bad: float) -> None:
    assert causes(cell(bad, 20), [cell(5, 15, model="a")]) == causes(cell(10, bad), [cell(5, 15, model="a")]) == []
    for broken in (cell(bad, 15, model="a"), cell(5, bad, model="a")):
        assert [cause.cell.dims for cause in causes(cell(10, 20), [broken])] == [{}]


@pytest.mark.parametrize("whole", [cell(0, 5), cell(5, 0), cell(1, 2)])
def test_a_lone_cell_is_the_whole(whole: Cell) -> None:
    for cells in ([], [cell(whole.previous, whole.current, pipeline_id="p")], [cell(0, 0, model="idle")]):
        (found,) = causes(whole, cells)
        assert (found.cell, found.score, found.r_out) == (whole, EVEN_SCORE, None)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.0), (-1.0, 2.0), (0.0, 2.0), (2.0, 0.0)])
def test_what_was_or_is_free_has_one_effect(before: float, after: float) -> None:
    effects = split(Spending(1, 10, before), Spending(3, 30, after))
    assert list(effects.values()) == [after - before]
