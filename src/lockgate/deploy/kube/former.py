"""An inventory that lies under its older name: what a run applies moves to the new one, the rest stays where it is.

The older name could be that of two inventories (`a-b` and `c`, `a` and `b-c`), so nothing of it is deleted unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import Forbidden, UsageError
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
    """Return the inventory under its older name; None when there is none.

    Raises:
        InventoryLost: it cannot be read.
        ClusterError: the cluster is out of reach.
    """
    if target.former is None:
        return None
    found = Storage(target.client, target.former).read()
    return found if found.version else None


def begin(target: Target, stored: Stored, wanted: Wanted) -> Stored:
    """Return the inventory to start from where there is none under the new name: with the history of the older one.

    Of its history only what came from the same repository is ours.

    Raises:
        InventoryLost: the older one cannot be read.
    """
    found = None if stored.version else look(target)
    if found is None:
        return stored
    past = tuple(one for one in found.inventory.history if one.source == wanted.source)
    return Stored(msgspec.structs.replace(stored.inventory, history=past), "")


def leave(target: Target, options: Options, moved: Collection[ResourceId]) -> None:
    """Take from the older inventory what moved; without anything left it goes itself.

    Raises:
        Conflict: another run holds it.
        Moved: another run changed it at the same time.
    """
    found = look(target)
    if found is None:
        return
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
    if left:
        names = ", ".join(one.id.label for one in left[:_SHOWN])
        target.events.note(
            f"the inventory {known.owner}, as it was called before, keeps {names}"
            f"{', …' if len(left) > _SHOWN else ''}: `inv deploy.delete --inventory {known.name}` deletes that"
        )


def absent(target: Target) -> UsageError:
    """Return the error that there is no such inventory."""
    former = look(target)
    if former is not None:
        return UsageError(
            f"there is no inventory {target.owner}; it lies under its older name, {former.inventory.owner}",
            hint="`inv deploy` moves it; `--inventory` of `inv deploy.delete` takes the older name",
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
