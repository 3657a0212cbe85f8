"""The record in the cluster of what we applied there, and of what we are about to do. Pure.

An entry is added before its object is, and goes only when its object is known to be gone or not ours (S1.51,
S1.57). So whatever a run leaves behind, the record names at least all of it. How it is written is in `configmap`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import Record
from lockgate.base.errors import UsageError
from lockgate.config.order import order_ids
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.ownership import Owner

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

MOST_HISTORY = 10
"""Artifacts that are remembered."""

_PART = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_LONGEST_NAME = 63
"""Characters of a label's value (Kubernetes, "Labels and Selectors")."""
_DIGITS = 16
"""Hexadecimal digits that tell apart names that were cut."""


class Entry(Record, frozen=True):
    """One object that we applied, are about to apply, or are about to delete."""

    id: ResourceId
    version: str
    """Version of its API, without the group."""
    seen: str = ""
    """What proves that nobody touched it since (`ownership.token`); empty when nothing does."""
    stale: bool = False
    """True when it is no longer wanted and not known to be gone."""

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` of the core."""
        return f"{self.id.group}/{self.version}" if self.id.group else self.version


class Applied(Record, frozen=True):
    """One artifact that was applied, or is being applied."""

    artifact: str
    """Its digest, or `HOST/NAME@sha256:…`."""
    source: str = ""
    revision: str = ""
    at: int = 0
    """When it began, in seconds since 1970."""
    objects: int = 0
    """How many objects it has."""


class History(Record, frozen=True):
    """What was applied to one inventory."""

    inventory: str
    """`NAMESPACE/NAME`."""
    context: str
    """Name of the cluster."""
    pending: Applied | None
    """What is being applied, or did not come to its end."""
    applied: tuple[Applied, ...]
    """What was applied to its end, the newest last."""


class Inventory(Record, frozen=True):
    """What one inventory holds."""

    namespace: str
    name: str
    entries: tuple[Entry, ...] = ()
    history: tuple[Applied, ...] = ()
    """What was applied to its end, the newest last."""
    pending: Applied | None = None
    """What was begun and did not come to its end."""

    @property
    def owner(self) -> Owner:
        """Its name as objects carry it."""
        return Owner(self.namespace, self.name)

    @property
    def current(self) -> Applied | None:
        """What was applied last."""
        return self.history[-1] if self.history else None


def name_of(project: str, environment: str) -> str:
    """Return the name of an environment's inventory, which no other project and environment have.

    `shop-dev`, where neither part has a hyphen; else `shop-api.dev`. A dot is in no part, so `a-b.c` and `a.b-c` are
    two. What is longer than a label's value may be is cut, with a digest of the whole in the middle.

    Raises:
        UsageError: one of them cannot be part of a name.
    """
    for what, text in (("project", project), ("environment", environment)):
        if not re.fullmatch(_PART, text):
            raise UsageError(
                f"the {what} {text!r} cannot be part of an inventory's name",
                hint="lower-case letters, digits and hyphens, a letter or digit first and last",
            )
    joined = f"{project}-{environment}"
    if joined.count("-") == 1 and len(joined) <= _LONGEST_NAME:
        return joined
    name = f"{project}.{environment}"
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        ends = (
            one[: (_LONGEST_NAME - _DIGITS) // 2 - 1].rstrip("-") for one in (project, environment)
        )
        name = f".{digest}.".join(ends)
    return name


def absent(owner: Owner) -> UsageError:
    """Return the error that there is no such inventory."""
    return UsageError(
        f"there is no inventory {owner}", hint="`inv deploy.inventories` lists those that there are"
    )


def check_name(name: str) -> str:
    """Return the name of an inventory, which is also a label's value and the end of a ConfigMap's name.

    Raises:
        UsageError: it cannot be one.
    """
    if len(name) > _LONGEST_NAME or not re.fullmatch(rf"{_PART}(?:\.{_PART})*", name):
        raise UsageError(
            f"{name!r} is no name of an inventory",
            hint=f"lower-case letters, digits, hyphens and dots, at most {_LONGEST_NAME} of them; "
            "`inv deploy.inventories` lists those that there are",
        )
    return name


def intended(
    known: Inventory,
    wanted: Mapping[ResourceId, str],
    what: Applied,
    *,
    unchanged: Container[ResourceId] = (),
) -> Inventory:
    """Return the record to write before anything is applied: old and new, and what is about to happen.

    Args:
        known: the record as it is.
        wanted: version of the API of every object that should be.
        what: the artifact.
        unchanged: objects that will not be written. What proves the others goes before they are written: their
            books tell times in whole seconds, so a write in the second of the one before would not show.
    """
    entries = {
        one.id: msgspec.structs.replace(one, stale=one.id not in wanted) for one in known.entries
    }
    for one, version in wanted.items():
        seen = entries[one].seen if one in entries and one in unchanged else ""
        entries[one] = Entry(id=one, version=version, seen=seen)
    return msgspec.structs.replace(known, entries=_sorted(entries), pending=what)


def settled(
    intent: Inventory, *, gone: Iterable[ResourceId], seen: Mapping[ResourceId, str], done: bool
) -> Inventory:
    """Return the record to write after: without what is gone, with what proves the rest.

    Args:
        intent: the record as it was written before.
        gone: objects that are known to be gone, or not to be ours.
        seen: proofs of the objects that were applied.
        done: whether everything that was to be applied was.
    """
    lost = frozenset(gone)
    entries = {
        one.id: msgspec.structs.replace(one, seen=seen.get(one.id, one.seen))
        for one in intent.entries
        if one.id not in lost
    }
    history, pending = intent.history, intent.pending
    if done and pending is not None:
        last = history[-1] if history else None
        same = last is not None and last.artifact == pending.artifact
        history = ((*history[:-1], pending) if same else (*history, pending))[-MOST_HISTORY:]
        pending = None
    return msgspec.structs.replace(
        intent, entries=_sorted(entries), history=history, pending=pending
    )


def united(known: Inventory, found: Iterable[Entry]) -> Inventory:
    """Return a record with further entries; those that it has stay as they are."""
    entries = {one.id: one for one in (*found, *known.entries)}
    return msgspec.structs.replace(known, entries=_sorted(entries))


def _sorted(entries: Mapping[ResourceId, Entry]) -> tuple[Entry, ...]:
    return tuple(entries[one] for one in order_ids(entries))
