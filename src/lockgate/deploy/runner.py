"""The interface of ways to run an image in isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from lockgate.deploy.model import Instance
    from lockgate.oci.layout import Layout

NAMESPACES = "namespaces"


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
    """An instance that runs, and goes on once `keep` was called.

    Before that it ends with this process, or at the latest when the next deployment sweeps.
    """

    @property
    def instance(self) -> Instance:
        """What was started, with what identifies it."""

    def __enter__(self) -> Self:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Drop it unless it is kept."""

    def ended(self, timeout: float) -> int | None:
        """Wait at most `timeout` seconds; return the exit code when the service has ended."""

    def keep(self) -> None:
        """Let it live on."""

    def drop(self) -> None:
        """End it unless it is kept, and return when its port is free."""


class Runner(Protocol):
    """A way to run images in isolation."""

    @property
    def name(self) -> str:
        """`namespaces`, `docker` or `podman`."""

    def prepare(self, layout: Layout, manifest: str, root: Path) -> None:
        """Make the image ready to start, its bytes checked; changes nothing that runs."""

    def start(self, launch: Launch) -> Started:
        """Start a prepared image."""

    def sweep(self, root: Path, component: str, keep: tuple[Instance, ...]) -> None:
        """End what a killed deployment of the component left behind, except `keep`."""

    def prune(self, root: Path, keep: Callable[[], Collection[str]]) -> None:
        """Remove what `prepare` made, except for the manifests that `keep` names when it is asked."""

    def alive(self, instance: Instance) -> bool:
        """True when exactly this instance runs."""

    def stop(self, instance: Instance, grace: float) -> None:
        """Ask it to end, after `grace` seconds force it; return when it is gone."""

    def tail(self, instance: Instance, folder: Path, lines: int) -> str:
        """Return the last lines of its log."""
