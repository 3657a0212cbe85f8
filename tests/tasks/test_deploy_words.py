"""What people are told of a change set, and of an inventory in a cluster."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from lockgate.base.errors import InventoryLost
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.holding import Holder
from lockgate.deploy.kube.inventory import Applied, Entry, Inventory
from lockgate.deploy.kube.model import Action, Change, ChangeSet, InventoryStatus, ObjectStatus
from lockgate.deploy.kube.storage import Stored
from lockgate.oci.digest import Digest
from lockgate.tasks import deploy_words

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def status(**more: Any) -> InventoryStatus:
    """Return an inventory with one artifact, applied to its end."""
    found = InventoryStatus(
        inventory="shop/shop-dev",
        context="dev",
        artifact=ONE,
        source="https://git.example/shop",
        revision="abc",
        applied=1_700_000_000,
        pending="",
        holder="",
        objects=(),
    )
    return msgspec.structs.replace(found, **more)


def change(name: str, action: Action, note: str = "", *differences: str) -> Change:
    """Return a change of a configuration map."""
    one = ResourceId(group="", kind="ConfigMap", namespace="shop", name=name)
    return Change(id=one, action=action, note=note, differences=differences)


def changes(*listed: Change) -> ChangeSet:
    """Return a plan."""
    return ChangeSet(
        inventory="shop/web",
        context="dev",
        artifact="",
        source="",
        revision="",
        changes=listed,
        done=False,
    )


def test_a_plan_names_what_changes_and_counts_the_rest() -> None:
    """One line each; a single field stands behind its object."""
    plan = changes(
        change("a", "created"),
        change("b", "configured", "", "~ data.key: one → two"),
        change("c", "unchanged"),
        change("d", "unchanged"),
        change("e", "deleted", "no longer in the artifact"),
    )
    assert deploy_words.plan_lines(plan) == [
        "created    ConfigMap/shop/a",
        "configured ConfigMap/shop/b  ~ data.key: one → two",
        "deleted    ConfigMap/shop/e  no longer in the artifact",
        "unchanged  2",
    ]


def test_a_plan_shows_five_fields_and_a_diff_all() -> None:
    """Below their object."""
    plan = changes(change("a", "configured", "", *(f"~ data.k{one}: x → y" for one in range(8))))
    assert deploy_words.plan_lines(plan)[-1].strip() == "and 3 more fields"
    assert len(deploy_words.plan_lines(plan, details=True)) == 9


def test_what_was_applied_is_said() -> None:
    """Artifact, source, revision, and when, in the time of this machine."""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_700_000_000))
    assert deploy_words.status_lines(status()) == [
        f"{ONE.short}  https://git.example/shop  abc  {day}"
    ]


def test_what_nobody_said_is_a_dash() -> None:
    """A source and a revision are not always known."""
    (line,) = deploy_words.status_lines(status(source="", revision=""))
    assert line.startswith(f"{ONE.short}  -  -  ")


def test_what_did_not_come_to_its_end_is_said() -> None:
    """Or who works on it right now."""
    assert deploy_words.status_lines(status(artifact="", pending=TWO)) == [
        f"interrupted: {TWO.short} was not applied to its end"
    ]
    lines = deploy_words.status_lines(status(artifact="", pending=TWO, holder="ann on host"))
    assert lines == ["ann on host works on it"]


def test_each_object_is_one_line() -> None:
    """With what it lacks, and whether somebody changed it."""
    one = ResourceId(group="", kind="Pod", namespace="shop", name="a")
    found = status(
        objects=(ObjectStatus(id=one, phase="failed", message="a\nb\x1b[2J", touched="yes"),)
    )
    (line,) = deploy_words.object_lines(found)
    assert line == f"{'Pod/shop/a':<48} {'failed':<12} a?b?[2J  changed by somebody else"


def stored(**more: Any) -> Stored:
    """Return an inventory of one object as a cluster holds it."""
    pod = Entry(id=ResourceId(group="", kind="Pod", namespace="shop", name="a"), version="v1")
    return Stored(Inventory(namespace="shop", name="shop-dev", entries=(pod,), **more), "1")


def test_an_inventory_of_a_list_says_what_was_applied_last() -> None:
    """When, from which source and revision, and how much it holds."""
    past = Applied(
        artifact=ONE, source="https://git.example/shop", revision="abc", at=1_700_000_000
    )
    found = deploy_words.brief("shop/shop-dev", stored(history=(past,)))
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_700_000_000))
    assert (found.artifact, found.applied, found.pending, found.error) == (ONE, past.at, "", "")
    assert deploy_words.inventory_line(found) == (
        f"{'shop/shop-dev':<40}     1 objects  {day}  https://git.example/shop  abc"
    )


def test_an_inventory_of_a_list_says_what_is_being_applied() -> None:
    """And who does it; nothing came to its end, so there is no time."""
    held = stored(pending=Applied(artifact=TWO))._replace(holder=Holder(who="ann"))
    found = deploy_words.brief("shop/shop-dev", held)
    assert (found.artifact, found.applied, found.pending, found.holder) == ("", 0, TWO, "ann")
    assert deploy_words.inventory_line(found).endswith(
        "1 objects  -                 -  ann works on it"
    )


def test_an_inventory_of_a_list_says_what_was_interrupted() -> None:
    """Nobody works on it, and the last artifact did not come to its end."""
    found = deploy_words.brief("shop/shop-dev", stored(pending=Applied(artifact=TWO)))
    assert deploy_words.inventory_line(found).endswith(
        f"-  interrupted: {TWO.short} was not applied to its end"
    )


def test_an_inventory_that_cannot_be_read_says_why() -> None:
    """It is listed all the same, and its reason cannot draw on a terminal."""
    found = deploy_words.brief("shop/shop-dev", InventoryLost("cut\x1b[2J off"))
    assert (found.objects, found.error) == (0, "cut\x1b[2J off")
    assert deploy_words.inventory_line(found) == (f"{'shop/shop-dev':<40} unreadable: cut?[2J off")
