"""What differs between two artifacts, object by object, with Secrets masked. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from lockgate.base.canonical import Record
from lockgate.config import resource
from lockgate.config.emit import document
from lockgate.config.mask import masked
from lockgate.config.order import order_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.config.resource import Resource, ResourceId

_SEPARATOR = b"\n---\n"


class Difference(Record, frozen=True):
    """What became of the objects of one artifact in another."""

    before: str
    """Digest of the older artifact."""
    after: str
    """Digest of the newer one."""
    created: tuple[str, ...]
    """Labels of objects that only the newer one has, in the order of applying."""
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    """Objects that only the older one has."""
    text: str
    """A unified diff, one piece an object; empty when there is no difference."""

    @property
    def empty(self) -> bool:
        """True when both hold the same objects."""
        return not (self.created or self.changed or self.deleted)


def difference(
    before: bytes, after: bytes, *, digests: tuple[str, str], names: tuple[str, str]
) -> Difference:
    """Compare the plain YAML of two artifacts.

    Documents that stand in both byte for byte are not read: of five thousand objects usually a few have changed.

    Args:
        before: the older YAML.
        after: the newer YAML.
        digests: digests of the two artifacts.
        names: what to call them in the diff.

    Raises:
        UsageError: one of them holds something that is no object.
    """
    older, newer = (dict.fromkeys(_documents(data)) for data in (before, after))
    old = _objects([one for one in older if one not in newer], names[0])
    new = _objects([one for one in newer if one not in older], names[1])
    created: list[str] = []
    changed: list[str] = []
    deleted: list[str] = []
    lines: list[str] = []
    for one in order_ids({*old, *new}):
        first, second = old.get(one), new.get(one)
        if first and second and first.body == second.body:
            continue  # written differently, and the same
        (changed if first and second else deleted if first else created).append(one.label)
        lines += _lines(one, first, second, names)
    return Difference(
        before=digests[0],
        after=digests[1],
        created=tuple(created),
        changed=tuple(changed),
        deleted=tuple(deleted),
        text="".join(f"{line}\n" for line in lines),
    )


def _documents(data: bytes) -> list[bytes]:
    # A line `---` begins a document wherever it stands: inside of a text it would be indented or escaped.
    return [one for one in data.removeprefix(b"---\n").rstrip(b"\n").split(_SEPARATOR) if one]


def _objects(listed: list[bytes], name: str) -> Mapping[ResourceId, Resource]:
    if not listed:
        return {}
    found = resource.located(_SEPARATOR.join(listed) + b"\n", where=name)
    return {one.id: one for _, one in found}


def _lines(
    one: ResourceId, first: Resource | None, second: Resource | None, names: tuple[str, str]
) -> list[str]:
    older, newer = masked(first.body if first else None, second.body if second else None)
    return list(
        difflib.unified_diff(
            _text(older),
            _text(newer),
            f"{names[0]} {one.label}" if older else "/dev/null",
            f"{names[1]} {one.label}" if newer else "/dev/null",
            lineterm="",
        )
    )


def _text(body: Mapping[str, Any] | None) -> list[str]:
    return document(body).decode().splitlines()[1:] if body else []
