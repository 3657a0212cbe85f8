"""What is said of a cluster: what a deployment changes, how an inventory is, which ones there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lockgate.oci.digest import Digest
from lockgate.tasks.console import printable

if TYPE_CHECKING:
    from lockgate.base.errors import LockgateError
    from lockgate.deploy.kube.model import Change, ChangeSet, InventoryBrief, InventoryStatus
    from lockgate.deploy.kube.storage import Stored


_ACTION = 11
"""Columns of an action's name."""


def line(change: Change) -> str:
    """Return an object and what happens to it, for people."""
    note = f"  {change.note}" if change.note else ""
    return f"{change.action:<{_ACTION}}{change.id.label}{note}"


def plan_lines(changes: ChangeSet, *, details: bool = False) -> list[str]:
    """Return a plan for people: what changes, field by field where asked, and how much does not."""
    found: list[str] = []
    for one in changes.changes:
        if one.action == "unchanged":
            continue
        shown = one.differences
        if len(shown) == 1 and not one.note and not details:
            found.append(f"{line(one)}  {shown[0]}")
            continue
        found.append(line(one))
        found += [f"{'':<{_ACTION}}  {each}" for each in (shown if details else shown[:5])]
        if not details and len(shown) > 5:
            found.append(f"{'':<{_ACTION}}  and {len(shown) - 5} more fields")
    same = changes.count("unchanged")
    return [*found, f"{'unchanged':<{_ACTION}}{same}"] if same else found


def status_lines(found: InventoryStatus) -> list[str]:
    """Return what was applied to its end, and what was not."""
    lines = []
    if found.artifact:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.applied))
        said = f"{found.source or '-'}  {found.revision or '-'}"
        lines.append(f"{Digest(found.artifact).short}  {said}  {day}")
    if found.pending:
        words = f"interrupted: {Digest(found.pending).short} was not applied to its end"
        lines.append(f"{found.holder} works on it" if found.holder else words)
    return lines


def object_lines(found: InventoryStatus) -> list[str]:
    """Return each object, how it is, and whether somebody changed it; a line each."""
    return [
        f"{one.id.label:<48} {one.phase:<12} {printable(one.message)}"
        f"{'  changed by somebody else' if one.touched == 'yes' else ''}".rstrip()
        for one in found.objects
    ]


def brief(name: str, found: Stored | LockgateError) -> InventoryBrief:
    """Return what a list says of an inventory that was read, or could not be."""
    from lockgate.deploy.kube.holding import has_ended, people
    from lockgate.deploy.kube.inventory import Applied
    from lockgate.deploy.kube.model import InventoryBrief

    inventory = None if isinstance(found, Exception) else found.inventory
    current = (inventory and inventory.current) or Applied(artifact="")
    holder = None if isinstance(found, Exception) else found.holder
    return InventoryBrief(
        inventory=name,
        objects=len(inventory.entries) if inventory else 0,
        artifact=current.artifact,
        source=current.source,
        revision=current.revision,
        applied=current.at,
        pending=inventory.pending.artifact if inventory and inventory.pending else "",
        holder=people(holder.who) if holder and not has_ended(holder.who) else "",
        error=str(found) if isinstance(found, Exception) else "",
    )


def inventory_line(one: InventoryBrief) -> str:
    """Return an inventory of a list as a line: name, objects, when and from what."""
    if one.error:
        return f"{one.inventory:<40} unreadable: {printable(one.error)}"
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.applied)) if one.artifact else "-"
    told = f"{one.source or '-'}  {one.revision or '-'}" if one.artifact else "-"
    if one.holder:
        told = f"{told}  {one.holder} works on it"
    elif one.pending:
        told = f"{told}  interrupted: {Digest(one.pending).short} was not applied to its end"
    return f"{one.inventory:<40} {one.objects:>5} objects  {day:<16}  {printable(told)}"
