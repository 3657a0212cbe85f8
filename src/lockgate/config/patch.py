"""Patches over objects from anywhere, done by kustomize: strategic merge and JSON 6902.

A patch file is a Kustomization with patches, and with the few fields that change objects that exist. Or it is a part
of an object, which is merged into the object of this kind and name. Values of Secrets are not handed to kustomize:
it reads files, and they are not written to any. Marks stand in their place while it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.base.scratch import scratch, system_home
from lockgate.config import documents, resource
from lockgate.config.emit import emit
from lockgate.config.resource import KUSTOMIZE, Resource

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.config.kustomize import Renderer

_MARK = re.compile(r"lockgate-value-[0-9]+-of-a-secret")
_PATCHES = ("patches", "patchesStrategicMerge", "patchesJson6902")
_CHANGES = (
    "namespace",
    "namePrefix",
    "nameSuffix",
    "commonLabels",
    "commonAnnotations",
    "labels",
    "images",
)
_ABOUT = ("apiVersion", "kind", "metadata")
_FIELDS = ("data", "stringData")


class PatchFile(NamedTuple):
    """A patch as it was read."""

    where: str
    content: Mapping[str, Any]
    """Fields of a kustomization, without resources."""


def read(path: Path) -> PatchFile:
    """Return the patch in a file.

    Raises:
        UsageError: it cannot be read, holds no patch, or has a field that would have no effect.
    """
    where = str(path)
    found = documents.read(_bytes(path), where=where)
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise UsageError(
            f"{where} holds {len(found)} documents, and a patch is one",
            hint="put several into one Kustomization, under `patches`",
        )
    content = found[0].value
    if str(content.get("apiVersion", f"{KUSTOMIZE}/")).startswith(f"{KUSTOMIZE}/"):
        return PatchFile(where, _kustomization(content, path))
    resource.of(content, f"{where}, line {found[0].line}")
    return PatchFile(where, {"patches": [{"patch": json.dumps(content)}]})


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="check the path"
        ) from None


def _kustomization(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    unknown = [one for one in content if one not in (*_PATCHES, *_CHANGES, *_ABOUT)]
    if unknown:
        raise UsageError(
            f"{path}: `{unknown[0]}` has no effect in a patch file",
            hint=f"here count: {', '.join((*_PATCHES, *_CHANGES))}",
        )
    if not any(content.get(one) for one in _PATCHES):
        raise UsageError(
            f"{path} holds no patches", hint="list them under `patches`, inline or by `path`"
        )
    kept = {key: value for key, value in content.items() if key not in _ABOUT}
    for field in _PATCHES:
        if field in kept:
            if not isinstance(kept[field] or [], list):
                raise UsageError(f"{path}: `{field}` is no list", hint="begin each patch with `- `")
            kept[field] = [_inline(one, path) for one in kept[field] or ()]
    return kept


def _inline(one: object, path: Path) -> object:
    """Return a patch with the content of the file that it names in the file's place."""
    if isinstance(one, str) and "\n" not in one and ":" not in one:
        return _bytes(_beside(one, path)).decode("utf-8", "replace")
    if isinstance(one, dict) and isinstance(one.get("path"), str):
        text = _bytes(_beside(one["path"], path)).decode("utf-8", "replace")
        return {**{key: value for key, value in one.items() if key != "path"}, "patch": text}
    return one


def _beside(name: str, path: Path) -> Path:
    folder = path.parent.resolve()
    found = (folder / name).resolve()
    if not found.is_relative_to(folder):
        raise UsageError(
            f"{path} names {name}, which lies outside of its folder", hint="move the file"
        )
    return found


def apply(
    resources: Sequence[Resource], patches: Sequence[PatchFile], renderer: Renderer
) -> tuple[Resource, ...]:
    """Return objects with patches applied, one file after the other.

    Raises:
        UsageError: a patch fits no object, or what it makes is none.
        ToolError: kustomize could not be run.
    """
    found = tuple(resources)
    for one in patches:
        hidden, values = _hide(found)
        # The patch stands in it as it was written, which may be a Secret's value in clear: the folder is its owner's
        # alone (0700), and one that a killed run left is removed by the next. Kustomize does not get the lock: when
        # it outlives us nobody waits for what it makes.
        with scratch(system_home()) as place:
            folder = place.path
            (folder / "all.yaml").write_bytes(emit(hidden))
            content = {"resources": ["all.yaml"], **one.content}
            (folder / "kustomization.yaml").write_text(json.dumps(content))
            try:
                data = renderer.build(folder)
            except UsageError as error:
                message = error.message.replace(str(folder), one.where)
                raise UsageError(message, hint="correct the patch") from None
        made = resource.parse(data, where=f"{one.where} (applied)")
        found = tuple(_show(each, values) for each in made)
        for each in found:
            _check_marks(each, values, one.where)
    return found


def _hide(resources: Sequence[Resource]) -> tuple[list[Resource], dict[str, Any]]:
    """Return objects with marks for the values of Secrets, and the values by their mark."""
    values: dict[str, Any] = {}

    def mark(value: object) -> str:
        name = f"lockgate-value-{len(values)}-of-a-secret"
        values[name] = value
        return name

    return [_secret(one, mark) for one in resources], values


def _show(one: Resource, values: Mapping[str, Any]) -> Resource:
    return _secret(one, lambda value: values.get(value, value) if isinstance(value, str) else value)


def _check_marks(one: Resource, values: Mapping[str, Any], where: str) -> None:
    """Refuse an object with a mark that was not taken back, since it went where no value of a Secret belongs."""
    if not values:
        return
    known = {name for name in values if name not in values.values()}
    if not known.isdisjoint(_MARK.findall(json.dumps(one.body))):
        raise UsageError(
            f"{where} puts a value of a Secret into {one.id.label}, outside of its `data` and `stringData`",
            hint="write out what is to be there, if everybody may read it",
        )


def _secret(one: Resource, change: Any) -> Resource:
    if (one.id.group, one.id.kind) != ("", "Secret"):
        return one
    body = dict(one.body)
    for field in _FIELDS:
        if isinstance(body.get(field), Mapping):
            body[field] = {key: change(value) for key, value in body[field].items()}
    return Resource(one.id, one.api_version, body)
