"""What a node is told."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from lockgate.deploy.node import addons, configuration, pki
from lockgate.deploy.node.inside import plan
from lockgate.deploy.node.model import KUBERNETES, NodeImage

IMAGE = NodeImage(
    manifest="sha256:" + "1" * 64,
    platform="linux/amd64",
    versions={},
    pause="localhost/lockgate/pause:1",
    dns="localhost/lockgate/coredns:1",
)
INSIDE = {
    "address": "172.17.0.9",
    "forward": "forward . /etc/resolv.conf",
    "policies": "enforced",
}


def files(capabilities: tuple[str, ...] = (), port: int = 5000) -> dict[str, pki.File]:
    """Return the configuration of a cluster `dev`."""
    return configuration.files("dev", IMAGE, capabilities=capabilities, registry_port=port)


def text(path: str, **more: Any) -> str:
    """Return one file as text."""
    return files(**more)[path].data.decode()


def read() -> plan.Plan:
    """Return the plan as the node reads it."""
    return plan.from_json(text(configuration.PLAN), INSIDE)


def test_a_plan_survives_its_file() -> None:
    """What is written is what is read, but for the marks."""
    written = configuration.plan("dev", IMAGE, registry_port=5000)

    found = plan.from_json(
        plan.to_json(written).decode(),
        {"address": plan.ADDRESS, "forward": plan.FORWARD, "policies": "enforced"},
    )

    assert found == written


def test_no_mark_is_left() -> None:
    """Everything that is known only inside is put in when the plan is read."""
    assert plan.ADDRESS not in repr(read())
    assert plan.FORWARD not in repr(read())
    assert "172.17.0.9 registry.localhost" in repr(read())


def test_parts_start_after_parts_that_exist() -> None:
    """`after` names other parts only, and leads in no circle: each can be started in the end."""
    started: set[str] = set()
    parts = list(read().parts)
    while parts:
        can = [one for one in parts if started.issuperset(one.after)]
        assert can, f"never started: {[one.name for one in parts]}"
        started |= {one.name for one in can}
        parts = [one for one in parts if one not in can]

    assert started.issuperset({*KUBERNETES, "etcd", "containerd", "registry"})


def test_policies_are_enforced_where_the_kernel_lets_them() -> None:
    """Without sets of addresses the part that enforces NetworkPolicies is left out, and nothing else."""
    without = plan.from_json(text(configuration.PLAN), {**INSIDE, "policies": ""})

    names = {one.name for one in read().parts}
    assert names - {one.name for one in without.parts} == {"kube-router"}


def test_nothing_but_the_api_and_the_registry_is_open() -> None:
    """Only sockets for etcd; loopback for the controllers."""
    parts = {one.name: one.argv for one in read().parts}

    listening = [one for one in parts["etcd"] if "--listen-" in one]
    assert len(listening) == 2
    assert all("=unix://" in one for one in listening)
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert "--bind-address=127.0.0.1" in parts[name]


def test_every_file_that_is_named_is_there() -> None:
    """Each path below /etc/kubernetes in an argument or the kubelet's configuration is written."""
    secrets = pki.files("dev", api="https://127.0.0.1:1", context="c", now=0, seconds=1)
    there = {*files(), *secrets}
    words = [word for part in read().parts for word in part.argv]
    kubelet = json.loads(text(f"{pki.FOLDER}/kubelet.yaml"))
    words += [f"={kubelet['authentication']['x509']['clientCAFile']}", f"={read().authority}"]
    words += [f"={one}" for one in read().client]

    named = {word.partition("=")[2] for word in words if f"={pki.FOLDER}/" in word}

    assert len(named) > 20
    assert named <= there


@pytest.mark.parametrize("there", [True, False])
def test_protection_from_the_kernel_needs_its_capability(there: bool) -> None:
    """Scores of the out-of-memory killer are lowered only where that is allowed."""
    capabilities = ("SYS_ADMIN", "SYS_RESOURCE") if there else ("SYS_ADMIN",)

    found = tomllib.loads(text("/etc/containerd/config.toml", capabilities=capabilities))

    cri = found["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is not there
    assert cri["sandbox_image"] == IMAGE.pause


def test_the_registry_has_one_name_everywhere() -> None:
    """The port on the machine is the port in the node, for containerd and for the registry itself."""
    hosts = tomllib.loads(
        text("/etc/containerd/certs.d/registry.localhost:5001/hosts.toml", port=5001)
    )

    assert hosts["server"] == "http://127.0.0.1:5001"
    assert json.loads(text("/etc/lockgate/registry.yml", port=5001))["http"]["addr"] == ":5001"


def test_nobody_comes_in_without_a_name() -> None:
    """Kubelet lets in only whom the API server knows and allows."""
    found = json.loads(text(f"{pki.FOLDER}/kubelet.yaml"))

    assert found["authentication"]["anonymous"] == {"enabled": False}
    assert found["authorization"] == {"mode": "Webhook"}


def test_without_a_resolver_dns_asks_nobody() -> None:
    """Where the machine names no resolver, CoreDNS has no `forward` at all."""
    found = plan.from_json(text(configuration.PLAN), {**INSIDE, "forward": ""})

    (corefile,) = [one.body["data"] for one in found.changes if one.body["kind"] == "ConfigMap"]
    assert "forward" not in corefile["Corefile"]


def test_coredns_is_restricted() -> None:
    """Its pod keeps to the restricted Pod Security Standard."""
    (deployment,) = [
        one.body for one in addons.changes("image", "host") if one.body["kind"] == "Deployment"
    ]

    spec = deployment["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_an_object_lies_where_its_path_says() -> None:
    """Name and namespace of each object are those of the path that it is sent to."""
    for change in addons.changes("image", "host"):
        metadata = change.body["metadata"]
        assert change.path.endswith(f"/{metadata['name']}")
        assert ("/namespaces/" in change.path) == ("namespace" in metadata)
