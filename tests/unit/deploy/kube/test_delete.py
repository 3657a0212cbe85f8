"""What deleting an inventory takes, and what repairing its record keeps."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines, maps

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube import apply, delete
from lockgate.deploy.kube.connection import Answer
from lockgate.deploy.kube.storage import Storage


def test_the_namespace_that_the_record_lies_in_goes_at_once(cluster: Cluster) -> None:
    """When the artifact brought it and it is still wanted: one run is enough."""
    made = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
    target = cluster.target(namespace="shop")
    wanted = cluster.wanted(f"---\n{made}\n{maps('a').replace('default', 'shop')}")
    apply.apply(Proof(wanted.artifact), wanted, target, NO_WAIT)
    assert lines(delete.delete(target, NO_WAIT)) == ["a deleted", "shop deleted"]
    assert cluster.server.find("Namespace", "", "shop") is None


def test_a_deletion_gives_no_reason_but_what_goes_with_it(cluster: Cluster) -> None:
    """Nothing left the artifact: all of it goes, since somebody said so."""
    cluster.apply(maps("a") + "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n")
    cluster.server.put("ConfigMap", "shop", "foreign")
    planned = delete.plan(cluster.target(), NO_WAIT)
    assert [one.note for one in planned.changes] == ["", "and 1 object with it"]
    assert [one.note for one in cluster.delete().changes] == ["", "and 1 object with it"]


def test_a_repair_does_not_take_a_busy_cluster_for_an_unreadable_record(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history, and what carries no label, would be forgotten."""
    cluster.apply(maps("a"))
    target = cluster.target()
    read = Storage.read

    def busy(self: Storage, **_: object) -> object:
        raise ClusterError("the cluster answered 503", hint="again", status=503, retryable=True)

    monkeypatch.setattr(Storage, "read", busy)
    with pytest.raises(ClusterError):
        delete.repair(target, (), NO_WAIT)
    monkeypatch.setattr(Storage, "read", read)
    assert len(target.storage.read().inventory.history) == 1


def test_a_repair_says_where_it_could_not_look(cluster: Cluster) -> None:
    """Somebody with more rights may have applied what this user cannot see."""
    secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\n"
    cluster.apply(maps("a") + secret)
    del cluster.server._objects["", "ConfigMap", "default", "inv-web"]
    send = cluster.server.send

    def denied(method: str, path: str, **rest: Any) -> Answer:
        if path.startswith(
            ("/api/v1/secrets", "/api/v1/namespaces/default/secrets", "/api/v1/services")
        ):
            body = b'{"kind":"Status","message":"User \\"x\\" cannot list resource","reason":"Forbidden"}'
            return Answer(403, {}, body)
        return send(method, path, **rest)

    cluster.server.send = denied  # type: ignore[method-assign]
    made = delete.repair(cluster.target(), (), NO_WAIT)
    assert [one.id.name for one in made.entries] == ["a"]
    assert cluster.events.notes == [
        "this user may not list, and nobody looked for, secrets in default",
        "this user may not list, and nobody looked for, secrets, services outside of default",
    ]
