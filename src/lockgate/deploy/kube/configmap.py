"""An inventory as it is written in the cluster. Pure.

ConfigMap inv-NAME
  labels       app.kubernetes.io/name, /component: inventory, /created-by: lockgate
  annotations  last-applied-time, source, revision, holder (see `storage`)
  data         resources   [{"id": "todo_web_apps_Deployment", "ver": "v1", "seen": "…", "stale": true}]
               artifacts   ["sha256:…"]
               history     what was applied before, the newest last
               pending     what is being applied; absent when nothing is
  binaryData   resources   the same, compressed, when it is large
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from lockgate.base.canonical import Foreign, encode
from lockgate.base.errors import Conflict, InventoryLost, LockgateError, StorageError
from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.inventory import Applied, Entry, Inventory, united
from lockgate.deploy.kube.ownership import GROUP, MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "inv-"
PLAIN = 256 << 10
"""Bytes of entries up to which they are kept as text."""
_MOST_TEXT = 64 << 20
"""Bytes of entries that a record unpacks to."""
_LATEST = 1 << 33
"""Seconds since 1970 that no time of a record reaches."""
LARGEST = 1_000_000
"""Bytes that a ConfigMap may hold, with some left for labels: the API server takes 1 MiB."""

_CONTENT = ("f:data", "f:binaryData")
"""What a record holds, as the books name it (FieldsV1)."""

_COMPONENT = {
    "app.kubernetes.io/component": "inventory",
    "app.kubernetes.io/created-by": "lockgate",
}
SELECTOR = ",".join(f"{key}={value}" for key, value in _COMPONENT.items())


class _Line(Foreign, frozen=True):
    """An entry as it is written."""

    id: str
    ver: str
    seen: str = ""
    stale: bool = False


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
        entries = [
            Entry(
                id=ResourceId.parse_key(line.id), version=line.ver, seen=line.seen, stale=line.stale
            )
            for line in lines
        ]
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
    return united(
        Inventory(namespace=namespace, name=name, history=history, pending=pending), entries
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
