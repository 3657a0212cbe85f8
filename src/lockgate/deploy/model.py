"""Records of the deploy floor: what is to run, what runs, and what was done."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from lockgate.base.canonical import Record

HISTORY = 5
"""Images that are remembered, the running one included."""


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
    manifest: str
    """Digest of the platform's manifest."""
    since: int
    """When it was last deployed, in seconds since 1970."""


class State(Record, frozen=True):
    """What is known about one component. Written before and after every step that changes what runs."""

    current: Instance | None = None
    """What should run, or ran last."""
    wanted: bool = False
    """False after a stop."""
    other: Instance | None = None
    """What may run beside it, in a deployment that goes on or was killed: the next one or the last one."""
    history: tuple[Past, ...] = ()
    """In the order of their last deployment; the last is `current`, and a rollback takes the one before."""


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


Phase = Literal["running", "not ready", "ended", "stopped", "interrupted", "never deployed"]
"""`ended`: it should run and does not. `interrupted`: nothing runs, since a deployment was killed or is in
the middle of its work."""


class Status(Record, frozen=True):
    """What `status` returns."""

    component: str
    phase: Phase
    instance: Instance | None
    url: str
    """Empty unless something runs."""
    history: tuple[Past, ...]


class Waits(NamedTuple):
    """How long to wait, in seconds."""

    ready: float = 30.0
    """For a started service to be ready, and then for its answer to the smoke test."""
    stop: float = 5.0
    """For a service that was asked to end."""
    answer: float = 10.0
    """For one answer to a request whether it is ready."""


WAITS = Waits()
