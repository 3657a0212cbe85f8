"""Rules about what objects say of each other: selectors, ports, references, numbers of replicas. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.config.rule import Broken, rule
from lockgate.config.workloads import CLUSTER_SCOPED, at, listed, mapping, matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lockgate.config.resource import Resource, ResourceId
    from lockgate.config.workloads import Pod, Resources

_SEALED = "ENC[AES256_GCM,"
"""Start of a value that SOPS has encrypted."""

_DEPLOYMENT, _STATEFUL = ("apps", "Deployment"), ("apps", "StatefulSet")


@rule("set `namespace:` in the overlay's kustomization")
def namespace_own(found: Resources) -> Iterator[Broken]:
    """What names no namespace lands in whichever one a person happens to be in.

    `default` and those of Kubernetes itself are shared with everyone, and so are what rules them.
    """
    for one in found.resources:
        if (one.id.group, one.id.kind) in CLUSTER_SCOPED:
            continue
        namespace = one.id.namespace
        if not namespace:
            yield Broken(one, "metadata.namespace", "it is not set")
        elif namespace == "default" or namespace.startswith("kube-"):
            yield Broken(one, "metadata.namespace", f"`{namespace}` is nobody's own")


@rule("label it `pod-security.kubernetes.io/enforce: restricted`, with an `enforce-version`")
def namespace_restricted(found: Resources) -> Iterator[Broken]:
    """The API server enforces what these rules only read: a pod that somebody else brings is refused, too.

    With a version, so that an upgrade of the cluster does not change what is admitted.
    """
    for one in found.kind("", "Namespace"):
        labels = mapping(at(one.body, "metadata", "labels"))
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield Broken(one, "metadata.labels", "`restricted` is not enforced")
        elif labels.get("pod-security.kubernetes.io/enforce-version") in (None, "latest"):
            yield Broken(one, "metadata.labels", "the version that is enforced is not named")


@rule("make the selector's labels those of the pods")
def selector_matches(found: Resources) -> Iterator[Broken]:
    """A selector that matches no pod is accepted without a word, and then nothing is reached, kept or protected."""
    for pod in found.pods:
        selector = at(pod.owner.body, "spec", "selector")
        if pod.serving and (not _says(selector) or not matches(selector, pod.labels)):
            yield Broken(pod.owner, "spec.selector", "it does not match the pod's own labels")
        for number, spread in enumerate(listed(pod.spec.get("topologySpreadConstraints"))):
            if not matches(spread.get("labelSelector"), pod.labels):
                where = pod.path(f"spec.topologySpreadConstraints[{number}].labelSelector")
                yield Broken(pod.owner, where, "it does not match the pod's own labels")
    for service in found.kind("", "Service"):
        if at(service.body, "spec", "selector") and not found.backends(service):
            yield Broken(service, "spec.selector", "it matches no pod")
    for group, kind, field in (
        ("policy", "PodDisruptionBudget", "selector"),
        ("networking.k8s.io", "NetworkPolicy", "podSelector"),
    ):
        for one in found.kind(group, kind):
            selector = at(one.body, "spec", field)
            if _says(selector) and not found.selected(one.id.namespace, selector):
                yield Broken(one, f"spec.{field}", "it matches no pod")


def _says(selector: object) -> bool:
    return bool(at(selector, "matchLabels") or at(selector, "matchExpressions"))


@rule("name the container's port, and let `targetPort` be that name")
def service_port(found: Resources) -> Iterator[Broken]:
    """A Service whose port no container opens accepts connections and refuses each of them."""
    for service in found.kind("", "Service"):
        for number, port in enumerate(listed(at(service.body, "spec", "ports"))):
            target = port.get("targetPort", port.get("port"))
            for pod in found.backends(service):
                declared = [
                    one.get(field)
                    for container in pod.containers
                    for one in container.ports
                    for field in ("name", "containerPort")
                ]
                if target not in declared:
                    text = f"{pod.owner.id.label} declares no port {target!r}"
                    yield Broken(service, f"spec.ports[{number}].targetPort", text)


@rule("write the component's `port` of `lockgate.yaml` as `containerPort`")
def component_port(found: Resources) -> Iterator[Broken]:
    """The image listens on the port of the component's settings, which is also the `PORT` in it."""
    for pod in found.pods:
        for container in pod.containers:
            component = found.component(container.image)
            ports = [one.get("containerPort") for one in container.ports]
            if component is not None and container.main and ports and component[0] not in ports:
                text = f"the component listens on {component[0]}"
                yield Broken(pod.owner, f"{container.where}.ports", text)


