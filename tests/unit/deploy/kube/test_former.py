"""An inventory that lies under its older name: `lockgate.deploy.kube.former`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines, maps

from lockgate.base.errors import Conflict, InventoryLost, UsageError
from lockgate.deploy.kube import apply, delete, former
from lockgate.deploy.kube.ownership import Owner
from lockgate.deploy.kube.status import status
from lockgate.deploy.kube.storage import Storage

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


def test_history_of_no_known_repository_stays(cluster: Cluster) -> None:
    """Nothing says that it is of this project: a rollback could bring another one's artifact."""
    cluster.apply(maps("a"), artifact="1", name=OLD)
    wanted = cluster.wanted(maps("a"), "9")._replace(source="")
    older = cluster.wanted(maps("a", "b"), "2")._replace(source="")
    apply.apply(Proof(older.artifact), older, cluster.target(OLD), NO_WAIT)
    apply.apply(Proof(wanted.artifact), wanted, target(cluster), NO_WAIT)
    history = target(cluster).storage.read().inventory.history
    assert [one.artifact[-1] for one in history] == ["9"]


def test_a_plan_says_so_and_changes_nothing(cluster: Cluster) -> None:
    """Not even the older record."""
    cluster.apply(maps("a"), name=OLD)
    writes = cluster.server.writes
    planned = apply.plan(cluster.wanted(maps("a")), target(cluster), NO_WAIT)
    assert "moves here from" in planned.changes[0].note
    assert cluster.server.writes == writes


def test_what_is_not_applied_stays_and_is_named(cluster: Cluster) -> None:
    """It could be another project's, whose inventory had the same name; so nobody is told to delete it unseen."""
    cluster.apply(maps("a", "other"), name=OLD)
    assert lines(move(cluster, maps("a"))) == ["a configured"]
    assert cluster.data("other") is not None
    assert cluster.entries(OLD) == ["other"]
    (note,) = [one for one in cluster.events.notes if OLD in one]
    assert "keeps ConfigMap/default/other" in note
    assert "Where that is another project's, its next deployment takes it" in note
    assert f"where it is nobody's, `inv deploy.delete --inventory {OLD}` deletes it" in note


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


def test_a_configuration_map_of_somebody_else_is_no_older_inventory(cluster: Cluster) -> None:
    """Of the older name; it is left as it is, and hinders neither the first deployment nor later ones."""
    cluster.server.put("ConfigMap", "default", f"inv-{OLD}", data={"resources": "of others"})
    before = copy.deepcopy(cluster.server.find("ConfigMap", "default", f"inv-{OLD}"))
    with pytest.raises(UsageError, match=r"there is no inventory default/a-b\.c$"):
        status(target(cluster), NO_WAIT)
    assert lines(move(cluster, maps("a"))) == ["a created"]
    assert lines(move(cluster, maps("a", "b"))) == ["a unchanged", "b created"]
    assert lines(move(cluster, maps("a", "b"))) == ["a unchanged", "b unchanged"]
    assert cluster.server.find("ConfigMap", "default", f"inv-{OLD}") == before
    assert cluster.events.notes == []


def put_back(cluster: Cluster, data: dict[str, str]) -> None:
    """Write the record of the older name as a backup tool does."""
    marked = data | {"x": "y"}
    cluster.server.update("ConfigMap", "default", f"inv-{OLD}", "backup", data=marked)


@pytest.mark.parametrize("data", [{}, {"resources": "["}])
def test_a_doubtful_older_inventory_is_refused_before_the_move(
    cluster: Cluster, data: dict[str, str]
) -> None:
    """Its history would come along; nothing is changed."""
    cluster.apply(maps("a"), name=OLD)
    put_back(cluster, data or cluster.data(f"inv-{OLD}"))
    writes = cluster.server.writes
    with pytest.raises(InventoryLost) as caught:
        move(cluster, maps("a", "b"))
    assert caught.value.hint.startswith(f"`inv deploy.repair --inventory {OLD}`")
    assert cluster.server.writes == writes


@pytest.mark.parametrize("data", [{}, {"resources": "["}])
def test_a_doubtful_older_inventory_is_told_after_the_move(
    cluster: Cluster, data: dict[str, str]
) -> None:
    """Nothing of it is needed any more, so the deployment is done and says so; a repair settles it."""
    cluster.apply(maps("a", "other"), name=OLD)
    older = cluster.data(f"inv-{OLD}")
    move(cluster, maps("a"))
    put_back(cluster, data or older)
    for action in ("created", "unchanged"):
        cluster.events.notes.clear()
        assert lines(move(cluster, maps("a", "b"))) == ["a unchanged", f"b {action}"]
        (note,) = cluster.events.notes
        assert f"`inv deploy.repair --inventory {OLD}` writes it anew" in note
    delete.repair(cluster.target(OLD), (), NO_WAIT)
    move(cluster, maps("a", "b"))
    assert cluster.entries(OLD) == ["other"]


def test_an_older_inventory_that_is_held_is_left_to_the_next_run(cluster: Cluster) -> None:
    """The deployment is done, though another run works under the older name."""
    cluster.apply(maps("a", "b"), name=OLD)
    storage = Storage(cluster.client(), Owner("default", OLD))
    seen = storage.read()
    held = storage.begin(seen, seen.inventory, patience=0)
    assert lines(move(cluster, maps("a", "b"))) == ["a configured", "b configured"]
    assert "is held by" in cluster.events.notes[-1]
    held.write(seen.inventory, last=True)
    move(cluster, maps("a", "b"))
    assert cluster.data(f"inv-{OLD}") is None


def test_an_older_inventory_that_is_gone_is_noticed(cluster: Cluster) -> None:
    """What the artifact does not have would be in no record after the move."""
    cluster.apply(maps("a", "other"), name=OLD)
    del cluster.server._objects["", "ConfigMap", "default", f"inv-{OLD}"]
    writes = cluster.server.writes
    for text in (maps("a"), maps("b")):
        with pytest.raises(InventoryLost, match="a-b-c is gone, and objects of it are") as caught:
            move(cluster, text)
        assert caught.value.hint.startswith(f"`inv deploy.repair --inventory {OLD}`")
    assert cluster.server.writes == writes
    delete.repair(cluster.target(OLD), (), NO_WAIT)
    assert lines(move(cluster, maps("a"))) == ["a configured"]
    assert cluster.entries(OLD) == ["other"]


def test_an_older_inventory_that_does_not_name_an_object_is_noticed(cluster: Cluster) -> None:
    """Whoever seems to have written it."""
    cluster.apply(maps("a"), name=OLD)
    older = cluster.data(f"inv-{OLD}")
    cluster.apply(maps("a", "other"), name=OLD, artifact="2")
    cluster.server.update("ConfigMap", "default", f"inv-{OLD}", "lockgate", data=older)
    with pytest.raises(InventoryLost, match="does not name objects of it: ConfigMap/default/other"):
        move(cluster, maps("a"))


def test_an_older_inventory_without_its_labels_is_noticed(cluster: Cluster) -> None:
    """Its objects say that it is one; it is told how it gets them back."""
    cluster.apply(maps("a", "other"), name=OLD)
    record = cluster.server.find("ConfigMap", "default", f"inv-{OLD}")
    assert record is not None
    record["metadata"]["labels"] = {}
    with pytest.raises(Conflict, match="its labels do not say so") as caught:
        move(cluster, maps("a"))
    assert "`kubectl label --overwrite configmap inv-a-b-c" in caught.value.hint
