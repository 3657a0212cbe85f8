"""The record of what was applied, as a value."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deploy.kube.records import applied, empty, one

from lockgate.base.errors import UsageError
from lockgate.deploy.kube import inventory
from lockgate.deploy.kube.inventory import Entry, Inventory


def entries(record: Inventory) -> dict[str, bool]:
    """Return names and whether they are stale."""
    return {each.id.name: each.stale for each in record.entries}


def test_an_intent_names_old_and_new() -> None:
    """What is no longer wanted is stale, and nothing is forgotten."""
    known = empty(
        entries=(
            Entry(id=one("old"), version="v1", seen="t"),
            Entry(id=one("both"), version="v1", seen="u"),
        )
    )
    wanted = {one("both"): "v2", one("new"): "v1"}
    made = inventory.intended(known, wanted, applied(2), unchanged={one("both")})
    assert entries(made) == {"both": False, "new": False, "old": True}
    assert {each.id.name: each.seen for each in made.entries} == {
        "both": "u",
        "new": "",
        "old": "t",
    }
    assert made.pending == applied(2)


def test_a_settled_record_forgets_only_what_is_gone() -> None:
    """What is stale and not known to be gone stays."""
    intent = inventory.intended(
        empty(entries=(Entry(id=one("x"), version="v1"), Entry(id=one("y"), version="v1"))),
        {one("new"): "v1"}, applied(2),
    )  # fmt: skip
    made = inventory.settled(intent, gone=[one("x")], seen={one("new"): "t"}, done=True)
    assert entries(made) == {"new": False, "y": True}
    assert made.pending is None
    assert made.history == (applied(2),)


def test_what_did_not_come_to_its_end_stays_pending() -> None:
    """The history has whole ones only."""
    intent = inventory.intended(empty(history=(applied(1),)), {one("a"): "v1"}, applied(2))
    made = inventory.settled(intent, gone=[], seen={}, done=False)
    assert made.pending == applied(2)
    assert made.history == (applied(1),)


def test_the_history_is_bounded() -> None:
    """The oldest go first."""
    record = empty()
    for number in range(30):
        intent = inventory.intended(record, {}, applied(number))
        record = inventory.settled(intent, gone=[], seen={}, done=True)
    assert record.history == tuple(applied(number) for number in range(20, 30))


def test_a_second_run_of_one_artifact_is_one_line_of_the_history() -> None:
    """With the later time."""
    again = msgspec.structs.replace(applied(1), at=5)
    intent = inventory.intended(empty(history=(applied(1),)), {}, again)
    assert inventory.settled(intent, gone=[], seen={}, done=True).history == (again,)


@pytest.mark.parametrize("name", ["", "Web", "a_b", "-a", "a" * 64, "a..b", "a.-b", ".a"])
def test_a_name_that_cannot_be_a_label_is_refused(name: str) -> None:
    """It would be refused by the cluster, later."""
    with pytest.raises(UsageError, match="no name of an inventory"):
        inventory.check_name(name)


PARTS = st.from_regex("[a-z0-9](?:[a-z0-9-]{0,70}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("project", "environment", "name"),
    [("shop", "dev", "shop-dev"), ("a-b", "c", "a-b.c"), ("a", "b-c", "a.b-c")],
)
def test_an_inventory_is_called_by_project_and_environment(
    project: str, environment: str, name: str
) -> None:
    """What has no second hyphen is called as ever; else a dot, which is in no part, stands between."""
    assert inventory.name_of(project, environment) == name


@given(st.tuples(PARTS, PARTS), st.tuples(PARTS, PARTS))
def test_two_inventories_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """And each name is valid: as a label's value, and at the end of a ConfigMap's name."""
    names = [inventory.name_of(*pair) for pair in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert inventory.check_name(name) == name
        assert re.fullmatch("[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?", name)


@given(st.text("ab-", min_size=1, max_size=6), st.integers(1, 5))
def test_where_hyphens_stand_decides(text: str, at: int) -> None:
    """The same letters, parted at another place, are another inventory."""
    pairs = {(text[:cut], text[cut + 1 :]) for cut in range(len(text)) if text[cut] == "-"}
    whole = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
    valid = [pair for pair in pairs if all(re.fullmatch(whole, part * at) for part in pair)]
    names = [inventory.name_of(*(part * at for part in pair)) for pair in valid]
    assert len(set(names)) == len(valid)


@pytest.mark.parametrize(
    ("project", "environment", "words"),
    [("My", "dev", "project 'My'"), ("shop", "a.b", "environment 'a.b'"), ("a", "b-", "'b-'")],
)
def test_a_part_that_cannot_be_in_a_name_is_refused(
    project: str, environment: str, words: str
) -> None:
    """Which of the two it is, is said."""
    with pytest.raises(UsageError, match=words):
        inventory.name_of(project, environment)
