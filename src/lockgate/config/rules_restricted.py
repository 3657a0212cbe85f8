"""The rule `pod-restricted`: what the API server's admission refuses in a namespace that enforces `restricted`. Pure.

It follows the Pod Security Standards of Kubernetes 1.35, levels baseline and restricted, for Linux pods
(<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.config.rule import Broken, rule
from lockgate.config.workloads import at, listed, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lockgate.config.workloads import Pod, Resources

_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILES = ("RuntimeDefault", "Localhost")


@rule("see `k8s/base/deployment.yaml` for a pod that conforms")
def pod_restricted(found: Resources) -> Iterator[Broken]:
    """A pod runs as a plain user, without rights over the node or its neighbours.

    The API server refuses any other one in a namespace that enforces it; here it is known before.
    """
    for pod in found.pods:
        for where, text in (*_of_pod(pod), *_of_containers(pod)):
            yield Broken(pod.owner, pod.path(where), text)


def _of_pod(pod: Pod) -> Iterator[tuple[str, str]]:
    spec = pod.spec
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"spec.{field}", "it shares the node's"
    for number, volume in enumerate(listed(spec.get("volumes"))):
        for kind in sorted(set(volume) - {"name"} - _VOLUMES):
            yield f"spec.volumes[{number}].{kind}", "this kind of volume is not allowed"
    for number, one in enumerate(listed(at(spec, "securityContext", "sysctls"))):
        if str(one.get("name")) not in _SYSCTLS:
            yield f"spec.securityContext.sysctls[{number}]", "it is not one of the safe ones"
    yield from _of_context(mapping(spec.get("securityContext")), "spec.securityContext")


def _of_containers(pod: Pod) -> Iterator[tuple[str, str]]:
    shared = mapping(pod.spec.get("securityContext"))
    for container in pod.containers:
        where = container.where.removeprefix(f"{pod.where}." if pod.where else "")
        own = mapping(container.body.get("securityContext"))
        context = f"{where}.securityContext"
        yield from _of_context(own, context)
        if own.get("privileged"):
            yield f"{context}.privileged", "it has every right over the node"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{context}.allowPrivilegeEscalation", "it is not `false`"
        if own.get("procMount") not in (None, "Default"):
            yield f"{context}.procMount", "it is not the default"
        yield from _capabilities(own, context)
        if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
            yield f"{context}.runAsNonRoot", "it may run as root"
        profile = own.get("seccompProfile", shared.get("seccompProfile"))
        if at(profile, "type") not in _PROFILES:
            yield f"{context}.seccompProfile.type", "system calls are not limited"
        for number, port in enumerate(container.ports):
            if port.get("hostPort"):
                yield f"{where}.ports[{number}].hostPort", "it takes a port of the node"
        yield from _hosts(container.body, where)


def _of_context(context: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Yield what neither a pod's nor a container's security context may say."""
    if context.get("runAsUser") == 0:
        yield f"{where}.runAsUser", "it is root"
    if at(context, "seccompProfile", "type") == "Unconfined":
        yield f"{where}.seccompProfile.type", "system calls are not limited"
    if at(context, "appArmorProfile", "type") == "Unconfined":
        yield f"{where}.appArmorProfile.type", "AppArmor is turned off"
    selinux = mapping(context.get("seLinuxOptions"))
    if selinux.get("type", "") not in _SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{where}.seLinuxOptions", "its user, role or type is not allowed"
    if at(context, "windowsOptions", "hostProcess"):
        yield f"{where}.windowsOptions.hostProcess", "it is a process of the node"


def _capabilities(context: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    if "ALL" not in _words(at(context, "capabilities", "drop")):
        yield f"{where}.capabilities.drop", "`ALL` is not among them"
    more = _words(at(context, "capabilities", "add")) - {"NET_BIND_SERVICE"}
    if more:
        yield f"{where}.capabilities.add", f"{', '.join(sorted(more))} is not allowed"


def _words(value: object) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else set()


def _hosts(container: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Yield probes and hooks that ask another host: the kubelet would reach it from the node's network."""
    hooks = [(name, container.get(name)) for name in _PROBES]
    hooks += [(f"lifecycle.{name}", at(container, "lifecycle", name)) for name in _HOOKS]
    for name, hook in hooks:
        for kind in ("httpGet", "tcpSocket"):
            if at(hook, kind, "host"):
                yield f"{where}.{name}.{kind}.host", "it asks another host"


_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS = ("postStart", "preStop")

RULES = (pod_restricted,)
