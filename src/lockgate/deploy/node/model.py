"""Records of the node: what it is made of, what it was given, and what is known of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from lockgate.base.canonical import Record

KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
PROGRAMS = (*KUBERNETES, "etcd", "kube-router", "registry")
"""What is built for the node's own image; `inv tools` lists them."""

DNS = "coredns"
"""What is built for an image of its own, which runs in the cluster."""

DAY = 86_400
LIFETIME = 365 * DAY
"""Seconds that the certificates of a cluster are valid."""


class NodeImage(Record, frozen=True):
    """The image of a node for one platform."""

    manifest: str
    """Digest of its manifest in the layout for nodes."""
    platform: str
    versions: dict[str, str]
    """Version of every program that was built, by name."""
    pause: str
    """Reference by which containerd knows the image that holds the network of a pod."""
    dns: str
    """Reference by which containerd knows the image of CoreDNS."""


class Machine(Record, frozen=True):
    """What the machine with the engine allows."""

    engine: str
    """`docker` or `podman`."""
    version: str
    capabilities: tuple[str, ...]
    """Capabilities that the engine can hand on, in the kernel's order: `NET_ADMIN`."""
    cgroups: Literal["v1", "v2"]
    security: tuple[str, ...]
    """What confines its containers unless told otherwise: `seccomp`, `apparmor`, `selinux`."""
    kmsg: bool
    """True when there is a `/dev/kmsg`."""
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    """The limits that the engine would raise for a container and cannot, and how far they go: `nofile`."""


class Lack(Record, frozen=True):
    """Something that is not there, and what follows from it."""

    what: str
    so: str
    needed: bool
    """True when there can be no node without it."""


class Event(Record, frozen=True):
    """What the node says of itself: `lockgate.deploy.node.inside.supervise`."""

    part: str
    state: Literal["ready", "failed"]
    seconds: float = 0.0
    why: str = ""
    log: tuple[str, ...] = ()
    """The part's last lines when it failed."""
    cgroups: str = ""
    iptables: str = ""
    """`nft` or `legacy`."""
    policies: str = ""
    """`enforced` when NetworkPolicies are."""
    path: str = ""
    address: str = ""
    """The node's address on the engine's network."""
    forward: str = ""


class Ports(NamedTuple):
    """Ports on the machine's loopback."""

    api: int
    registry: int
    """The same number within the node, so that a reference means the same inside and outside."""


Phase = Literal["ready", "starting", "stopped", "failed", "unfinished", "absent"]
"""`failed`: a part of it ended. `stopped`: it was stopped, or the machine was started anew; `unfinished`: it was
never started, since whoever made it was killed."""


class ClusterNode(Record, frozen=True):
    """One node of a cluster, as its API server describes it."""

    name: str
    ready: bool
    kubelet: str
    runtime: str
    """`containerd://1.7.24`."""
    address: str


class ClusterStatus(Record, frozen=True):
    """What `inv cluster.status` prints."""

    name: str
    provider: Literal["node", "kind", "k3d", "kubeconfig"]
    phase: Phase
    why: str
    """Why it is not ready; empty when it is."""
    context: str
    """Name of the context in the kubeconfig."""
    kubeconfig: str
    """Path of the kubeconfig; empty when there is none."""
    api: str
    """Address of the API server; empty when it is not known."""
    registry: str
    """Host and port by which the registry is called, here and in the cluster; empty when there is none."""
    nodes: tuple[ClusterNode, ...] = ()
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Version of every program of the node; empty for other providers."""
    machine: Machine | None = None
    lacks: tuple[Lack, ...] = ()
    """What the machine does not have, and what follows."""
    cgroups: str = ""
    iptables: str = ""
    policies: str = ""
    """Whether NetworkPolicies are enforced, in words; empty when it is not known."""
    until: int = 0
    """When the node's certificates end, in seconds since 1970; 0 when it is not known."""
