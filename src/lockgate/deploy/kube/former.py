"""An inventory that lies under its older name: what a run applies moves to the new one, the rest stays where it is.

The older name could be that of two inventories (`a-b` and `c`, `a` and `b-c`), so nothing of it is deleted unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import Conflict, Forbidden, LockgateError, UsageError
from lockgate.deploy.kube.storage import Storage, Stored

if TYPE_CHECKING:
    from collections.abc import Collection

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.held import Held
    from lockgate.deploy.kube.inventory import Inventory
    from lockgate.deploy.kube.model import Options
    from lockgate.deploy.kube.target import Target, Wanted

_SHOWN = 5


def look(target: Target) -> Stored | None:
    """Return the inventory under its older name; None when there is none, or another tool's ConfigMap.

    Raises:
        InventoryLost: it cannot be read, or somebody else wrote it.
        ClusterError: the cluster is out of reach.
    """
    if target.former is None:
        return None
    try:
        found = Storage(target.client, target.former).read()
    except Conflict:
        return None  # it says that it is no inventory of ours, and our name is another one by now
    return found if found.version else None


def begin(stored: Stored, older: Inventory, wanted: Wanted) -> Stored:
    """Return the inventory to start from where there is none under the new name: with the history of the older one.

    Of its history only what came from the same repository is ours; without a repository nothing says whose it was.
    """
    source = wanted.source
    past = tuple(one for one in older.history if source and one.source == source)
    return Stored(msgspec.structs.replace(stored.inventory, history=past), "")


def leave(target: Target, options: Options, moved: Collection[ResourceId]) -> None:
    """Take from the older inventory what moved; without anything left it goes itself.

    What the run is for is done by now and needs nothing of it. So what hinders this is told and fails nothing; the
    next run tries again.
    """
    try:
        rest = _take(target, options, moved)
    except LockgateError as error:
        target.events.note(f"the older inventory stays as it is: {error.message}; {error.hint}")
        return
    if rest is not None and rest.entries:
        names = ", ".join(one.id.label for one in rest.entries[:_SHOWN])
        target.events.note(
            f"the inventory {rest.owner}, as it was called before, keeps {names}"
            f"{', …' if len(rest.entries) > _SHOWN else ''}. Where that is another project's, its next deployment "
            f"takes it; where it is nobody's, {_deletion(rest)} deletes it"
        )


def _take(target: Target, options: Options, moved: Collection[ResourceId]) -> Inventory | None:
    """Take out what moved, and return the rest; None when there is no older inventory."""
    found = look(target)
    if found is None:
        return None
    known = found.inventory
    left = tuple(one for one in known.entries if one.id not in moved)
    rest = msgspec.structs.replace(known, entries=left)
    if left != known.entries or not left:
        storage = Storage(target.client, known.owner)
        with storage.begin(found, rest, patience=options.wait) as held:
            if left:
                held.write(rest, last=True)
            else:
                _remove(held, rest)
    return rest


def _deletion(older: Inventory) -> str:
    return f"`inv deploy.delete --inventory {older.name}`"


def absent(target: Target) -> UsageError:
    """Return the error that there is no such inventory."""
    former = look(target)
    if former is not None:
        return UsageError(
            f"there is no inventory {target.owner}; it lies under its older name, {former.inventory.owner}",
            hint=f"`inv deploy` moves what the artifact has; {_deletion(former.inventory)} deletes all of it, "
            "also what is another project's",
        )
    return UsageError(
        f"there is no inventory {target.owner}",
        hint="`inv deploy.inventories` lists those that there are",
    )


def _remove(held: Held, rest: Inventory) -> None:
    try:
        held.remove()
    except Forbidden:
        held.write(rest, last=True)  # an empty one does no harm
