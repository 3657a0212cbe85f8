"""What is no longer wanted: what may go, what takes something with it that stays, and what is known to be gone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.miniature import KINDS
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, definition, lamp, lines, maps

from lockgate.base.errors import ClusterError, UsageError
from lockgate.deploy.kube import apply, delete
from lockgate.deploy.kube.answers import Page
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.discovery import Kind

SPACE = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
LAMPS = ("apiextensions.k8s.io", "CustomResourceDefinition", "", "lamps.example.org")
KEPT = "{lockgate.dev/prune: disabled}"


def inside(note: str = "{}") -> str:
    """Return a configuration map in the namespace `shop`."""
    return (
        "---\napiVersion: v1\nkind: ConfigMap\n"
        f"metadata: {{name: in, namespace: shop, annotations: {note}}}\ndata: {{key: one}}\n"
    )


def served(cluster: Cluster, *versions: str) -> None:
    """Serve lamps in these versions and no others."""
    verbs = KINDS[0].verbs
    cluster.server.kinds = [one for one in cluster.server.kinds if one.kind != "Lamp"] + [
        Kind("example.org", one, "Lamp", "lamps", True, verbs) for one in versions
    ]


def service(cluster: Cluster, version: str, **spec: Any) -> None:
    """Say who serves a version of the group."""
    spec |= {"group": "example.org", "version": version}
    cluster.server.put("APIService", "", f"{version}.example.org", spec=spec)


def notes(cluster: Cluster, text: str) -> dict[str, str]:
    """Return what would happen to each object, and why."""
    changes = cluster.plan(text).changes
    return {one.id.name: f"{one.action}: {one.note}" for one in changes}


def test_a_namespace_stays_while_something_wanted_lies_in_it(cluster: Cluster) -> None:
    """It left the artifact, and what lies in it did not: both stay, and it is not forgotten."""
    cluster.apply(SPACE + inside())
    assert notes(cluster, inside())["shop"] == "skipped: ConfigMap/shop/in lies in it, and stays"
    assert lines(cluster.apply(inside(), artifact="2")) == ["in unchanged", "shop skipped"]
    assert cluster.server.find("ConfigMap", "shop", "in") is not None
    assert cluster.entries() == ["shop", "in"]
    assert lines(cluster.apply(maps("a"), artifact="3"))[1:] == ["in deleted", "shop deleted"]


def test_a_definition_stays_while_something_wanted_is_of_it(cluster: Cluster) -> None:
    """Else the very object that was applied a moment ago would go with it."""
    cluster.apply(definition("v1") + lamp())
    assert lines(cluster.apply(lamp(), artifact="2")) == [
        "desk unchanged",
        "lamps.example.org skipped",
    ]
    assert cluster.server.find("Lamp", "default", "desk") is not None


@pytest.mark.parametrize(
    ("text", "kind", "where", "name"),
    [
        (SPACE + inside(KEPT), "ConfigMap", "shop", "in"),
        (definition("v1") + lamp(note=KEPT), "Lamp", "default", "desk"),
    ],
    ids=["namespace", "definition"],
)
def test_what_is_marked_is_not_deleted_with_what_holds_it(
    cluster: Cluster, text: str, kind: str, where: str, name: str
) -> None:
    """Neither by an apply that no longer has both, nor by the deletion of the inventory."""
    cluster.apply(text + maps("a"))
    cluster.apply(maps("a"), artifact="2")
    assert cluster.server.find(kind, where, name) is not None
    cluster.delete()
    assert cluster.server.find(kind, where, name) is not None
    assert len(cluster.entries()) == 2


def test_a_namespace_stays_while_another_inventory_lies_in_it(cluster: Cluster) -> None:
    """What was deployed there is another's; one's own record is no reason to stay."""
    cluster.apply(SPACE + maps("a"))
    other, wanted = cluster.target("other", namespace="shop"), cluster.wanted(inside())
    apply.apply(Proof(wanted.artifact), wanted, other, NO_WAIT)
    assert notes(cluster, maps("a"))["shop"] == "skipped: the inventory other lies in it"
    assert lines(cluster.delete()) == ["a deleted", "shop skipped"]
    delete.delete(other, NO_WAIT)
    assert lines(cluster.delete()) == ["shop deleted"]


def test_what_is_marked_after_the_plan_keeps_its_namespace(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion finds another version, judges anew, and what would take it with it stays too."""
    cluster.apply(SPACE + inside() + maps("a"))
    plain = Client.delete

    def marked(self: Client, kind: Kind, one: Any, **words: Any) -> Any:
        if one.name == "in" and cluster.data("marked") is None:
            mark = {"metadata": {"annotations": {"lockgate.dev/prune": "disabled"}}}
            cluster.server.update("ConfigMap", "shop", "in", "somebody", **mark)
            cluster.server.put("ConfigMap", "default", "marked", data={})
        return plain(self, kind, one, **words)

    monkeypatch.setattr(Client, "delete", marked)
    changes = cluster.apply(maps("a"), artifact="2")
    assert lines(changes) == ["a unchanged", "in skipped", "shop skipped"]
    assert cluster.server.find("ConfigMap", "shop", "in") is not None


