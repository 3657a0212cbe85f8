"""The node is a real Kubernetes: what Lockgate builds runs on it, is reached, and is limited."""

from __future__ import annotations

import functools
import itertools
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.node import kernel, until

if TYPE_CHECKING:
    from tests.node import Cluster

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def pod(name: str, image: str, **container: Any) -> dict[str, Any]:
    """Return a pod as restricted Pod Security wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "securityContext": RESTRICTED,
                    "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                    **container,
                }
            ],
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 0,
        },
    }


def service(kind: str = "ClusterIP") -> dict[str, Any]:
    """Return the service `door` for the pod `probe`; a pod knows its own name without DNS."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "door"},
        "spec": {
            "type": kind,
            "selector": {"app": "probe"},
            "ports": [{"port": 80, "targetPort": 8080}],
        },
    }


def policy(name: str, app: str, **ways: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a policy for the pods of an app; `ingress` and `egress` say what it allows."""
    kinds = [one.capitalize() for one in ways]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": kinds, **ways},
    }


def run(cluster: Cluster, namespace: str, *objects: dict[str, Any]) -> None:
    """Apply objects to a namespace and wait until its pods are ready."""
    cluster.apply(
        *({**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in objects)
    )
    cluster.kubectl(
        *(
            "wait",
            "pod",
            "--all",
            "--for=condition=Ready",
            "--timeout=180s",
            f"--namespace={namespace}",
        ),
        seconds=240,
    )


def ask(cluster: Cluster, namespace: str, pod_name: str, question: str) -> str:
    """Ask a probe a question through the API server."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod_name}:8080/proxy/{question}"
    return cluster.kubectl("get", "--raw", path).stdout


def test_the_node_is_ready(cluster: Cluster) -> None:
    """One node, ready, with Kubernetes 1.35, of the version that its image is said to have."""
    (node,) = cluster.get("nodes")["items"]

    conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    kubelet = node["status"]["nodeInfo"]["kubeletVersion"]
    assert kubelet.startswith("v1.35.")
    server = json.loads(cluster.kubectl("version", "--output=json").stdout)["serverVersion"]
    assert server["gitVersion"] == kubelet == cluster.versions["kubelet"]


def test_the_machines_kernel_is_left_alone(cluster: Cluster) -> None:
    """Kubelet's wishes for the whole machine end within the node."""
    assert kernel() == cluster.kernel


def test_an_image_of_ours_runs(cluster: Cluster, namespace: str, probe: str) -> None:
    """A pod from an image that Lockgate built is pulled by digest from the registry, and runs as no root."""
    cluster.kubectl(
        *("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    run(cluster, namespace, pod("probe", probe))

    (status,) = cluster.get("pod", "probe", f"--namespace={namespace}")["status"][
        "containerStatuses"
    ]
    assert status["imageID"].endswith(probe.partition("@")[2])
    identity = "import os; print(os.getuid(), os.access('/', os.W_OK))"
    said = cluster.kubectl(
        "exec", f"--namespace={namespace}", "probe", "--", "python3", "-c", identity
    )
    assert said.stdout == "65532 False\n"
    assert cluster.kubectl("logs", f"--namespace={namespace}", "probe").stdout == "listening\n"


def test_names_resolve(cluster: Cluster, namespace: str, probe: str) -> None:
    """Pods find services by name, and the registry under the name that it has outside."""
    run(cluster, namespace, pod("probe", probe), service())
    address = cluster.get("service", "door", f"--namespace={namespace}")["spec"]["clusterIP"]

    names = {
        "kubernetes.default.svc.cluster.local": "10.96.0.1",
        "door": address,
        f"door.{namespace}": address,
        "registry.localhost": cluster.address,
    }
    # CoreDNS follows the API server, and keeps for a while that a name was not there.
    for name, address in names.items():
        found = functools.partial(ask, cluster, namespace, "probe", f"resolve?of={name}")
        until(lambda: found() == address, f"{name} is {address}")  # noqa: B023
    assert ask(cluster, namespace, "probe", "resolve?of=nothing.invalid").startswith("no: ")


def test_services_are_reached(cluster: Cluster, namespace: str, probe: str) -> None:
    """A service answers other pods, its own pod, and this machine at the node's address."""
    run(cluster, namespace, pod("probe", probe), pod("other", probe), service("NodePort"))

    for one in ("probe", "other"):
        # kube-proxy follows what is ready within a moment.
        reached = functools.partial(ask, cluster, namespace, one, "fetch?of=http://door/")
        until(lambda: reached() == "200", f"{one} reaches the service")  # noqa: B023
    found = cluster.get("service", "door", f"--namespace={namespace}")
    port = found["spec"]["ports"][0]["nodePort"]
    place = f"http://{cluster.address}:{port}/"
    # kube-router writes the whole filter table, and so may bring back for a moment what kube-proxy took out of it.
    until(lambda: answered(place) == b"ok", "this machine reaches the service")


def answered(place: str) -> bytes:
    """Return what an address answers to this machine; empty when it cannot be reached."""
    try:
        with urllib.request.urlopen(place, timeout=30) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError:
        raise
    except OSError:
        return b""


def test_pods_reach_the_api_server_and_the_registry(
    cluster: Cluster, namespace: str, probe: str
) -> None:
    """The API server's certificate is good for the name that pods use; the registry answers them."""
    run(cluster, namespace, pod("probe", probe))

    for place in ("https://kubernetes.default.svc/version", f"http://{cluster.registry}/v2/"):
        reached = functools.partial(ask, cluster, namespace, "probe", f"fetch?of={place}")
        until(lambda: reached() == "200", f"the probe reaches {place}")  # noqa: B023


def test_network_policies_are_enforced(cluster: Cluster, namespace: str, probe: str) -> None:
    """Whom a policy does not name cannot get in, or out; whom it names can, and kubelet always."""

    def fetched(by: str, at: str = "door") -> str:
        return ask(cluster, namespace, by, f"fetch?of=http://{at}/")

    run(cluster, namespace, *(pod(one, probe) for one in ("probe", "friend", "other")), service())
    for one in ("friend", "other"):
        until(lambda: fetched(one) == "200", f"{one} reaches the service without policies")  # noqa: B023

    friends = [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}]
    run(cluster, namespace, policy("in", "probe", ingress=friends))

    # A policy refuses at once; a machine that is busy only lets one wait.
    until(lambda: "refused" in fetched("other"), "other is kept out")
    until(lambda: fetched("friend") == "200", "friend still reaches the service")

    # Without a name, which it could not resolve either.
    friend = cluster.get("pod", "friend", f"--namespace={namespace}")["status"]["podIP"]
    until(lambda: fetched("other", f"{friend}:8080") == "200", "other reaches friend")
    run(cluster, namespace, policy("out", "other", egress=[]))

    until(lambda: "refused" in fetched("other", f"{friend}:8080"), "other is kept in")
    until(
        lambda: ask(cluster, namespace, "other", "resolve?of=door").startswith("no: "),
        "other has no names either",
    )
    # Each answer came through the API server and the node, which no policy keeps out: kubelet's probes come so, too.
    assert ask(cluster, namespace, "probe", "") == "ok"

    cluster.kubectl("delete", "networkpolicy", "--all", f"--namespace={namespace}")
    until(lambda: fetched("other") == "200", "other reaches the service again")


def test_memory_is_limited(cluster: Cluster, namespace: str, probe: str) -> None:
    """A container that takes more memory than its limit is ended by the kernel, and Kubernetes says so."""

    def ended(name: str) -> dict[str, Any]:
        found = cluster.get("pod", name, f"--namespace={namespace}")["status"]
        (status,) = found.get("containerStatuses", [{}])
        terminated: dict[str, Any] = status.get("state", {}).get("terminated", {})
        return terminated

    numbers = itertools.count()

    def killed() -> bool:
        name = f"greedy-{next(numbers)}"
        greedy = pod(name, probe, args=["eat"], resources={"limits": {"memory": "64Mi"}})
        greedy["spec"]["containers"][0]["command"] = ["python3", "/app/app.py"]
        greedy["spec"]["restartPolicy"] = "Never"
        cluster.apply({**greedy, "metadata": {**greedy["metadata"], "namespace": namespace}})
        until(lambda: ended(name) != {}, "the greedy container ends")
        assert ended(name)["exitCode"] == 137
        return bool(ended(name)["reason"] == "OOMKilled")

    # containerd hears of the end and of its reason apart; where the end comes first, kubelet says `Error`.
    until(killed, "the reason is told")


def test_an_unknown_image_is_not_run(cluster: Cluster, namespace: str) -> None:
    """An image that the registry does not have is an error of the pod, by name."""
    absent = pod("absent", f"{cluster.registry}/absent@sha256:{'0' * 64}")
    cluster.apply({**absent, "metadata": {**absent["metadata"], "namespace": namespace}})

    def waiting() -> str:
        found = cluster.get("pod", "absent", f"--namespace={namespace}")["status"]
        (status,) = found.get("containerStatuses", [{}])
        return str(status.get("state", {}).get("waiting", {}).get("reason", ""))

    until(lambda: waiting() in ("ErrImagePull", "ImagePullBackOff"), "the pull fails")
