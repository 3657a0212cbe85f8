"""What rules look at: the pods that objects describe, their containers, and what selects what. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.config.resource import ResourceId

if TYPE_CHECKING:
    from lockgate.config.resource import Resource

_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): ("spec", "template"),
}
"""Group and kind of what describes pods, and where the description stands."""

SERVING = frozenset((("apps", "DaemonSet"), ("apps", "Deployment"), ("apps", "StatefulSet")))
"""What keeps pods running until it is told otherwise."""

CLUSTER_SCOPED = frozenset(
    (
        ("", "Namespace"),
        ("", "Node"),
        ("", "PersistentVolume"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("kyverno.io", "ClusterPolicy"),
        ("networking.k8s.io", "IngressClass"),
        ("node.k8s.io", "RuntimeClass"),
        ("policies.kyverno.io", "ImageValidatingPolicy"),
        ("policies.kyverno.io", "ValidatingPolicy"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "StorageClass"),
    )
)
"""Group and kind of what lies in no namespace."""


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else: the schemas say what is wrong with that."""
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> Sequence[Mapping[str, Any]]:
    """Return the mappings of a list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def at(value: object, *path: str) -> Any:
    """Return what stands below mappings, or None."""
    for key in path:
        value = mapping(value).get(key)
    return value


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod."""

    body: Mapping[str, Any]
    where: str
    """`spec.template.spec.containers[0]`."""
    main: bool
    """False for one that runs before the others and ends, or is put into a running pod."""

    @property
    def image(self) -> str:
        """Its image reference, as it is written."""
        return str(self.body.get("image") or "")

    @property
    def ports(self) -> Sequence[Mapping[str, Any]]:
        """The ports that it declares."""
        return listed(self.body.get("ports"))


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that an object is, or describes."""

    owner: Resource
    body: Mapping[str, Any]
    """The template: metadata and spec."""
    where: str
    """`spec.template`, or nothing for a Pod itself."""

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return self.owner.id.namespace

    @property
    def key(self) -> tuple[ResourceId, str]:
        """What tells it from every other pod that is described."""
        return self.owner.id, self.where

    @property
    def serving(self) -> bool:
        """True when something keeps it running."""
        return (self.owner.id.group, self.owner.id.kind) in SERVING

    @property
    def labels(self) -> Mapping[str, Any]:
        """What selectors are compared with."""
        return mapping(at(self.body, "metadata", "labels"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's specification."""
        return mapping(self.body.get("spec"))

    @property
    def containers(self) -> tuple[Container, ...]:
        """Every container; those that run beside each other first."""
        kinds = ("containers", "initContainers", "ephemeralContainers")
        prefix = self.path("spec")
        return tuple(
            # A container that starts first and is restarted always is a sidecar: it runs beside the others.
            Container(one, f"{prefix}.{kind}[{at_}]", kind == kinds[0] or _sidecar(kind, one))
            for kind in kinds
            for at_, one in enumerate(listed(self.spec.get(kind)))
        )

    def path(self, field: str) -> str:
        """Return the path of a field of the template, from the owner's root."""
        return f"{self.where}.{field}" if self.where else field

    def port(self, wanted: object) -> int | None:
        """Return the number of a declared port, asked for by number or name; None when there is none.

        A number needs no declaration: Kubernetes takes it as it is.
        """
        if isinstance(wanted, int):
            return wanted
        for container in self.containers:
            for one in container.ports:
                if one.get("name") == wanted and isinstance(one.get("containerPort"), int):
                    return int(one["containerPort"])
        return None


def _sidecar(kind: str, container: Mapping[str, Any]) -> bool:
    return kind == "initContainers" and container.get("restartPolicy") == "Always"


