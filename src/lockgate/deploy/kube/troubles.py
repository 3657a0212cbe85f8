"""Why a workload is not ready: what its pods say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube.ready import state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind

_WORKLOADS = frozenset(
    (
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("batch", "Job"),
    )
)
_MOST = 3
"""Pods that are shown of one workload; the others mostly say the same."""


def pods(client: Client, kind: Kind, one: ResourceId, *, now: float) -> list[str]:
    """Return a line for each pod of a workload that is not ready; none where nothing can be found out.

    This is told beside an error, so it never raises one of its own.
    """
    if (kind.group, kind.kind) not in _WORKLOADS:
        return []
    try:
        body = client.get(kind, one) or {}
        wanted = ((body.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        served = client.kinds.find("", "Pod")
        if not wanted or served is None:
            return []
        selector = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        page = next(client.pages(served, one.namespace, selector=selector))
    except ClusterError:
        return []
    found = []
    for pod in page.items:
        full: Mapping[str, Any] = {"apiVersion": "v1", "kind": "Pod", **pod}
        state = state_of(full, now=now)
        if not state.is_ready:
            found.append(
                f"  Pod/{one.namespace}/{pod['metadata']['name']}: {state.message or state.phase}"
            )
    return found[:_MOST]
