"""The nodes of a cluster, asked of its API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import RemoteError
from lockgate.deploy.kube import kubeconfig as files
from lockgate.deploy.kube.client import Client
from lockgate.deploy.kube.connection import Connection
from lockgate.deploy.kube.discovery import Kind
from lockgate.deploy.node.model import ClusterNode

if TYPE_CHECKING:
    from pathlib import Path

_NODE = Kind("", "v1", "Node", "nodes", namespaced=False, verbs=frozenset({"list"}))


class _Typed(Foreign, frozen=True):
    type: str = ""
    status: str = ""
    address: str = ""


class _Info(Foreign, frozen=True, rename="camel"):
    kubelet_version: str = ""
    container_runtime_version: str = ""


class _Status(Foreign, frozen=True, rename="camel"):
    conditions: tuple[_Typed, ...] = ()
    addresses: tuple[_Typed, ...] = ()
    node_info: _Info = _Info()


class _Named(Foreign, frozen=True):
    name: str = ""


class _Node(Foreign, frozen=True):
    metadata: _Named = _Named()
    status: _Status = _Status()


def nodes(kubeconfig: Path, context: str) -> tuple[ClusterNode, ...]:
    """Return the nodes, sorted by name.

    Args:
        kubeconfig: path of the file.
        context: which of its contexts; empty: the only one that there is.

    Raises:
        UsageError: there is no such file or context.
        RemoteError: the API server is out of reach, or refuses.
    """
    access = files.read(file=str(kubeconfig), context=context, root=kubeconfig.parent, environ={})
    try:
        with Connection(access) as connection:
            # Whoever waits for a cluster asks again; there is nothing to be patient about here.
            client = Client(connection, patience=0.0)
            listed = [one for page in client.pages(_NODE) for one in page.items]
        found = msgspec.convert(listed, tuple[_Node, ...])
    except (RemoteError, msgspec.ValidationError) as error:
        raise RemoteError(
            f"the API server of context {access.context} does not list its nodes: {error}",
            hint="`inv cluster.status` again, once it is up and reachable",
            retryable=True,
        ) from None
    return tuple(sorted(map(_node, found), key=lambda one: one.name))


def _node(one: _Node) -> ClusterNode:
    conditions = {found.type: found.status for found in one.status.conditions}
    addresses = {found.type: found.address for found in one.status.addresses}
    return ClusterNode(
        name=one.metadata.name,
        ready=conditions.get("Ready") == "True",
        kubelet=one.status.node_info.kubelet_version,
        runtime=one.status.node_info.container_runtime_version,
        address=addresses.get("InternalIP", ""),
    )
