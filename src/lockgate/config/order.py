"""The order in which objects are applied; they are deleted in the reverse. Pure.

As Flux has it (fluxcd/pkg `ssa/sort.go`): what others need comes first, what could refuse the others comes last,
everything else stands between, by group, kind, namespace and name. An object's group counts too: a Knative
`Service` is not the core's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.config.resource import Resource, ResourceId

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"

FIRST = (
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "Namespace"),
    ("cluster.x-k8s.io", "ClusterClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    ("networking.k8s.io", "IngressClass"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "ResourceQuota"),
    ("", "ServiceAccount"),
    (_RBAC, "Role"),
    (_RBAC, "ClusterRole"),
    (_RBAC, "RoleBinding"),
    (_RBAC, "ClusterRoleBinding"),
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "Service"),
    ("", "LimitRange"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("policy", "PodDisruptionBudget"),
)
"""Group and kind of what is applied first, in this order."""

LAST = (
    (_ADMISSION, "MutatingWebhookConfiguration"),
    (_ADMISSION, "ValidatingWebhookConfiguration"),
)
"""Group and kind of what is applied last, in this order."""

_PLACES = {one: at - len(FIRST) for at, one in enumerate(FIRST)} | {
    one: at + 1 for at, one in enumerate(LAST)
}


def place(one: ResourceId) -> tuple[int, ResourceId]:
    """Return the key that ids are sorted by: negative for the first ones, 0 between, positive for the last."""
    return _PLACES.get((one.group, one.kind), 0), one


def order(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Return objects in the order in which they are applied."""
    return tuple(sorted(resources, key=lambda one: place(one.id)))


def order_ids(ids: Iterable[ResourceId]) -> tuple[ResourceId, ...]:
    """Return ids in the order in which their objects are applied; `reversed` gives the one of deletion."""
    return tuple(sorted(ids, key=place))
