"""The record in the cluster of what we applied there, and of what we are about to do. Pure.

    ConfigMap inv-NAME
      labels       app.kubernetes.io/name, /component: inventory, /created-by: lockgate
      annotations  last-applied-time, source, revision, holder (see `storage`)
      data         resources   [{"id": "todo_web_apps_Deployment", "ver": "v1", "seen": "…", "stale": true}]
                   artifacts   ["sha256:…"]
                   history     what was applied before, the newest last
                   pending     what is being applied; absent when nothing is
      binaryData   resources   the same, compressed, when it is large

An entry is added before its object is, and goes only when its object is known to be gone or not ours (S1.51,
S1.57). So whatever a run leaves behind, the record names at least all of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.canonical import Foreign, Record, encode
from lockgate.base.errors import (
    Conflict,
    InventoryLost,
    LockgateError,
    StorageError,
    UsageError,
)
from lockgate.config.order import order_ids
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.ownership import GROUP, MANAGER, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "inv-"
MOST_HISTORY = 10
"""Artifacts that are remembered."""
PLAIN = 256 << 10
"""Bytes of entries up to which they are kept as text."""
_MOST_TEXT = 64 << 20
"""Bytes of entries that a record unpacks to."""
_LATEST = 1 << 33
"""Seconds since 1970 that no time of a record reaches."""
LARGEST = 1_000_000
"""Bytes that a ConfigMap may hold, with some left for labels: the API server takes 1 MiB."""

_PART = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_LONGEST_NAME = 63
"""Characters of a label's value (Kubernetes, "Labels and Selectors")."""
_DIGITS = 16
"""Hexadecimal digits that tell apart names that were cut."""

_CONTENT = ("f:data", "f:binaryData")
"""What a record holds, as the books name it (FieldsV1)."""

_COMPONENT = {
    "app.kubernetes.io/component": "inventory",
    "app.kubernetes.io/created-by": "lockgate",
}
SELECTOR = ",".join(f"{key}={value}" for key, value in _COMPONENT.items())


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


class _Line(Foreign, frozen=True):
    """An entry as it is written."""

    id: str
    ver: str
    seen: str = ""
    stale: bool = False


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


def intended(known: Inventory, wanted: Mapping[ResourceId, str], what: Applied) -> Inventory:
    """Return the record to write before anything is applied: old and new, and what is about to happen.

    Args:
        known: the record as it is.
        wanted: version of the API of every object that should be.
        what: the artifact.
    """
    entries = {
        one.id: msgspec.structs.replace(one, stale=one.id not in wanted) for one in known.entries
    }
    for one, version in wanted.items():
        seen = entries[one].seen if one in entries else ""
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


