"""Resources: Kubernetes objects as they were read, each known by group, kind, namespace and name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from lockgate.base.canonical import Record
from lockgate.base.errors import UsageError
from lockgate.config import documents

KUSTOMIZE = "kustomize.config.k8s.io"
"""API group of kustomize's own files; they describe manifests and are none."""

_VERSION = re.compile(r"(?:(?P<group>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)/)?[a-z][a-z0-9]*")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HINT = "correct it where it is written"


class ResourceId(Record, frozen=True, order=True):
    """What tells one object in a cluster from every other. The version does not: it is one of several views."""

    group: str
    """API group; empty for the core group."""
    kind: str
    namespace: str
    """Empty for what lies in none, and for what names none."""
    name: str

    def __hash__(self) -> int:
        return hash((self.group, self.kind, self.namespace, self.name))

    @property
    def label(self) -> str:
        """`Deployment/todo/web`, or `Namespace/todo`. For people: two groups can have one kind."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    @property
    def key(self) -> str:
        """The form in inventories, as Flux writes it: `todo_web_apps_Deployment`.

        A colon, which names of roles may hold, is written `__` (cli-utils, object.ObjMetadata).
        """
        return f"{self.namespace}_{self.name.replace(':', '__')}_{self.group}_{self.kind}"

    @classmethod
    def parse_key(cls, text: str) -> Self:
        """Read the form in inventories.

        Raises:
            UsageError: it has another form.
        """
        namespace, _, rest = text.partition("_")
        rest, _, kind = rest.rpartition("_")
        name, _, group = rest.rpartition("_")
        if not name or not kind:
            raise UsageError(
                f"{text!r} is no entry of an inventory",
                hint="an entry is `NAMESPACE_NAME_GROUP_KIND`",
            )
        return cls(group=group, kind=kind, namespace=namespace, name=name.replace("__", ":"))


@dataclass(frozen=True, slots=True)
class Resource:
    """One object."""

    id: ResourceId
    api_version: str
    """`apps/v1`."""
    body: Mapping[str, Any]
    """The whole object, as it was read. Nobody changes it in place: parts of it may be shared."""


def parse(data: bytes, *, where: str) -> tuple[Resource, ...]:
    """Return the objects in YAML or JSON documents, lists of objects taken apart.

    Args:
        data: the bytes.
        where: how to name them in an error.

    Raises:
        UsageError: the bytes are not readable (see `documents.read`), an object lacks apiVersion, kind or name, or
            has one that cannot be right, two have one id, or there is none.
    """
    found = tuple(one for _, one in located(data, where=where))
    if not found:
        raise UsageError(f"{where} holds no object", hint="check that it is the right file")
    return found


def located(data: bytes, *, where: str) -> tuple[tuple[str, Resource], ...]:
    """Return the same with the place of each, `FILE, line 12`; nothing when there is none.

    Raises:
        UsageError: as `parse`.
    """
    places = (
        (f"{where}, line {document.line}", document.value)
        for document in documents.read(data, where=where)
    )
    return unique((place, of(body, place)) for place, value in places for body in _items(value))


def unique(found: Iterable[tuple[str, Resource]]) -> tuple[tuple[str, Resource], ...]:
    """Return objects with their places, each id one time.

    Raises:
        UsageError: one id stands in two places; both are named.
    """
    known: dict[ResourceId, str] = {}
    listed = tuple(found)
    for place, one in listed:
        if one.id in known:
            raise UsageError(
                f"{one.id.label} stands twice: {known[one.id]}, and {place}",
                hint="remove one of them; a change to the other is a patch",
            )
        known[one.id] = place
    return listed


def of(body: object, where: str) -> Resource:
    """Return an object that was read.

    Raises:
        UsageError: it is no object of Kubernetes; the message names the field.
    """
    if not isinstance(body, Mapping):
        raise UsageError(f"{where}: it is no object but a {_word(body)}", hint=_HINT)
    api_version, kind = (_text(body, field, where) for field in ("apiVersion", "kind"))
    version = _VERSION.fullmatch(api_version)
    if version is None:
        raise UsageError(
            f"{where}: apiVersion {api_version!r} is none",
            hint="it is `v1`, or a group and a version as in `apps/v1`",
        )
    group = version["group"] or ""
    if group == KUSTOMIZE:
        raise UsageError(
            f"{where}: a {kind} of kustomize is no object", hint="name its folder with `-k`"
        )
    if not _KIND.fullmatch(kind):
        raise UsageError(f"{where}: kind {kind!r} is none", hint=_HINT)
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        raise UsageError(f"{where}: {kind} has no metadata", hint=_HINT)
    name = _name(metadata, f"{where}: {kind}")
    namespace = metadata.get("namespace") or ""
    if namespace and not (isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)):
        raise UsageError(
            f"{where}: {kind} {name} has the namespace {namespace!r}, which is none", hint=_HINT
        )
    _check_texts(metadata, f"{where}: {kind} {name}")
    found = ResourceId(group=group, kind=kind, namespace=namespace, name=name)
    return Resource(found, api_version, body)


def _items(value: object) -> Iterator[object]:
    """Yield what a list of objects holds, or the one object itself."""
    if isinstance(value, Mapping) and str(value.get("kind", "")).endswith("List"):
        items = value.get("items")
        if isinstance(items, list) and value.get("apiVersion"):
            for one in items:
                yield from _items(one)
            return
    yield value


def _text(body: Mapping[str, Any], field: str, where: str) -> str:
    found = body.get(field)
    if not isinstance(found, str) or not found:
        raise UsageError(f"{where}: an object has no {field}", hint=_HINT)
    return found


def _name(metadata: Mapping[str, Any], where: str) -> str:
    found = metadata.get("name")
    if not found and metadata.get("generateName"):
        raise UsageError(
            f"{where} has generateName and no name: it would be another object each time",
            hint="give it a name, or create it with `kubectl create`",
        )
    if not isinstance(found, str) or not found:
        raise UsageError(f"{where} has no name", hint=_HINT)
    # It becomes a part of an address, and of an entry in an inventory.
    if (
        found in (".", "..")
        or found.replace(":", "__").replace("__", ":") != found
        or not re.fullmatch(r"[A-Za-z0-9._:@*-]{1,253}", found)
    ):
        raise UsageError(f"{where} has the name {found!r}, which is none", hint=_HINT)
    return found


def _check_texts(metadata: Mapping[str, Any], where: str) -> None:
    for field in ("labels", "annotations"):
        found = metadata.get(field)
        if found is None:
            continue
        if not isinstance(found, Mapping):
            raise UsageError(f"{where}: its {field} are no mapping", hint=_HINT)
        for key, value in found.items():
            if not isinstance(value, str):
                raise UsageError(
                    f"{where}: {field[:-1]} {key} is a {_word(value)} and no text",
                    hint="write it in quotes",
                )


def _word(value: object) -> str:
    words = {bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
    return words.get(type(value), "mapping" if isinstance(value, Mapping) else "missing value")
