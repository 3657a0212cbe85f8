"""The repository's manifests before a real API server, and our rule about pods beside its own admission."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.manifests.kubernetes import ENVIRONMENTS, World, rendered
from tests.manifests.test_rules import BREAKS
from tests.node import until

from lockgate.config.emit import emit

if TYPE_CHECKING:
    from tests.apiserver import ApiServer
    from tests.cluster.conftest import Place

ASKED = [
    (what, change)
    for rule, what, change in BREAKS
    # Containers that are put into a running pod come by another way.
    if rule == "pod-restricted" and what != "a container in a running pod"
]
"""What breaks our rule, and can be asked of the API server."""

EARLIER = ("privileged", "an open /proc", "a process of the node")
"""What it refuses before it comes to the standard, together with something else in the pod."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_api_server_takes_every_object(api_server: ApiServer, environment: str) -> None:
    """Without a warning, each field as it is written, and applied again nothing differs."""
    text = emit(rendered(environment)).decode()
    command = ("apply", "--server-side", "--validate=strict", "-f", "-")
    first = api_server.kubectl(*command, stdin=text)
    try:
        assert "Warning" not in first.stderr
        assert first.stdout.count("serverside-applied") == len(rendered(environment))
        assert api_server.kubectl("diff", "--server-side", "-f", "-", stdin=text).stdout == ""
    finally:
        api_server.kubectl("delete", "namespace", f"todo-{environment}", "--wait=false")


@pytest.fixture
def restricted(place: Place) -> str:
    """A namespace with the labels of ours."""
    body = copy.deepcopy(World("prod")("Namespace"))
    body["metadata"]["name"] = place.namespace
    place.server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
    loose = {"containers": [{"name": "x", "image": "x"}]}
    until(
        lambda: "violates PodSecurity" in admitted(place.server, place.namespace, loose),
        "the API server knows of the labels",
    )
    return place.namespace


def admitted(server: ApiServer, namespace: str, spec: dict[str, Any]) -> str:
    """Ask for a pod, without making it; return what the API server has against it."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "todo", "namespace": namespace},
        "spec": spec,
    }
    done = server.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False
    )
    return "" if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_our_pods_are_admitted(api_server: ApiServer, restricted: str, environment: str) -> None:
    """Every pod that the manifests describe conforms to the restricted standard."""
    world = World(environment)
    templates = [
        one["spec"]["template"] for one in world.bodies if "template" in one.get("spec", {})
    ]
    assert len(templates) == (2 if environment == "dev" else 1)
    for one in templates:
        assert admitted(api_server, restricted, one["spec"]) == ""


@pytest.mark.parametrize(
    ("what", "change"), ASKED, ids=[what.replace(" ", "-") for what, _ in ASKED]
)
def test_what_our_rule_refuses_the_api_server_refuses(
    api_server: ApiServer, restricted: str, what: str, change: Any
) -> None:
    """What the rule foretells is what happens."""
    world = World("prod")
    change(world)
    answer = admitted(api_server, restricted, world.pod)
    expected = "is invalid" if what in EARLIER else "violates PodSecurity"
    assert expected in answer, answer