def write(inventory: Inventory, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return the ConfigMap of a record.

    Args:
        inventory: the record.
        annotations: further ones, such as who holds it.

    Raises:
        StorageError: it has more entries than fit.
    """
    lines = [
        {"id": one.id.key, "ver": one.version}
        | ({"seen": one.seen} if one.seen else {})
        | ({"stale": True} if one.stale else {})
        for one in inventory.entries
    ]
    text = json.dumps(lines, separators=(",", ":"), ensure_ascii=False)
    current = inventory.current
    data = {
        "artifacts": json.dumps([current.artifact] if current else []),
        "history": encode(inventory.history).decode(),
    }
    if inventory.pending is not None:
        data["pending"] = encode(inventory.pending).decode()
    binary = {}
    if len(text) <= PLAIN:
        data["resources"] = text
    else:
        binary["resources"] = base64.b64encode(zlib.compress(text.encode(), 6)).decode()
    size = sum(len(one) for one in (*data.values(), *binary.values()))
    if size > LARGEST:
        raise StorageError(
            f"{len(lines)} objects do not fit one inventory", hint="split the artifact in two"
        )
    told = (
        {f"{GROUP}/source": current.source, f"{GROUP}/revision": current.revision}
        if current
        else {}
    )
    if current:
        told[f"{GROUP}/last-applied-time"] = _utc(current.at)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": PREFIX + inventory.name,
            "namespace": inventory.namespace,
            "labels": {"app.kubernetes.io/name": inventory.name, **_COMPONENT},
            "annotations": {**told, **annotations},
        },
        "data": data,
        **({"binaryData": binary} if binary else {}),
    }


def _utc(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_record(body: Mapping[str, Any]) -> bool:
    """Return whether a ConfigMap says by its labels that it is the record of an inventory."""
    labels = body["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in _COMPONENT.items())


def check_ours(body: Mapping[str, Any]) -> None:
    """Refuse a ConfigMap that has the name of a record and is another tool's, or a person's.

    Raises:
        Conflict: it is; it is neither read nor written.
    """
    metadata = body["metadata"]
    if not is_record(body):
        label = f"ConfigMap/{metadata['namespace']}/{metadata['name']}"
        raise Conflict(
            f"{label} is there and is no inventory of lockgate: its labels do not say so",
            hint="use another namespace or project; if it is one, `kubectl label --overwrite "
            f"configmap {metadata['name']} -n {metadata['namespace']} "
            + " ".join(f"{key}={value}" for key, value in _COMPONENT.items())
            + "`",
        )


def read(body: Mapping[str, Any]) -> Inventory:
    """Read a ConfigMap.

    Raises:
        InventoryLost: it is none of ours, or what it holds was changed.
    """
    metadata = body["metadata"]
    namespace, name = metadata["namespace"], metadata["name"].removeprefix(PREFIX)
    try:
        data, binary = body.get("data") or {}, body.get("binaryData") or {}
        text = data.get("resources", "").encode()
        if "resources" in binary:
            packed = base64.b64decode(binary["resources"], validate=True)
            stream = zlib.decompressobj()
            text = stream.decompress(packed, _MOST_TEXT)
            if not stream.eof:
                raise ValueError("it is cut off, or unpacks to too much")
        lines = msgspec.json.decode(text, type=tuple[_Line, ...])
        entries = {
            one.id: one
            for one in (
                Entry(
                    id=ResourceId.parse_key(line.id),
                    version=line.ver,
                    seen=line.seen,
                    stale=line.stale,
                )
                for line in lines
            )
        }
        history = msgspec.json.decode(data.get("history") or "[]", type=tuple[Applied, ...])
        pending = (
            msgspec.json.decode(data["pending"], type=Applied) if data.get("pending") else None
        )
        if not all(0 <= one.at < _LATEST for one in (*history, *([pending] if pending else ()))):
            raise ValueError("it holds a time that cannot be right")
    except (msgspec.MsgspecError, zlib.error, LockgateError, ValueError) as error:
        raise InventoryLost(
            f"the inventory ConfigMap/{namespace}/{PREFIX}{name} cannot be read: {error}",
            hint=_repair(name),
        ) from None
    return Inventory(
        namespace=namespace, name=name, entries=_sorted(entries), history=history, pending=pending
    )


def check_written(body: Mapping[str, Any]) -> None:
    """Refuse a record whose content another tool or a person wrote: mostly an older copy of it that was put back.

    Who wrote which field stands in the cluster's own books. What such a record does not name would be orphaned.

    Raises:
        InventoryLost: somebody did, who and when.
    """
    metadata = body["metadata"]
    for one in metadata.get("managedFields") or ():
        fields = one.get("fieldsV1") or {}
        if one.get("manager") != MANAGER and not fields.keys().isdisjoint(_CONTENT):
            raise InventoryLost(
                f"the inventory ConfigMap/{metadata['namespace']}/{metadata['name']} was written by "
                f"{one.get('manager')!r} at {one.get('time', 'some time')}, so it may be older than what is there",
                hint=_repair(metadata["name"].removeprefix(PREFIX)),
            )


def _repair(name: str) -> str:
    return f"`inv deploy.repair --inventory {name}` writes it anew, with the objects that carry its labels"