@rule("add what is named to the manifests, or correct the name")
def reference_exists(found: Resources) -> Iterator[Broken]:
    """A pod that names a ConfigMap or an account that is not there waits for it for ever, without an error.

    Secrets may come from elsewhere; when they are among the manifests, the named key must be in them.
    """
    for pod in found.pods:
        account = pod.spec.get("serviceAccountName")
        if account not in (None, "", "default") and not found.find(
            "", "ServiceAccount", pod.namespace, account
        ):
            where = pod.path("spec.serviceAccountName")
            yield Broken(pod.owner, where, f"there is no ServiceAccount `{account}`")
        for kind, name, keys in _references(pod):
            there = found.find("", kind, pod.namespace, name)
            if there is None:
                if kind == "ConfigMap":
                    yield Broken(pod.owner, pod.path("spec"), f"there is no ConfigMap `{name}`")
                continue
            fields = [mapping(there.body.get(one)) for one in ("data", "stringData", "binaryData")]
            for key in keys:
                if not any(key in field for field in fields):
                    text = f"{kind} `{name}` has no key `{key}`"
                    yield Broken(pod.owner, pod.path("spec"), text)
    for one in found.kind(*_STATEFUL):
        name = at(one.body, "spec", "serviceName")
        if name and not found.find("", "Service", one.id.namespace, name):
            yield Broken(one, "spec.serviceName", f"there is no Service `{name}`")


_KINDS = (("configMap", "ConfigMap"), ("secret", "Secret"))


def _references(pod: Pod) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield kind, name and keys of each ConfigMap and Secret that a pod cannot start without."""
    for volume in listed(pod.spec.get("volumes")):
        for source in (volume, *listed(at(volume, "projected", "sources"))):
            for field, kind in _KINDS:
                one = mapping(source.get(field))
                keys = [str(item.get("key")) for item in listed(one.get("items"))]
                yield from _needed(kind, one, keys)
    for container in pod.containers:
        for variable in listed(container.body.get("env")):
            for field, kind in _KINDS:
                one = mapping(at(variable, "valueFrom", f"{field}KeyRef"))
                yield from _needed(kind, one, [str(one.get("key"))])
        for source in listed(container.body.get("envFrom")):
            for field, kind in _KINDS:
                yield from _needed(kind, mapping(source.get(f"{field}Ref")), [])


def _needed(
    kind: str, reference: Mapping[str, Any], keys: list[str]
) -> Iterator[tuple[str, Any, list[str]]]:
    if reference and not reference.get("optional"):
        # A volume's Secret has another word for its name than every other reference.
        yield kind, reference.get("secretName") or reference.get("name"), keys


@rule("take `replicas` out of what the autoscaler rules")
def autoscaler_rules(found: Resources) -> Iterator[Broken]:
    """With `replicas` written down, every apply sets back what the autoscaler has set."""
    for scaler in found.kind("autoscaling", "HorizontalPodAutoscaler"):
        target = _target(found, scaler)
        if target is None:
            yield Broken(scaler, "spec.scaleTargetRef", "it names nothing that is here")
            continue
        if at(target.body, "spec", "replicas") is not None:
            yield Broken(target, "spec.replicas", f"{scaler.id.label} rules them")
        least, most = (at(scaler.body, "spec", name) for name in ("minReplicas", "maxReplicas"))
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield Broken(scaler, "spec.minReplicas", "it is above `maxReplicas`")


def _target(found: Resources, scaler: Resource) -> Resource | None:
    wanted = mapping(at(scaler.body, "spec", "scaleTargetRef"))
    group = str(wanted.get("apiVersion", "")).rpartition("/")[0]
    kind = str(wanted.get("kind", ""))
    return found.find(group, kind, scaler.id.namespace, wanted.get("name"))


@rule("use `maxUnavailable: 1`")
def disruption_possible(found: Resources) -> Iterator[Broken]:
    """A budget that spares no pod blocks the drain of a node for ever, and with it the cluster's upgrade."""
    least_of = _ruled(found)
    for one in found.kind("policy", "PodDisruptionBudget"):
        spec = mapping(one.body.get("spec"))
        if spec.get("maxUnavailable") in (0, "0", "0%"):
            yield Broken(one, "spec.maxUnavailable", "no pod may ever go")
        least = spec.get("minAvailable")
        owners = {pod.owner.id: pod.owner for pod in _protected(found, one)}
        for owner in owners.values():
            count = _replicas(least_of, owner)
            if least == "100%" or (isinstance(least, int) and least >= count):
                text = f"no pod of {owner.id.label} may ever go: it has {count}"
                yield Broken(one, "spec.minAvailable", text)


