"""Every cell of the matrix is refused with its named error."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tamper.bench import KINDS, NAMES, Benches
from tests.tamper.matrix import CELLS, STAGES, render, rows
from tests.unit.sign.shelf import SHELVES

from lockgate.base import errors
from lockgate.base.errors import LockgateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.tamper.cells import Cell, Position

PLACES = 6
"""Places that Hypothesis tries in a cell whose mutation may fall anywhere."""

FIXED = [one for one in CELLS if not one.anywhere]
ANYWHERE = [one for one in CELLS if one.anywhere]


REFUSED: set[str] = set()
"""Names of the cells that were refused as they should be, as far as this run came."""


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    """The templates, made once. Nothing here has to outlive a power failure, so nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield Benches(tmp_path_factory.mktemp("benches"))


def refused(cell: Cell, benches: Benches, position: Position) -> None:
    """Check that a cell ends with its error, and that a person learns what to do."""
    bench = benches.take(cell.form or "bundle")
    with pytest.raises(LockgateError) as caught:
        cell.act(bench, position)
    assert type(caught.value) is cell.error, f"{cell.name}: {caught.value!r}"
    assert caught.value.message
    assert caught.value.hint
    shutil.rmtree(bench.folder)
    REFUSED.add(cell.name)


@pytest.mark.parametrize("form", [one.form for one in SHELVES])
def test_what_nobody_touched_is_trusted(form: str, benches: Benches) -> None:
    """Every stage accepts the bench as it is: what a cell refuses, it refuses because of its mutation."""
    bench = benches.take(form)
    bench.attest()
    found = bench.verification()
    assert [one.met for one in found.results] == [True] * len(KINDS)
    bench.verify()
    bench.unpack()


@pytest.mark.parametrize("cell", FIXED, ids=lambda cell: str(cell.name))
def test_a_mutation_is_refused(cell: Cell, benches: Benches) -> None:
    """One thing changed in one way is one named refusal."""
    refused(cell, benches, lambda _: 0)


@pytest.mark.parametrize("cell", ANYWHERE, ids=lambda cell: str(cell.name))
def test_a_mutation_anywhere_is_refused(cell: Cell, benches: Benches) -> None:
    """Wherever the change falls, the answer is the same."""

    @settings(
        max_examples=PLACES, suppress_health_check=list(HealthCheck), database=None, deadline=None
    )
    @given(st.data())
    def everywhere(data: st.DataObject) -> None:
        refused(cell, benches, lambda size: data.draw(st.integers(0, size - 1)))

    everywhere()


def test_no_cell_stands_twice() -> None:
    """Each cell has a name of its own."""
    names = [one.name for one in CELLS]
    assert sorted(set(names)) == sorted(names)


def test_nothing_is_left_out() -> None:
    """Every stage, every type of evidence in every form, and every kind of refusal is in the matrix."""
    assert {one.stage for one in CELLS} == set(STAGES)
    for kind in KINDS:
        for shelf in SHELVES:
            mine = [one for one in CELLS if (one.thing, one.form) == (NAMES[kind], shelf.form)]
            assert len(mine) >= 12
    kinds = {
        one
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, errors.TrustError)
        and one is not errors.TrustError
    }
    assert kinds <= {one.error for one in CELLS}


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs this sees what was tried, and how much of it was refused."""
    lines = [
        f"{stage:<7} {_count(row.cells):>7}  {row.error:<19} {row.mutation:<42.42} {row.thing:.60}"
        for stage in STAGES
        for row in rows(stage)
    ]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join([*lines, f"{_count(CELLS)} cells refused"]) + "\n")
    assert len(CELLS) > 500


def _count(cells: Sequence[Cell]) -> str:
    return f"{sum(one.name in REFUSED for one in cells)}/{len(cells)}"


def test_the_page_is_in_step() -> None:
    """`docs/tamper.md` is what `python -m tests.tamper.matrix` writes."""
    page = Path(__file__).parents[2] / "docs" / "tamper.md"
    assert page.read_text() == render()
