"""Records of the deploy floor: what is to run, what runs, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from lockgate.base.canonical import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.oci.layout import Layout

HISTORY = 5
"""Digests that a rollback can choose from, the running one included."""


class Verified(Protocol):
    """Proof that an image may be deployed; only a verification makes one."""

    @property
    def subject(self) -> str:
        """Digest of the image index that was verified."""


class Service(Record, frozen=True):
    """What the settings say about running a component."""

    component: str
    port: int
    """Port inside a container; a sandbox that shares the machine's network uses the outer one."""
    ready: str
    """Path that answers with a 2xx once the service can work."""
    smoke: str
    """Path of the real request that must be answered with a 2xx."""


class ProcessId(Record, frozen=True):
    """A process, so that its number given to another one is noticed."""

    pid: int
    started: int
    """Clock ticks from boot to its start: proc(5), `/proc/PID/stat`, field 22."""
    boot: str
    """Id of the boot that the ticks count from."""


class Instance(Record, frozen=True):
    """One start of one image."""

    service: Service
    digest: str
    """Digest of the image index."""
    manifest: str
    """Digest of the platform's manifest."""
    revision: str
    """Commit id from the image's labels; empty when it has none."""
    runner: str
    """`namespaces`, `docker` or `podman`."""
    port: int
    """Port on loopback."""
    since: int
    """When it was started, in seconds since 1970."""
    log: str = ""
    """Name of its log file in the component's folder; empty when an engine keeps the log."""
    process: ProcessId | None = None
    """The sandbox's first process; set once it exists."""
    container: str = ""
    """The engine's id of the container; set once it exists."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


class Past(Record, frozen=True):
    """An image that was deployed."""

    digest: str
    """Digest of the image index."""
    since: int
    """When it was last deployed, in seconds since 1970."""


class State(Record, frozen=True):
    """What is known about one component. Written before and after every step that changes what runs."""

    current: Instance | None = None
    """What should run, or ran last."""
    wanted: bool = False
    """False after a stop."""
    incoming: Instance | None = None
    """What a deployment in progress, or one that was killed, is about to run instead."""
    history: tuple[Past, ...] = ()
    """Oldest first; the last is `current`."""


class Deployment(Record, frozen=True):
    """What `deploy` returns."""

    component: str
    digest: str
    """Digest of the image index."""
    manifest: str
    """Digest of the platform's manifest."""
    runner: str
    url: str
    change: Literal["deployed", "unchanged"]
    previous: str
    """Digest of what ran before; empty when nothing did."""
    ready_ms: int
    """Milliseconds from the start of the final instance until it was ready; 0 when unchanged."""
    smoke: int
    """Status with which it answered the smoke test; 0 when unchanged."""
    since: int
    """When what runs was started, in seconds since 1970."""


class Status(Record, frozen=True):
    """What `status` returns."""

    component: str
    phase: Literal["running", "not ready", "ended", "stopped", "interrupted", "never deployed"]
    """`ended`: it should run and does not. `interrupted`: a deployment was killed, or is going on."""
    instance: Instance | None
    url: str
    """Empty unless something runs."""
    history: tuple[Past, ...]


class Launch(NamedTuple):
    """Everything that a runner needs to start an instance."""

    instance: Instance
    folder: Path
    """The component's folder, for the log."""
    lock: int
    """Descriptor of the component's lock, for a process that must not outlive an unfinished deployment."""
    layout: Layout
    root: Path
    """Folder of the unpacked images."""


class Started(Protocol):
    """An instance that runs, but ends with this process until `keep` is called."""

    instance: Instance

    def ended(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds; return the exit code when the service has ended."""

    def keep(self) -> None:
        """Let it live on."""

    def drop(self) -> None:
        """End it now, and return when its port is free."""


class Runner(Protocol):
    """A way to run images in isolation."""

    name: str

    def prepare(self, launch: Launch) -> None:
        """Make the image ready to start, its bytes checked; changes nothing that runs."""

    def start(self, launch: Launch) -> Started:
        """Start a prepared image."""

    def sweep(self, folder: Path, component: str, keep: tuple[Instance, ...]) -> None:
        """End what a killed deployment of the component left behind, except `keep`."""

    def alive(self, instance: Instance) -> bool:
        """True when exactly this instance runs."""

    def stop(self, instance: Instance, grace: float) -> None:
        """Ask it to end, after `grace` seconds force it; return when it is gone."""

    def tail(self, instance: Instance, folder: Path, lines: int) -> str:
        """Return the last lines of its log."""


class Waits(NamedTuple):
    """How long to wait, in seconds."""

    ready: float = 30.0
    """For a started service to be ready."""
    stop: float = 5.0
    """For a service that was asked to end."""
    answer: float = 5.0
    """For one answer to a request."""


WAITS = Waits()

Runners = "Callable[[str], Runner]"