@dataclass(frozen=True)
class Resources:
    """All objects of one environment, with what else a rule needs to know."""

    resources: tuple[Resource, ...]
    components: Mapping[str, tuple[int, str]]
    """Port and readiness path of each component, by its name."""
    development: bool
    """Whether secrets that are written out are accepted."""

    @functools.cached_property
    def pods(self) -> tuple[Pod, ...]:
        """Every pod that they describe."""
        return tuple(_pods(self.resources))

    def component(self, image: str) -> tuple[int, str] | None:
        """Return port and readiness path of the component that an image is, pinned or not; None when it is none."""
        name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        return self.components.get(name)

    @functools.cached_property
    def _kinds(self) -> Mapping[tuple[str, str], list[Resource]]:
        found: dict[tuple[str, str], list[Resource]] = {}
        for one in self.resources:
            found.setdefault((one.id.group, one.id.kind), []).append(one)
        return found

    def kind(self, group: str, kind: str) -> Sequence[Resource]:
        """Return the objects of a group and kind."""
        return self._kinds.get((group, kind), ())

    @functools.cached_property
    def _ids(self) -> Mapping[ResourceId, Resource]:
        return {one.id: one for one in self.resources}

    def find(self, group: str, kind: str, namespace: str, name: object) -> Resource | None:
        """Return one object by its id, or None."""
        wanted = ResourceId(group=group, kind=kind, namespace=namespace, name=str(name))
        return self._ids.get(wanted)

    @functools.cached_property
    def _places(self) -> Mapping[tuple[str, ...], Sequence[Pod]]:
        """The pods of each namespace, and those among them that have a label."""
        found: dict[tuple[str, ...], list[Pod]] = {}
        for one in self.pods:
            found.setdefault((one.namespace,), []).append(one)
            for key, value in one.labels.items():
                found.setdefault((one.namespace, str(key), str(value)), []).append(one)
        return found

    def selected(self, namespace: str, selector: object) -> Sequence[Pod]:
        """Return the pods of a namespace that a label selector matches."""
        # Any one of the labels narrows them down, so that thousands of objects are not each compared with each.
        labels = mapping(at(selector, "matchLabels"))
        some = next(((namespace, str(key), str(value)) for key, value in labels.items()), None)
        near = self._places.get(some or (namespace,), ())
        return [one for one in near if matches(selector, one.labels)]

    @functools.cached_property
    def _policies(self) -> Mapping[tuple[ResourceId, str], Sequence[Resource]]:
        found: dict[tuple[ResourceId, str], list[Resource]] = {}
        for one in self.kind("networking.k8s.io", "NetworkPolicy"):
            for pod in self.selected(one.id.namespace, at(one.body, "spec", "podSelector")):
                found.setdefault(pod.key, []).append(one)
        return found

    def policies(self, pod: Pod) -> Sequence[Resource]:
        """Return the NetworkPolicies that select a pod."""
        return self._policies.get(pod.key, ())

    def backends(self, service: Resource) -> Sequence[Pod]:
        """Return the pods behind a Service; none for one that selects nothing."""
        selector = at(service.body, "spec", "selector")
        if not mapping(selector):
            return ()
        return self.selected(service.id.namespace, {"matchLabels": selector})


def _pods(resources: Sequence[Resource]) -> Iterator[Pod]:
    for one in resources:
        path = _TEMPLATES.get((one.id.group, one.id.kind))
        if path is not None:
            yield Pod(one, mapping(at(one.body, *path)), ".".join(path))


def matches(selector: object, labels: Mapping[str, Any]) -> bool:
    """True when a label selector fits labels (meta/v1, LabelSelector). The empty one fits all."""
    wanted = mapping(at(selector, "matchLabels"))
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _fits(one, labels) for one in listed(at(selector, "matchExpressions"))
    )


def _fits(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, written = str(expression.get("key")), expression.get("values")
    values = written if isinstance(written, list) else ()
    present = key in labels
    return {
        "In": present and labels.get(key) in values,
        "NotIn": not present or labels.get(key) not in values,
        "Exists": present,
        "DoesNotExist": not present,
    }.get(str(expression.get("operator")), False)
