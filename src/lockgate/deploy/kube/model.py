"""Records of the cluster target, and what a run is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lockgate.base.canonical import Record
from lockgate.config.resource import ResourceId

if TYPE_CHECKING:
    from lockgate.deploy.kube.ready import Rule

Action = Literal["created", "configured", "recreated", "unchanged", "deleted", "skipped"]
"""What happens, or would happen, to one object."""


class Change(Record, frozen=True):
    """One object and what happens to it: a line, "subject action"."""

    id: ResourceId
    action: Action
    note: str = ""
    """Why, or what goes with it; empty when the action says it all."""
    differences: tuple[str, ...] = ()
    """Fields that change, one line each; values of Secrets are masked."""


class ChangeSet(Record, frozen=True):
    """What a run changed; of a plan or a diff, what it would."""

    inventory: str
    """`NAMESPACE/NAME`."""
    context: str
    """Name of the cluster."""
    artifact: str
    source: str
    revision: str
    changes: tuple[Change, ...]
    """In the order in which they happen."""
    done: bool
    """True when they happened and were read back; False for a plan."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return all(one.action in ("unchanged", "skipped") for one in self.changes)

    def count(self, action: Action) -> int:
        """Return how many objects an action happens to."""
        return sum(one.action == action for one in self.changes)


class ObjectStatus(Record, frozen=True):
    """How one object of an inventory is."""

    id: ResourceId
    phase: str
    """`current`, `in progress`, `failed`, `terminating`, `not found` or `not ours`."""
    message: str
    touched: Literal["no", "yes", "unknown"]
    """Whether somebody changed it since we applied it; unknown where nothing proves either."""


class InventoryStatus(Record, frozen=True):
    """How an inventory is."""

    inventory: str
    context: str
    artifact: str
    """What was applied to its end; empty when nothing was."""
    source: str
    revision: str
    applied: int
    """When, in seconds since 1970."""
    pending: str
    """The artifact whose application did not come to its end; empty when none."""
    holder: str
    """Who works on it right now; empty when nobody does."""
    objects: tuple[ObjectStatus, ...]

    @property
    def is_ready(self) -> bool:
        """Whether everything is there and ready, and nothing was left half done."""
        return not self.pending and all(one.phase == "current" for one in self.objects)


class InventoryBrief(Record, frozen=True):
    """One inventory among those of a cluster."""

    inventory: str
    """`NAMESPACE/NAME`."""
    objects: int
    """How many it holds."""
    artifact: str
    """What was applied last to its end; empty when nothing was."""
    source: str
    revision: str
    applied: int
    """When, in seconds since 1970; 0 when nothing was."""
    pending: str
    """The artifact whose application did not come to its end; empty when none."""
    holder: str
    """Who works on it right now; empty when nobody does."""
    error: str = ""
    """Why it cannot be read; the fields above but the first then say nothing."""


class Inventories(Record, frozen=True):
    """The inventories of a namespace, or of a whole cluster."""

    context: str
    """Name of the cluster."""
    namespace: str
    """Empty for the whole cluster."""
    inventories: tuple[InventoryBrief, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run behaves."""

    prune: bool = True
    """Delete what the inventory holds and the artifact does not."""
    prune_limit: int = 20
    """Most objects that one run may delete, with all that goes with them."""
    take_over: bool = False
    """Take fields and objects from other managers and inventories."""
    recreate: bool = False
    """Delete and make anew what cannot be changed in place."""
    wait: float = 300.0
    """Seconds to wait until everything is ready, and what is deleted is gone; 0: do not wait."""
    workers: int = 16
    """Requests at a time."""
    rules: tuple[Rule, ...] = ()
    """When objects of further kinds are ready."""
    details: bool = False
    """Ask the cluster about every object, also about those that nobody is known to have touched."""