def test_what_is_served_in_another_version_by_now_is_deleted_there(cluster: Cluster) -> None:
    """The artifact that drops an object may drop the version that it was applied in, too."""
    cluster.apply(definition("v1beta1") + lamp("v1beta1"))
    send = cluster.server.send

    def sending(method: str, path: str, **rest: Any) -> Any:
        answer = send(method, path, **rest)
        if method == "PATCH" and "/lamps.example.org?" in path and "dryRun" not in path:
            served(cluster, "v1")
        return answer

    cluster.server.send = sending  # type: ignore[method-assign]
    changes = cluster.apply(definition("v1beta1-", "v1"), artifact="2")
    assert lines(changes) == ["lamps.example.org configured", "desk deleted"]
    assert cluster.server.find("Lamp", "default", "desk") is None
    assert cluster.entries() == ["lamps.example.org"]


def test_what_is_served_in_no_version_any_more_is_not_taken_for_deleted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and nobody can reach it: the inventory keeps it."""
    cluster.apply(definition("v1") + lamp())
    plain = Client.delete

    def vanished(self: Client, kind: Kind, one: Any, **words: Any) -> Any:
        served(cluster)
        return plain(self, kind, one, **words)

    monkeypatch.setattr(Client, "delete", vanished)
    with pytest.raises(ClusterError, match="Lamp/default/desk"):
        cluster.apply(definition("v1"), artifact="2")
    assert cluster.entries() == ["lamps.example.org", "desk"]


def test_a_server_of_its_own_that_is_down_keeps_its_objects(cluster: Cluster) -> None:
    """Also when it has gone on to another version than that of the entry."""
    served(cluster, "v1beta1")
    service(cluster, "v1beta1", service={"name": "lamps"})
    cluster.apply(lamp("v1beta1") + maps("a"))
    served(cluster)
    del cluster.server._objects["apiregistration.k8s.io", "APIService", "", "v1beta1.example.org"]
    service(cluster, "v1", service={"name": "lamps"})
    assert lines(cluster.apply(maps("a"), artifact="2")) == ["a unchanged", "desk skipped"]
    assert cluster.entries() == ["a", "desk"]


def test_a_definition_that_serves_no_version_keeps_its_objects(cluster: Cluster) -> None:
    """They are stored, and are there again with the next version."""
    cluster.apply(definition("v1") + lamp() + maps("a"))
    service(cluster, "v1")
    served(cluster)
    found = notes(cluster, definition("v1-") + maps("a"))
    assert found["desk"] == "skipped: its definition serves no version of it"


def test_objects_are_gone_with_their_definition(cluster: Cluster) -> None:
    """Though another kind of the same group and version is served."""
    cluster.apply(definition("v1") + lamp() + maps("a"))
    service(cluster, "v1")
    served(cluster)
    del cluster.server._objects[LAMPS]
    assert notes(cluster, maps("a"))["desk"] == "deleted: its kind is gone, and it with it"
    cluster.apply(maps("a"), artifact="2")
    assert cluster.entries() == ["a"]


def test_what_goes_with_a_namespace_is_counted_without_help(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server need not say how many remain after the first page."""
    cluster.apply(SPACE + maps("a"))
    for number in range(30):
        cluster.server.put("ConfigMap", "shop", f"other-{number}")
    pages = Client.pages

    def silent(self: Client, *kinds: Any, **words: Any) -> Any:
        return (Page(one.items, one.version, 0) for one in pages(self, *kinds, **words))

    monkeypatch.setattr(Client, "pages", silent)
    with pytest.raises(UsageError, match="31 objects would be deleted"):
        cluster.apply(maps("a"), NO_WAIT, artifact="2")
