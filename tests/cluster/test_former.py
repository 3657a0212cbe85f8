"""An inventory that lies under its older name, on a real API server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.cluster.conftest import NO_WAIT, lines
from tests.cluster.test_apply import TWO

from lockgate.base.errors import Conflict, InventoryLost
from lockgate.deploy.kube.delete import repair
from lockgate.deploy.kube.inventory import names_of
from lockgate.deploy.kube.ownership import Owner

if TYPE_CHECKING:
    from tests.cluster.conftest import Place

ONE, OTHER = TWO.split("---")


def test_two_that_shared_a_name_part_without_a_deletion(place: Place) -> None:
    """Objects stay the very ones; each inventory holds its own, and the shared record goes with the last."""
    place.apply(TWO, name="a-b-c")
    uids = [place.get(one)["metadata"]["uid"] for one in ("configmap/a", "secret/b")]
    for (project, environment), text in ((("a-b", "c"), ONE), (("a", "b-c"), OTHER)):
        names = names_of(project, environment)
        target = replace(place.target(names.name), former=Owner(place.namespace, names.former))
        made = place.apply(text, artifact="2", target=target)
        assert [one.action for one in made.changes] == ["configured"]
        assert [one.action for one in place.apply(text, artifact="2", target=target).changes] == [
            "unchanged"
        ]
    assert [place.get(one)["metadata"]["uid"] for one in ("configmap/a", "secret/b")] == uids
    assert (place.inventory("a-b.c"), place.inventory("a.b-c")) == (["a"], ["b"])
    assert place.get("configmap/inv-a-b-c") is None
    assert (
        place.get("configmap/inv-a-b.c")["metadata"]["labels"]["app.kubernetes.io/name"] == "a-b.c"
    )
    assert lines(place.delete(name="a-b.c")) == ["a deleted"]
    assert place.get("secret/b") is not None


def test_an_older_inventory_that_was_put_back_fails_no_deployment(place: Place) -> None:
    """Nothing of it is needed after the move: it is told, with what settles it."""
    place.apply(ONE, name="a-b-c")
    copied = json.loads(place.kubectl("get", "configmap/inv-a-b-c", "-o", "json"))
    target = replace(place.target("a-b.c"), former=Owner(place.namespace, "a-b-c"))
    place.apply(ONE, target=target)
    assert place.get("configmap/inv-a-b-c") is None
    for name in ("resourceVersion", "uid", "creationTimestamp"):
        del copied["metadata"][name]
    place.kubectl("create", "-f", "-", stdin=json.dumps(copied))
    assert lines(place.apply(TWO, target=target)) == ["a unchanged", "b created"]
    assert "was written by 'kubectl" in place.events.notes[-1]
    assert "`inv deploy.repair --inventory a-b-c`" in place.events.notes[-1]
    repair(place.target("a-b-c"), (), NO_WAIT)
    assert lines(place.apply(TWO, target=target)) == ["a unchanged", "b unchanged"]
    assert place.get("configmap/inv-a-b-c") is None


def test_a_configuration_map_of_somebody_else_is_no_older_inventory(place: Place) -> None:
    """It stays as it is, and hinders no deployment."""
    place.kubectl("create", "configmap", "inv-a-b-c", "--from-literal=resources=of others")
    before = place.get("configmap/inv-a-b-c")
    target = replace(place.target("a-b.c"), former=Owner(place.namespace, "a-b-c"))
    assert lines(place.apply(ONE, target=target)) == ["a created"]
    assert lines(place.apply(ONE, target=target)) == ["a unchanged"]
    assert place.get("configmap/inv-a-b-c") == before


def test_an_older_inventory_that_is_lost_is_noticed_before_the_move(place: Place) -> None:
    """Its objects would be in no record after it: without the labels of a record, and when it is gone."""
    place.apply(f"{ONE}---{ONE.replace('name: a,', 'name: other,')}", name="a-b-c")
    target = replace(place.target("a-b.c"), former=Owner(place.namespace, "a-b-c"))
    place.kubectl("label", "configmap/inv-a-b-c", "app.kubernetes.io/component-")
    with pytest.raises(Conflict, match="its labels do not say so"):
        place.apply(ONE, target=target)
    place.kubectl("delete", "configmap/inv-a-b-c")
    with pytest.raises(InventoryLost, match="a-b-c is gone, and objects of it are there"):
        place.apply(ONE, target=target)
    assert place.get("configmap/inv-a-b.c") is None
    repair(place.target("a-b-c"), (), NO_WAIT)
    assert lines(place.apply(ONE, target=target)) == ["a configured"]
    assert place.inventory("a-b-c") == ["other"]
