"""A machine in miniature: services that listen, answer, end; images that decide which."""

# ruff: noqa: ARG002 - a miniature has the arguments of the real thing

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import pytest

from lockgate.base.errors import UsageError
from lockgate.deploy.model import Instance, ProcessId, Service, Waits
from lockgate.deploy.world import World
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    MANIFEST,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from lockgate.deploy.runner import Launch

FIRST_PORT = 50_000


class Passed(NamedTuple):
    """A verification that passed."""

    subject: str


class Behaviour(NamedTuple):
    """What the services of one image do."""

    ready: int = 200
    smoke: int = 200
    exit: int | None = None
    """Exit code of a service that ends at once."""
    only_once: bool = False
    """True: the first start does well, every later one ends with exit code 1."""


class Service_(NamedTuple):  # noqa: N801
    """One running service of the miniature."""

    instance: Instance
    behaviour: Behaviour


class Machine:
    """Processes and ports. Implements `Runner`; `ask` and `claim` are its network."""

    name = "miniature"

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        """What images do, by the digest of their index; all others do well."""
        self.running: dict[int, Service_] = {}
        """What runs, by PID."""
        self.foreign: set[int] = set()
        """Ports that programs of others use."""
        self.events: list[str] = []
        self.prepared: set[str] = set()
        self.starts: dict[str, int] = {}
        self._pid = 100
        self._port = FIRST_PORT

    def behave(self, image: Passed, **what: Any) -> None:
        """Say what services of an image do: `ready`, `smoke`, `exit`, `only_once` of `Behaviour`."""
        self.behaviours[image.subject] = Behaviour(**what)

    def find(self, _: str) -> Machine:
        """Be the choice of a runner."""
        return self

    def prepare(self, layout: Layout, manifest: str, root: Path) -> None:
        """Check that the image is whole."""
        layout.verify_image(manifest)
        self.prepared.add(manifest)

    def start(self, launch: Launch) -> MachineStarted:
        """Run a service, unless its image ends at once."""
        instance = launch.instance
        taken = {one.instance.port for one in self.running.values()} | self.foreign
        assert instance.port not in taken, "started on a port in use"
        assert instance.manifest in self.prepared, "started without its image"
        self._pid += 1
        process = ProcessId(pid=self._pid, started=self._pid, boot="boot")
        instance = msgspec.structs.replace(instance, process=process)
        behaviour = self.behaviours.get(instance.digest, Behaviour())
        count = self.starts[instance.digest] = self.starts.get(instance.digest, 0) + 1
        if behaviour.only_once and count > 1:
            behaviour = Behaviour(exit=1)
        if behaviour.exit is None:
            self.running[process.pid] = Service_(instance, behaviour)
        self.events.append(f"start {instance.digest[-4:]} on {instance.port}")
        return MachineStarted(self, instance, behaviour)

    def sweep(self, root: Path, component: str, keep: tuple[Instance, ...]) -> None:
        """Note what is kept."""
        self.events.append(f"sweep but {len(keep)}")

    def prune(self, root: Path, keep: Callable[[], Collection[str]]) -> None:
        """Forget images."""
        self.prepared &= set(keep())

    def alive(self, instance: Instance) -> bool:
        """Know processes by all of their identity."""
        found = self.running.get(instance.process.pid) if instance.process else None
        return found is not None and found.instance.process == instance.process

    def stop(self, instance: Instance, grace: float) -> None:
        """End a process."""
        if self.alive(instance):
            assert instance.process is not None
            del self.running[instance.process.pid]
            self.events.append(f"stop {instance.digest[-4:]} on {instance.port}")

    def tail(self, instance: Instance, folder: Path, lines: int) -> str:
        """Make up a log."""
        return f"log of {instance.digest[-4:]}, {instance.log}"

    def ask(self, port: int, path: str, timeout: float) -> int:
        """Answer as the service on that port does."""
        for service in self.running.values():
            if service.instance.port == port:
                is_ready = path == service.instance.service.ready
                return service.behaviour.ready if is_ready else service.behaviour.smoke
        raise ConnectionRefusedError

    def claim(self, wanted: int) -> int:
        """Give out ports."""
        if wanted == 0:
            self._port += 1
            return self._port
        if wanted in self.foreign | {one.instance.port for one in self.running.values()}:
            raise UsageError(f"port {wanted} is in use", hint="another port")
        return wanted

    def versions(self) -> list[tuple[str, int]]:
        """Return the end of the digest and the port of everything that runs."""
        return sorted((s.instance.digest[-4:], s.instance.port) for s in self.running.values())


class MachineStarted:
    """A started service that is ended unless it is kept."""

    def __init__(self, machine: Machine, instance: Instance, behaviour: Behaviour) -> None:
        self.instance = instance
        self._machine, self._behaviour, self._kept = machine, behaviour, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def ended(self, timeout: float) -> int | None:
        """Tell the exit code."""
        return None if self._machine.alive(self.instance) else self._behaviour.exit or 0

    def keep(self) -> None:
        """Let it run on."""
        self._kept = True

    def drop(self) -> None:
        """End it unless it is kept."""
        if not self._kept:
            self._machine.stop(self.instance, 0)


class Store:
    """Makes images of no content that differ in a word."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def make(
        self,
        word: str,
        *,
        platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64"),
        **config: Any,
    ) -> Passed:
        """Store an image index and return its verification."""
        stored = []
        for platform in platforms:
            system, architecture = platform.split("/")
            described = {
                "architecture": architecture,
                "os": system,
                "rootfs": {"type": "layers", "diff_ids": []},
                "config": {"Entrypoint": [word], **config},
            }
            manifest = Manifest(
                config=self.layout.put(json.dumps(described).encode(), CONFIG), layers=()
            )
            stored.append(self.layout.put(manifest_bytes(manifest), MANIFEST))
        index = self.layout.put(index_bytes(Index(manifests=tuple(stored))), INDEX)
        return Passed(index.digest)


@pytest.fixture
def machine() -> Machine:
    """A machine on which nothing runs."""
    return Machine()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(Layout.create(tmp_path / "store"))


@pytest.fixture
def world(tmp_path: Path, machine: Machine) -> World:
    """The machine as the world of deployments; nothing waits."""
    return World(
        run=tmp_path / "run",
        runners=machine.find,
        ask=machine.ask,
        claim=machine.claim,
        waits=Waits(ready=0.02, stop=0, answer=1),
    )


@pytest.fixture
def service() -> Service:
    """The settings of the component."""
    return Service(component="team/app", port=8080, ready="/readyz", smoke="/")


@pytest.fixture(autouse=True)
def _plain_umask() -> None:
    os.umask(0o022)
