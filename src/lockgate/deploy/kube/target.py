"""What a run is about: what should be, where, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.config.resource import Resource
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.model import Change, ChangeSet
    from lockgate.deploy.kube.ownership import Owner
    from lockgate.deploy.kube.storage import Storage


class Wanted(NamedTuple):
    """What should be."""

    artifact: str
    """Its digest."""
    source: str
    revision: str
    resources: tuple[Resource, ...]


class Events(Protocol):
    """Who is told what happens."""

    def planned(self, changes: ChangeSet) -> None:
        """Told what would change, before anything does."""

    def changed(self, change: Change) -> None:
        """Told each change when it has happened."""

    def note(self, words: str) -> None:
        """Told what takes time, or what is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One inventory in one cluster."""

    client: Client
    storage: Storage
    context: str
    """Name of the cluster, for people."""
    now: Callable[[], float]
    """Seconds since 1970."""
    events: Events

    @property
    def owner(self) -> Owner:
        """The inventory."""
        return self.storage.owner
