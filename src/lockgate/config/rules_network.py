"""Rules about who may talk to whom: every pod is covered, nothing is open to all, and what must pass can. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.config.rule import Broken, rule
from lockgate.config.workloads import at, listed, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lockgate.config.resource import Resource
    from lockgate.config.workloads import Pod, Resources

_ANYWHERE = ("0.0.0.0/0", "::/0")
_SIDES = (("Ingress", "from"), ("Egress", "to"))


@rule("select the pod in a NetworkPolicy for each of the two ways")
def network_covered(found: Resources) -> Iterator[Broken]:
    """A pod that no NetworkPolicy selects may talk to everything, and everything to it.

    Both ways count: what gets in by one of them wants to get out by the other.
    """
    for pod in found.pods:
        for side, _ in _SIDES:
            if not any(side in _types(one) for one in found.policies(pod)):
                yield Broken(pod.owner, pod.path("metadata.labels"), f"{side} is not limited")


@rule(
    "add a NetworkPolicy with `podSelector: {}`, `policyTypes: [Ingress, Egress]` and nothing that it allows"
)
def network_default(found: Resources) -> Iterator[Broken]:
    """The next pod in the namespace is closed before anyone has thought of a policy for it."""
    closed = {
        one.id.namespace
        for one in found.kind("networking.k8s.io", "NetworkPolicy")
        if not mapping(at(one.body, "spec", "podSelector"))
        and {"Ingress", "Egress"} <= set(_types(one))
        and not at(one.body, "spec", "ingress")
        and not at(one.body, "spec", "egress")
    }
    seen: set[str] = set()
    for pod in found.pods:
        if pod.namespace not in closed | seen:
            seen.add(pod.namespace)
            text = f"nothing in {pod.namespace or 'its namespace'} is closed by default"
            yield Broken(pod.owner, "metadata.namespace", text)


@rule("name who may pass, by `podSelector` and `namespaceSelector`, and the port")
def network_narrow(found: Resources) -> Iterator[Broken]:
    """A policy that lets everyone pass covers a pod in name only."""
    for one in found.kind("networking.k8s.io", "NetworkPolicy"):
        for side, peers in _SIDES:
            field = side.lower()
            for number, entry in enumerate(listed(at(one.body, "spec", field))):
                where = f"spec.{field}[{number}]"
                if not entry.get(peers):
                    yield Broken(one, where, "it lets everyone pass")
                for peer in listed(entry.get(peers)):
                    if _everyone(peer):
                        yield Broken(one, f"{where}.{peers}", "it lets everyone pass")
                if not entry.get("ports"):
                    yield Broken(one, where, "it lets pass to every port")


def _everyone(peer: Mapping[str, Any]) -> bool:
    if at(peer, "ipBlock", "cidr") in _ANYWHERE:
        return True
    # An empty selector of namespaces is all of them; with pods named beside it, it is only those.
    selector = peer.get("namespaceSelector")
    return selector is not None and not mapping(selector) and not mapping(peer.get("podSelector"))


@rule("allow the Service's port in a NetworkPolicy of its pods")
def network_reaches(found: Resources) -> Iterator[Broken]:
    """A Service in front of pods that nothing may reach is a mistake in one of the two."""
    for service in found.kind("", "Service"):
        for number, port in enumerate(listed(at(service.body, "spec", "ports"))):
            target = port.get("targetPort", port.get("port"))
            for pod in found.backends(service):
                wanted = pod.port(target)
                protocol = str(port.get("protocol", "TCP"))
                if wanted is not None and not _admitted(found, pod, wanted, protocol):
                    text = f"no NetworkPolicy lets anyone reach {pod.owner.id.label} there"
                    yield Broken(service, f"spec.ports[{number}]", text)


@rule("allow UDP and TCP port 53 to the cluster's DNS in a NetworkPolicy")
def network_resolves(found: Resources) -> Iterator[Broken]:
    """Whatever a pod wants to reach it reaches by name; without DNS it waits for ten seconds and fails."""
    for pod in found.pods:
        egress = [one for one in found.policies(pod) if "Egress" in _types(one)]
        entries = [entry for one in egress for entry in listed(at(one.body, "spec", "egress"))]
        talks = any(not _only_dns(entry) for entry in entries)
        if talks and not any(_lets(entry, pod, 53, "UDP") for entry in entries):
            text = "it may reach others, and not the DNS that knows their addresses"
            yield Broken(pod.owner, pod.path("metadata.labels"), text)


def _only_dns(entry: Mapping[str, Any]) -> bool:
    ports = listed(entry.get("ports"))
    return bool(ports) and all(one.get("port") == 53 for one in ports)


def _types(policy: Resource) -> tuple[str, ...]:
    """Return the sides that a policy limits (networking.k8s.io/v1, NetworkPolicySpec.policyTypes)."""
    spec = mapping(policy.body.get("spec"))
    written = spec.get("policyTypes")
    if isinstance(written, list):
        return tuple(map(str, written))
    return ("Ingress", "Egress") if spec.get("egress") is not None else ("Ingress",)


def _admitted(found: Resources, pod: Pod, port: int, protocol: str) -> bool:
    """True when some policy lets someone reach a port of a pod, or none limits it."""
    limiting = [one for one in found.policies(pod) if "Ingress" in _types(one)]
    if not limiting:
        return True
    return any(
        _lets(entry, pod, port, protocol)
        for one in limiting
        for entry in listed(at(one.body, "spec", "ingress"))
    )


def _lets(entry: Mapping[str, Any], pod: Pod, port: int, protocol: str) -> bool:
    """True when an entry of a policy speaks of a port."""
    ports = listed(entry.get("ports"))
    if not ports:
        return True
    for one in ports:
        if one.get("protocol", "TCP") != protocol:
            continue
        first = pod.port(one.get("port")) if one.get("port") is not None else port
        last = one.get("endPort", first)
        if isinstance(first, int) and isinstance(last, int) and first <= port <= last:
            return True
    return False


RULES = (network_default, network_covered, network_narrow, network_reaches, network_resolves)
