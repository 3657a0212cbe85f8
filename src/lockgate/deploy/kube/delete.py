"""Delete an inventory and everything in it that is still ours."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import Conflict, InventoryLost, LockgateError, Moved, UsageError
from lockgate.deploy.kube import inventory, permissions, prune, scan
from lockgate.deploy.kube.model import Change, ChangeSet
from lockgate.deploy.kube.remove import remove

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.held import Held
    from lockgate.deploy.kube.model import Options
    from lockgate.deploy.kube.storage import Stored
    from lockgate.deploy.kube.target import Target

_LOOKS = 5
_SHOWN = 10
"""Kinds that one message names."""


def plan(target: Target, options: Options) -> ChangeSet:
    """Say what `delete` would do; nothing is changed.

    Raises:
        UsageError: there is no such inventory.
        Forbidden: this user may not.
    """
    stored, stale = _look(target, replace(options, prune=True))
    return _changes(target, stored, (one.change for one in stale), done=False)


def delete(target: Target, options: Options) -> ChangeSet:
    """Delete an inventory: its objects in reverse order, then its record.

    Objects that are marked as to be kept stay, and so does the record of them. What cannot be deleted stays in the
    record, so that the next run goes on.

    Raises:
        UsageError: there is no such inventory.
        Forbidden: this user may not; nothing was changed.
        NotReady: something does not go in time.
        ClusterError: the cluster is out of reach or refuses.
    """
    options = replace(options, prune=True)
    for _ in range(_LOOKS):
        stored, stale = _look(target, options)
        known = stored.inventory
        intent = msgspec.structs.replace(
            known, entries=tuple(msgspec.structs.replace(one, stale=True) for one in known.entries)
        )
        try:
            held = target.storage.begin(stored, intent, patience=options.wait)
        except Moved:
            continue
        changes: list[Change] = []
        with held:
            _delete(held, intent, stale, target, options, changes)
        at = {one.entry.id: number for number, one in enumerate(stale)}
        changes.sort(key=lambda one: at[one.id])
        return _changes(target, stored, changes, done=True)
    raise Conflict(
        f"the inventory {target.owner} changes all the time: other runs work on it",
        hint="let them come to their end, then run the same again",
        retryable=True,
    )


def _look(target: Target, options: Options) -> tuple[Stored, list[prune.Stale]]:
    client = target.client
    stored = target.storage.read()
    if not stored.version:
        raise inventory.absent(target.owner)
    pairs = []
    needs = [
        permissions.Need(verb, "", "configmaps", target.owner.namespace)
        for verb in ("get", "update", "patch", "delete")
    ]
    for entry in stored.inventory.entries:
        group, name = entry.id.group, entry.id.kind
        kind = client.kinds.find(group, name, entry.version) or client.kinds.find(group, name)
        pairs.append((entry, kind))
        if kind is not None:
            needs += [
                permissions.Need(verb, kind.group, kind.plural, entry.id.namespace)
                for verb in ("get", "delete")
            ]
    permissions.check(client, needs, workers=options.workers)
    judge = prune.Judge(client, target.owner, options, spares_home=False)
    return stored, judge.decide(pairs, {})


def _delete(
    held: Held,
    intent: inventory.Inventory,
    stale: list[prune.Stale],
    target: Target,
    options: Options,
    changes: list[Change],
) -> None:
    gone: set[ResourceId] = set()
    # The namespace that the record lies in takes the record with it, so it goes when nothing else is left.
    home = [one for one in stale if prune.is_home(one.entry.id, target.owner)]
    others = [one for one in stale if one not in home]

    def settled() -> inventory.Inventory:
        return inventory.settled(intent, gone=gone, seen={}, done=False)

    try:
        for part in (others, home):
            if (
                part is home
                and home
                and [one.id for one in settled().entries] != [home[0].entry.id]
            ):
                changes += [
                    msgspec.structs.replace(
                        one.change, action="skipped", note="something is left in it"
                    )
                    for one in home
                ]
                break
            remove(
                part,
                target,
                options,
                check=held.check,
                gone=gone,
                changes=changes,
                spares_home=False,
            )
        if home and home[0].entry.id in gone:
            return
        left = settled()
        if left.entries:
            held.write(left, last=True)
        else:
            held.remove()
    except BaseException:
        with contextlib.suppress(LockgateError):
            held.write(settled(), last=True)
        raise


def repair(target: Target, namespaces: Iterable[str], options: Options) -> inventory.Inventory:
    """Write the record anew from the objects that carry its labels; what it names already is kept.

    Whoever wrote it before, it is ours after. The history is lost when it cannot be read. Where this user may not
    look, somebody else may have applied objects of it: that is told.

    Args:
        target: the inventory.
        namespaces: where to look when this user may not list the whole cluster.
        options: how many requests at a time.

    Raises:
        Conflict: somebody changed the record at the same time.
        UsageError: there is neither a record nor an object of it.
        ClusterError: the cluster is out of reach; the record stays as it is.
    """
    places = sorted({*namespaces, target.owner.namespace})
    found = scan.labelled(target.client, target.owner, places, workers=options.workers)
    version = target.storage.version()
    known = inventory.Inventory(namespace=target.owner.namespace, name=target.owner.name)
    # A cluster that does not answer is another thing than a record that cannot be read.
    with contextlib.suppress(InventoryLost):
        known = target.storage.read(whoever_wrote=True).inventory
    if not found.entries and not version:
        raise UsageError(
            f"there is no inventory {target.owner}, and nothing carries its labels",
            hint="`inv deploy.inventories` lists those that there are",
        )
    made = inventory.united(known, found.entries)
    target.storage.put(made, version, beat=None, anew=True)
    outside = f"outside of {', '.join(places)}"
    for where, kinds in (("", found.unseen), (outside, found.partly)):
        if kinds:
            more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
            target.events.note(
                f"this user may not list, and nobody looked for, {', '.join(kinds[:_SHOWN])}{more} {where}".rstrip()
            )
    return made


def _changes(target: Target, stored: Stored, changes: Iterable[Change], *, done: bool) -> ChangeSet:
    current = stored.inventory.current
    return ChangeSet(
        inventory=str(target.owner),
        context=target.context,
        artifact=current.artifact if current else "",
        source=current.source if current else "",
        revision=current.revision if current else "",
        changes=tuple(changes),
        done=done,
    )
