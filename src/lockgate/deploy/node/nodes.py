"""The nodes of a cluster, asked of its API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.base.errors import RemoteError, UsageError
from lockgate.deploy.node.model import ClusterNode

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 10.0


def nodes(kubeconfig: Path, context: str) -> tuple[ClusterNode, ...]:
    """Return the nodes, sorted by name.

    Args:
        kubeconfig: path of the file.
        context: which of its contexts; empty: its current one.

    Raises:
        UsageError: there is no such file or context.
        RemoteError: the API server is out of reach, or refuses.
    """
    import httpx2
    from lightkube import Client, KubeConfig
    from lightkube.core.exceptions import ApiError, ConfigError
    from lightkube.resources.core_v1 import Node

    try:
        config = KubeConfig.from_file(kubeconfig).get(context or None)
        client: Any = Client(config, timeout=httpx2.Timeout(_SECONDS), trust_env=False)
        found = [_node(one) for one in client.list(Node)]
    except ConfigError as error:
        raise UsageError(
            f"the kubeconfig {kubeconfig} cannot be used: {error}",
            hint="`kubectl config get-contexts` lists what is in it",
        ) from None
    except (ApiError, httpx2.HTTPError) as error:
        raise RemoteError(
            f"the API server of context {context or 'in use'} does not list its nodes: {error}",
            hint="`inv cluster.status` again, once it is up and reachable",
            retryable=True,
        ) from None
    return tuple(sorted(found, key=lambda one: one.name))


def _node(one: Any) -> ClusterNode:
    conditions = {found.type: found.status for found in one.status.conditions or ()}
    addresses = {found.type: found.address for found in one.status.addresses or ()}
    return ClusterNode(
        name=one.metadata.name,
        ready=conditions.get("Ready") == "True",
        kubelet=one.status.nodeInfo.kubeletVersion,
        runtime=one.status.nodeInfo.containerRuntimeVersion,
        address=addresses.get("InternalIP", ""),
    )
