"""How an inventory is: what is ready, what was touched, what was left half done. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube import crew, inventory, ownership
from lockgate.deploy.kube.holding import has_ended, people
from lockgate.deploy.kube.model import InventoryStatus, ObjectStatus
from lockgate.deploy.kube.ready import state_of

if TYPE_CHECKING:
    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.inventory import Entry
    from lockgate.deploy.kube.model import Options
    from lockgate.deploy.kube.storage import Stored
    from lockgate.deploy.kube.target import Target


def status(target: Target, options: Options) -> InventoryStatus:
    """Say how every object of an inventory is.

    Raises:
        UsageError: there is no such inventory.
        InventoryLost: its record cannot be read.
        ClusterError: the cluster is out of reach.
    """
    stored = target.storage.read()
    if not stored.version:
        raise inventory.absent(target.owner)
    known, kinds = stored.inventory, target.client.kinds
    entries = {one.id: one for one in known.entries}
    groups: dict[tuple[Kind, str], dict[str, ResourceId]] = {}
    for entry in known.entries:
        kind = kinds.find(entry.id.group, entry.id.kind, entry.version) or kinds.find(
            entry.id.group, entry.id.kind
        )
        if kind is not None:
            groups.setdefault((kind, entry.id.namespace), {})[entry.id.name] = entry.id

    def look(group: tuple[Kind, str]) -> list[ObjectStatus]:
        kind, namespace = group
        found = []
        for page in _pages(target, kind, namespace):
            for body in page:
                one = groups[group].get(body["metadata"]["name"])
                if one is not None:
                    full = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
                    found.append(_of(entries[one], full, target, options))
        return found

    objects = {
        one.id: one
        for _, found in crew.each(look, groups, workers=options.workers)
        for one in found
    }
    missing = "it is not there, or not ours"
    return _status(
        target,
        stored,
        tuple(
            objects.get(one.id)
            or ObjectStatus(id=one.id, phase="not found", message=missing, touched="unknown")
            for one in known.entries
        ),
    )


def _pages(target: Target, kind: Kind, namespace: str) -> list[list[Body]]:
    try:
        pages = target.client.pages(kind, namespace, selector=target.owner.selector)
        return [page.items for page in pages]
    except ClusterError as error:
        if error.status == 404:
            return []
        raise


def _of(entry: Entry, body: Body, target: Target, options: Options) -> ObjectStatus:
    state = state_of(body, now=target.now(), rules=options.rules)
    message = state.message
    if entry.stale:
        message = "; ".join(part for part in ("no longer in the artifact", message) if part)
    untouched = ownership.is_untouched(entry.seen, body)
    return ObjectStatus(
        id=entry.id,
        phase=state.phase,
        message=message,
        touched="no" if untouched else "yes" if entry.seen else "unknown",
    )


def _status(target: Target, stored: Stored, objects: tuple[ObjectStatus, ...]) -> InventoryStatus:
    known, current = stored.inventory, stored.inventory.current
    holder = stored.holder
    return InventoryStatus(
        inventory=str(target.owner),
        context=target.context,
        artifact=current.artifact if current else "",
        source=current.source if current else "",
        revision=current.revision if current else "",
        applied=current.at if current else 0,
        pending=known.pending.artifact if known.pending else "",
        holder=people(holder.who) if holder and not has_ended(holder.who) else "",
        objects=objects,
    )
