"""Bring the cluster of a node up, take it down, and say what it is. Look, act, look again.

Whatever a killed run left is told apart by the engine alone: a container that was never started holds nothing
and is made anew, one that runs is waited for, one that ended is started again.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockgate.base.errors import LockgateError, NotReady, UsageError
from lockgate.base.files import atomic_write, storage_error
from lockgate.deploy.node import configuration, machine, pki
from lockgate.deploy.node.capabilities import given, lacks
from lockgate.deploy.node.model import (
    LIFETIME,
    ClusterStatus,
    Machine,
    NodeImage,
    Phase,
    Ports,
)
from lockgate.deploy.ports import claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.deploy.node.container import Box, Place
    from lockgate.deploy.node.model import ClusterNode, Event

_UNENFORCED = "not enforced: the kernel takes no sets of addresses (ipset) here"

SECONDS = 600.0
"""Longest time until a started node is ready; each part has a shorter one of its own."""

Done = Literal["created", "started", "unchanged"]


class World(NamedTuple):
    """Where a cluster is, and with what it is made."""

    place: Place
    image: Callable[[], tuple[NodeImage, str]]
    """Returns the image of a node and the engine's id of it, built and loaded unless it is there."""
    wanted: Ports
    """Ports; 0 for any."""
    nodes: Callable[[Path, str], tuple[ClusterNode, ...]]
    """Asks an API server for its nodes: kubeconfig, context; raises RemoteError."""
    told: Callable[[Event], None] = lambda _: None
    """Told what the node says while it starts."""

    @property
    def home(self) -> Path:
        """Folder of what is kept of the cluster on this machine."""
        return self.place.folder / self.place.name

    @property
    def kubeconfig(self) -> Path:
        """Where the kubeconfig lies; only its owner may read it."""
        return self.home / "kubeconfig"

    @property
    def context(self) -> str:
        """Name of the context in it."""
        return f"lockgate-{self.place.name}"


def up(world: World, *, now: int) -> Done:
    """See to it that the cluster runs and is ready; the caller holds the cluster's lock.

    Args:
        world: the cluster.
        now: seconds since 1970, from when on new certificates are valid.

    Returns:
        `unchanged` when it ran already.

    Raises:
        ToolRefused: the engine cannot run nodes; the message says what is missing.
        UsageError: a port is taken.
        NotReady: a part did not start; the message has its last lines.
        LockgateError: from building the image.
    """
    place = world.place
    box = place.find()
    if box is not None and box.state == "created":
        box = None
    done: Done = "unchanged"
    if box is None:
        _create(world, now)
        done = "created"
    elif box.state != "running":
        place.start(box.id)
        done = "started"
    box = place.find()
    if box is None:
        raise NotReady(f"the container of {place.name} is gone", hint="`inv cluster.up` again")
    # Also of one that was there: a kubeconfig that was lost comes back.
    _keep_kubeconfig(world, place.read(box.id, pki.KUBECONFIG))
    if done != "unchanged" or _phase(box, place.events(box))[0] != "ready":
        _wait(world, box)
    return done


def _create(world: World, now: int) -> None:
    place = world.place
    about = machine.look(place.engine)
    machine.require(about)
    image, loaded = world.image()
    # What a killed run left: a container that never ran, or a volume without the keys that belong to it.
    place.remove()
    ports = Ports(
        _claim(world.wanted.api, "api_port"), _claim(world.wanted.registry, "registry_port")
    )
    capabilities = given(about.capabilities)
    files = contents(
        place.name, image, context=world.context, ports=ports, capabilities=capabilities, now=now
    )
    container = place.create(
        loaded,
        image,
        machine=about,
        capabilities=capabilities,
        ports=ports,
        files=files,
    )
    place.start(container)


def contents(
    name: str,
    image: NodeImage,
    *,
    context: str,
    ports: Ports,
    capabilities: tuple[str, ...],
    now: int,
) -> dict[str, pki.File]:
    """Return every file that makes a container of the image the node of a new cluster, by its path.

    Args:
        name: name of the cluster.
        image: what the node is made of.
        context: name of the context in the kubeconfig, which is `pki.KUBECONFIG` among the files.
        ports: where this machine reaches it on loopback.
        capabilities: what the container has.
        now: seconds since 1970, from when on the certificates are valid.
    """
    api = f"https://127.0.0.1:{ports.api}"
    return pki.files(
        name, api=api, context=context, now=now, seconds=LIFETIME
    ) | configuration.files(name, image, capabilities=capabilities, registry_port=ports.registry)


