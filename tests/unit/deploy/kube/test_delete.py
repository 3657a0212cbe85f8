"""What deleting an inventory takes, and what repairing its record keeps."""

from __future__ import annotations

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines, maps

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube import apply, delete
from lockgate.deploy.kube.storage import Storage


def test_the_namespace_that_the_record_lies_in_goes_at_once(cluster: Cluster) -> None:
    """When the artifact brought it and it is still wanted: one run is enough."""
    made = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
    target = cluster.target(namespace="shop")
    wanted = cluster.wanted(f"---\n{made}\n{maps('a').replace('default', 'shop')}")
    apply.apply(Proof(wanted.artifact), wanted, target, NO_WAIT)
    assert lines(delete.delete(target, NO_WAIT)) == ["a deleted", "shop deleted"]
    assert cluster.server.find("Namespace", "", "shop") is None


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
