"""Objects whose namespace does not exist yet: `lockgate.deploy.kube.rehearsal`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.deploy.kube.conftest import NO_WAIT, Cluster, Proof, lines

from lockgate.base.errors import Rejected
from lockgate.deploy.kube import apply
from lockgate.deploy.kube.connection import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

SPACE = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n"
VALID = (
    "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, "
    "spec: {replicas: 1}}\n"
)
WRONG = VALID.replace("replicas: 1", "replicas: -1")


def answering(cluster: Cluster, code: int, **status: Any) -> Callable[..., Answer]:
    """Return the server's `send` with another answer to what is tried."""
    send = cluster.server.send

    def other(method: str, path: str, **more: Any) -> Answer:
        if method == "POST" and "/deployments" in path and "dryRun" in path:
            return Answer(code, {}, json.dumps({"kind": "Status", **status}).encode())
        return send(method, path, **more)

    return other


def test_a_wrong_field_is_named_before_the_namespace_is_made(cluster: Cluster) -> None:
    """By a plan and by an apply, under the object's own namespace."""
    for run in (cluster.plan, cluster.apply):
        with pytest.raises(Rejected) as caught:
            run(SPACE + WRONG)
        assert caught.value.message.startswith("Deployment/shop/web is refused: spec.replicas")
    assert cluster.server.writes == 0


def test_an_unknown_field_is_named_too(cluster: Cluster) -> None:
    """The server is asked to be strict."""
    secret = (
        "---\n{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, extra: hidden}\n"
    )
    with pytest.raises(Rejected) as caught:
        cluster.plan(SPACE + secret)
    assert caught.value.message == "Secret/shop/s is refused: .extra"
    assert cluster.server.writes == 0


def test_what_is_valid_is_made(cluster: Cluster) -> None:
    """Nothing of the rehearsal stays, also where the other namespace has one of this name."""
    cluster.server.put("Deployment", "default", "web", spec={"replicas": 7})
    assert lines(cluster.apply(SPACE + VALID)) == ["shop created", "web created"]
    found = cluster.server.find("Deployment", "default", "web")
    assert found is not None
    assert found["spec"] == {"replicas": 7}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (403, {"reason": "Forbidden", "message": 'User "a" cannot create deployments'}),
        (403, {"reason": "Forbidden", "message": "exceeded quota: small"}),
        (400, {"reason": "BadRequest", "message": 'admission webhook "a" does not support dry run'}),
        (422, {"reason": "Invalid", "message": "it", "details": {"causes": [{"message": "policy"}]}}),
        (409, {"reason": "AlreadyExists", "message": "it exists"}),
    ],
)  # fmt: skip
def test_what_is_said_of_the_other_namespace_does_not_count(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, code: int, status: dict[str, Any]
) -> None:
    """Its policies, quotas, permissions and objects say nothing of the one that is to be made."""
    monkeypatch.setattr(cluster.server, "send", answering(cluster, code, **status))
    assert lines(cluster.plan(SPACE + VALID)) == ["shop created", "web created"]


def test_a_pod_is_not_tried(cluster: Cluster) -> None:
    """The limits of the other namespace would be written into it, and could make it invalid."""
    known = next(one for one in cluster.server.kinds if one.kind == "ConfigMap")
    cluster.server.kinds.append(replace(known, kind="Pod", plural="pods"))
    pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {}}\n"
    cluster.plan(SPACE + pod)
    assert not [
        path for method, path in cluster.server.requests if "/pods" in path and method == "POST"
    ]


def test_it_is_tried_where_there_is_a_namespace(cluster: Cluster) -> None:
    """In the inventory's own, and in `default` when the artifact brings that one itself."""
    target = cluster.target(namespace="shop")
    wanted = cluster.wanted(SPACE + VALID)
    apply.apply(Proof(wanted.artifact), wanted, target, NO_WAIT)
    (tried,) = [
        path
        for method, path in cluster.server.requests
        if "deployments?" in path and method == "POST"
    ]
    assert "/namespaces/default/" in tried
    cluster.server.put("Namespace", "", "home")
    other = cluster.wanted(SPACE.replace("shop", "two") + VALID.replace("shop", "two"))
    cluster.server.requests.clear()
    apply.plan(other, cluster.target("two", namespace="home"), NO_WAIT)
    (tried,) = [
        path
        for method, path in cluster.server.requests
        if "deployments?" in path and method == "POST"
    ]
    assert "/namespaces/home/" in tried