def _claim(wanted: int, setting: str) -> int:
    try:
        return claim(wanted)
    except UsageError as error:
        raise UsageError(
            error.message,
            hint=f"end what uses it, or set `{setting}` under `cluster` in `lockgate.yaml`; "
            "0 picks a free one",
        ) from None


def _keep_kubeconfig(world: World, data: bytes) -> None:
    path = world.kubeconfig
    try:
        world.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != data or path.stat().st_mode & 0o077:
            atomic_write(path, data, mode=0o600)
    except OSError as error:
        raise storage_error(error, path) from error


def _wait(world: World, box: Box) -> None:
    place = world.place
    for event in place.follow(box, SECONDS):
        world.told(event)
        if event.state == "failed":
            raise NotReady(
                f"{event.part} of the cluster {place.name} {event.why}"
                + "".join(f"\n  {line}" for line in event.log),
                hint=f"`inv cluster.down` removes the cluster; its other logs: "
                f"`{place.engine.name} cp {place.title}:/var/log/lockgate -`",
            )
        if event.part == "node":
            return
    raise NotReady(
        f"the node of {place.name} ended before it was ready",
        hint=f"`{place.engine.name} logs {place.title}` has its last words",
    )


def down(world: World) -> tuple[str, ...]:
    """Remove the cluster's container and volume, and what is kept of it here; return what was removed.

    Raises:
        ToolError: the engine refuses.
        StorageError: the folder cannot be removed.
    """
    removed = world.place.remove()
    if world.home.is_dir():
        try:
            shutil.rmtree(world.home)
        except OSError as error:
            raise storage_error(error, world.home) from error
        removed += (f"folder {world.home.name}",)
    return removed


def status(world: World) -> ClusterStatus:
    """Say what the cluster is; changes nothing.

    Raises:
        ToolError: the engine does not answer.
    """
    box = world.place.find()
    about = None
    with contextlib.suppress(LockgateError):  # an engine without root says so when a node is wanted
        about = machine.look(world.place.engine)
    if box is None:
        return _status(world, "absent", "it was not made yet: `inv cluster.up`", about)
    if box.state == "created":
        return _status(world, "unfinished", "it was never started: `inv cluster.up`", about)
    events = world.place.events(box)
    phase, why = _phase(box, events)
    nodes: tuple[ClusterNode, ...] = ()
    if phase == "ready":
        try:
            nodes = world.nodes(world.kubeconfig, world.context)
        except LockgateError as error:
            phase, why = "failed", error.message
    return _status(world, phase, why, about, box=box, events=events, nodes=nodes)


def _phase(box: Box, events: tuple[Event, ...]) -> tuple[Phase, str]:
    failed = [one for one in events if one.state == "failed"]
    if box.state == "running":
        if any(one.part == "node" for one in events):
            return "ready", ""
        return "starting", "not every part is ready yet"
    if failed:
        return "failed", f"{failed[-1].part} {failed[-1].why}"
    if box.code not in (0, 137):
        return "failed", f"the container ended with exit code {box.code}"
    return "stopped", "its container does not run: `inv cluster.up` starts it again"


def _status(
    world: World,
    phase: Phase,
    why: str,
    about: Machine | None,
    *,
    box: Box | None = None,
    events: tuple[Event, ...] = (),
    nodes: tuple[ClusterNode, ...] = (),
) -> ClusterStatus:
    kubeconfig = world.kubeconfig if world.kubeconfig.is_file() else None
    settled = next((one for one in events if one.part == "container"), None)
    return ClusterStatus(
        name=world.place.name,
        provider="node",
        phase=phase,
        why=why,
        context=world.context,
        kubeconfig=str(kubeconfig or ""),
        api=f"https://127.0.0.1:{box.ports.api}" if box else "",
        registry=f"{configuration.REGISTRY_HOST}:{box.ports.registry}" if box else "",
        nodes=nodes,
        versions=box.versions if box else {},
        machine=about,
        lacks=lacks(about) if about else (),
        cgroups=settled.cgroups if settled else "",
        iptables=settled.iptables if settled else "",
        policies=settled.policies or _UNENFORCED if settled else "",
        until=pki.ends(kubeconfig.read_bytes()) if kubeconfig else 0,
    )
