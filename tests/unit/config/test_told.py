"""What a container is told of its own image: `lockgate.config.told`."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deploy.test_contract import INSTANCE

from lockgate.config import pins, resource, told
from lockgate.deploy import contract
from lockgate.oci.reference import PinnedRef

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
KNOWN = {"app": PinnedRef(name="r.example/team/app", digest=ONE)}

PLACE = {"name": told.DIGEST}


def deployment(*containers: dict[str, Any], **more: Any) -> resource.Resource:
    """Return a deployment that runs containers."""
    pod = {"containers": list(containers), **more}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": pod}},
    }
    return resource.of(body, "here")


def variables(found: resource.Resource, name: str = "containers") -> list[Any]:
    """Return the variables of each container."""
    pod = found.body["spec"]["template"]["spec"]
    return [one.get("env") for one in pod[name]]


@pytest.mark.parametrize("place", [PLACE, {**PLACE, "value": ""}, {**PLACE, "value": None}])
def test_a_place_gets_the_digest_of_the_containers_own_image(place: dict[str, Any]) -> None:
    """Of several containers each its own; other variables stay, and their order."""
    other = {"name": "A", "value": "b"}
    (found,), _ = pins.pin(
        [
            deployment(
                {"image": "app", "env": [other, place]},
                {"image": f"redis@{TWO}", "env": [place]},
                initContainers=[{"image": "app", "env": [place]}],
            )
        ],
        KNOWN,
    )
    assert variables(found) == [[other, {**PLACE, "value": ONE}], [{**PLACE, "value": TWO}]]
    assert variables(found, "initContainers") == [[{**PLACE, "value": ONE}]]


@pytest.mark.parametrize(
    "env",
    [
        None,
        [],
        [{"name": "OTHER"}],
        [{**PLACE, "value": "said"}],
        [{**PLACE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "nonsense",
        ["nonsense"],
    ],
)
def test_without_a_place_nothing_is_added(env: Any) -> None:
    """What is applied is what was written."""
    one = deployment({"image": f"app@{ONE}"} | ({} if env is None else {"env": env}))
    assert told.tell(one) is one


def test_an_image_that_is_not_known_yet_is_not_told() -> None:
    """Tekton takes it from a parameter."""
    body = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Task",
        "metadata": {"name": "build"},
        "spec": {"steps": [{"image": "$(params.image)", "env": [PLACE]}]},
    }
    one = resource.of(body, "here")
    assert told.tell(one) is one


def test_the_variable_is_the_one_of_the_local_target() -> None:
    """A service asks one name, wherever it runs."""
    given = contract.given(INSTANCE, host="127.0.0.1", port=1)
    assert given[told.DIGEST] == INSTANCE.digest