@rule("add a PodDisruptionBudget with `maxUnavailable: 1`")
def disruption_limited(found: Resources) -> Iterator[Broken]:
    """Without a budget two nodes that are drained at once may take all replicas along."""
    protected = {
        pod.owner.id
        for one in found.kind("policy", "PodDisruptionBudget")
        for pod in _protected(found, one)
    }
    least_of = _ruled(found)
    for pod in found.pods:
        one = pod.owner
        if (one.id.group, one.id.kind) not in (_DEPLOYMENT, _STATEFUL) or one.id in protected:
            continue
        if _replicas(least_of, one) > 1:
            yield Broken(one, "spec", "it has several replicas and no PodDisruptionBudget")


def _protected(found: Resources, budget: Resource) -> Sequence[Pod]:
    return found.selected(budget.id.namespace, at(budget.body, "spec", "selector"))


def _ruled(found: Resources) -> dict[ResourceId, int]:
    """Return how many replicas there are at least of what an autoscaler rules."""
    least = {}
    for scaler in found.kind("autoscaling", "HorizontalPodAutoscaler"):
        target, count = _target(found, scaler), at(scaler.body, "spec", "minReplicas")
        if target is not None:
            least[target.id] = count if isinstance(count, int) else 1
    return least


def _replicas(ruled: Mapping[ResourceId, int], owner: Resource) -> int:
    """Return how many replicas there are at least."""
    written = at(owner.body, "spec", "replicas")
    return ruled.get(owner.id, written if isinstance(written, int) else 1)


@rule("set `strategy.rollingUpdate` to `maxUnavailable: 0` and `maxSurge: 1`")
def upgrade_rolling(found: Resources) -> Iterator[Broken]:
    """A new revision takes over pod by pod, and an old pod goes only when a new one is ready."""
    for one in found.kind(*_DEPLOYMENT):
        strategy = mapping(at(one.body, "spec", "strategy"))
        rolling = mapping(strategy.get("rollingUpdate"))
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            yield Broken(one, "spec.strategy.type", "all pods go before the first new one comes")
        elif rolling.get("maxUnavailable") not in (0, "0", "0%"):
            where = "spec.strategy.rollingUpdate.maxUnavailable"
            yield Broken(one, where, "pods go before new ones are ready")


@rule(
    "take the Secret out: outside of development it comes from the platform, or is encrypted with SOPS"
)
def secret_written(found: Resources) -> Iterator[Broken]:
    """Base64 is no encryption: what is written out is known to everyone who can read the manifests.

    Accepted where the environment accepts what is made for development (`development_key`), and when SOPS has
    encrypted each of them.
    """
    for one in found.kind("", "Secret"):
        for field in ("data", "stringData") if not found.development else ():
            values = mapping(one.body.get(field)).values()
            if not all(str(value).startswith(_SEALED) for value in values):
                yield Broken(one, field, "the Secret's values are written out")


RULES = (
    namespace_own,
    namespace_restricted,
    selector_matches,
    service_port,
    component_port,
    reference_exists,
    autoscaler_rules,
    disruption_possible,
    disruption_limited,
    upgrade_rolling,
    secret_written,
)
