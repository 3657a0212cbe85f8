"""What a look finds, where one kind is served in several versions: `lockgate.deploy.kube.look`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, lines, maps

from lockgate.base.errors import InventoryLost


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that serves autoscalers in `v2` and `v1`; a list in either returns all."""
    made = Cluster()
    newer = next(one for one in made.server.kinds if one.kind == "HorizontalPodAutoscaler")
    made.server.kinds.append(replace(newer, version="v1"))
    return made


def scaler(name: str, version: str) -> str:
    """Return an autoscaler as YAML."""
    return (
        f"---\napiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\n"
        f"metadata: {{name: {name}, namespace: default}}\nspec: {{maxReplicas: 9}}\n"
    )


def test_two_objects_of_a_kind_in_two_versions_are_both_known(cluster: Cluster) -> None:
    """Each is in the list of either version."""
    both = scaler("a", "v1") + scaler("b", "v2")
    cluster.apply(both)
    assert lines(cluster.apply(both)) == ["a unchanged", "b unchanged"]
    assert lines(cluster.apply(scaler("a", "v1"), artifact="2")) == ["a unchanged", "b deleted"]


def test_a_kind_moves_to_another_version_while_one_of_it_goes(cluster: Cluster) -> None:
    """What goes is listed in the version of the record, what stays in the manifest's."""
    cluster.apply(scaler("a", "v1") + scaler("b", "v1"))
    made = cluster.apply(scaler("a", "v2"), artifact="2")
    assert lines(made) == ["a configured", "b deleted"]


def test_what_is_not_recorded_is_named_once(cluster: Cluster) -> None:
    """In however many versions it is listed."""
    both = scaler("a", "v1") + scaler("b", "v2")
    cluster.apply(both)
    older = cluster.data("inv-web")
    cluster.apply(both + scaler("c", "v2") + maps("d"), artifact="2")
    cluster.server.update("ConfigMap", "default", "inv-web", "lockgate", data=older)
    with pytest.raises(InventoryLost) as caught:
        cluster.plan(both, NO_WAIT)
    named = caught.value.message.rpartition(": ")[2]
    assert named == "HorizontalPodAutoscaler/default/c"
