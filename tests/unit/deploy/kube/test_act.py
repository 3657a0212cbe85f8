"""Acting on a plan: what a server says while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.deploy.kube.conftest import definition, lamp, lines

from lockgate.base.errors import Rejected
from lockgate.deploy.kube.connection import Answer

if TYPE_CHECKING:
    from tests.unit.deploy.kube.conftest import Cluster

UNKNOWN = b'{"kind":"Status","message":"strict decoding error: unknown field \\"spec.bright\\""}'


def learning(cluster: Cluster, seconds: float) -> None:
    """Let the server judge lamps by their former definition, so long after it took the new one."""
    send, since = cluster.server.send, cluster.time.now

    def sending(method: str, path: str, **rest: Any) -> Answer:
        if "/lamps/" in path and method == "PATCH" and cluster.time.now < since + seconds:
            return Answer(400, {}, UNKNOWN)
        return send(method, path, **rest)

    cluster.server.send = sending  # type: ignore[method-assign]


def test_a_server_that_still_judges_by_the_former_definition_is_asked_again(
    cluster: Cluster,
) -> None:
    """Of several servers one learns of a definition a moment after another one took it."""
    learning(cluster, 5)
    assert lines(cluster.apply(definition("v1") + lamp())) == [
        "lamps.example.org created",
        "desk created",
    ]


def test_an_object_that_stays_wrong_is_refused(cluster: Cluster) -> None:
    """After some seconds, in the server's words."""
    learning(cluster, 1000)
    with pytest.raises(Rejected, match=r"spec\.bright"):
        cluster.apply(definition("v1") + lamp())
    assert cluster.server.find("Lamp", "default", "desk") is None
