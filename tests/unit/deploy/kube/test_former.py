"""An inventory that lies under its older name: `lockgate.deploy.kube.former`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines, maps

from lockgate.base.errors import Conflict, UsageError
from lockgate.deploy.kube import apply, delete, former
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.status import status

if TYPE_CHECKING:
    from lockgate.deploy.kube.model import ChangeSet
    from lockgate.deploy.kube.target import Target

OLD = "a-b-c"


def target(cluster: Cluster, name: str = "a-b.c") -> Target:
    """Return an inventory that may lie under its older name."""
    return replace(cluster.target(name), former=Owner("default", OLD))


def move(cluster: Cluster, text: str, name: str = "a-b.c") -> ChangeSet:
    """Apply objects to it."""
    wanted = cluster.wanted(text, "9")
    return apply.apply(Proof(wanted.artifact), wanted, target(cluster, name), NO_WAIT)


def test_objects_and_history_move_to_the_new_name(cluster: Cluster) -> None:
    """Nothing is deleted or made anew, the older record goes, and a second run has nothing to do."""
    cluster.apply(maps("a", "b"), artifact="1", name=OLD)
    made = move(cluster, maps("a", "b"))
    assert lines(made) == ["a configured", "b configured"]
    assert "moves here from the inventory default/a-b-c" in made.changes[0].note
    assert cluster.entries("a-b.c") == ["a", "b"]
    assert cluster.data(f"inv-{OLD}") is None
    history = target(cluster).storage.read().inventory.history
    assert [one.artifact[-1] for one in history] == ["1", "9"]
    assert lines(move(cluster, maps("a", "b"))) == ["a unchanged", "b unchanged"]


def test_a_plan_says_so_and_changes_nothing(cluster: Cluster) -> None:
    """Not even the older record."""
    cluster.apply(maps("a"), name=OLD)
    writes = cluster.server.writes
    planned = apply.plan(cluster.wanted(maps("a")), target(cluster), NO_WAIT)
    assert "moves here from" in planned.changes[0].note
    assert cluster.server.writes == writes


def test_what_is_not_applied_stays_and_is_named(cluster: Cluster) -> None:
    """It could be another project's, whose inventory had the same name."""
    cluster.apply(maps("a", "other"), name=OLD)
    assert lines(move(cluster, maps("a"))) == ["a configured"]
    assert cluster.data("other") is not None
    assert cluster.entries(OLD) == ["other"]
    (note,) = [one for one in cluster.events.notes if OLD in one]
    assert "keeps ConfigMap/default/other" in note
    assert f"`inv deploy.delete --inventory {OLD}`" in note


def test_two_that_shared_a_name_part(cluster: Cluster) -> None:
    """Each takes its own, whoever comes first; the last one takes the record away."""
    cluster.apply(maps("one", "two"), name=OLD)
    move(cluster, maps("one"), "a-b.c")
    move(cluster, maps("two"), "a.b-c")
    assert cluster.entries("a-b.c") == ["one"]
    assert cluster.entries("a.b-c") == ["two"]
    assert cluster.data(f"inv-{OLD}") is None


def test_a_move_that_was_killed_is_completed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the new record and the older one."""
    cluster.apply(maps("a", "b"), name=OLD)
    with monkeypatch.context() as patch:
        patch.setattr(former, "leave", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            move(cluster, maps("a", "b"))
    assert cluster.entries(OLD) == ["a", "b"]
    assert lines(move(cluster, maps("a", "b"))) == ["a unchanged", "b unchanged"]
    assert cluster.data(f"inv-{OLD}") is None


def test_another_inventorys_objects_do_not_move(cluster: Cluster) -> None:
    """Only those of the older name; others need `--take-over`."""
    cluster.apply(maps("a"), name="other")
    with pytest.raises(Conflict, match="belongs to the inventory default/other"):
        move(cluster, maps("a"))


def test_who_asks_before_the_move_is_told(cluster: Cluster) -> None:
    """By status and by delete, which change nothing."""
    cluster.apply(maps("a"), name=OLD)
    for ask in (status, delete.plan, delete.delete):
        with pytest.raises(UsageError, match="it lies under its older name, default/a-b-c"):
            ask(target(cluster), NO_WAIT)
    assert lines(cluster.delete(name=OLD)) == ["a deleted"]
    with pytest.raises(UsageError, match=r"there is no inventory default/a-b\.c$"):
        status(target(cluster), NO_WAIT)
