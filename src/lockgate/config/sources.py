"""Manifests from files, folders and standard input.

A folder is read whole: every `.yaml`, `.yml` and `.json` below it, in the order of their paths. Files of kustomize
among them are left out, and said; named by itself such a file is an error, since its folder is what `-k` renders.
Files that SOPS has encrypted are opened in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lockgate.base.errors import UsageError
from lockgate.config import documents, overlay, resource
from lockgate.config.resource import KUSTOMIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lockgate.config.resource import Resource

STDIN = "-"
"""In place of a path: standard input."""

_ENDINGS = (".yaml", ".yml", ".json")
_MOST_FILES = 10_000


class Opener(Protocol):
    """Whatever opens what SOPS has encrypted."""

    def __call__(self, data: bytes, *, where: str) -> bytes:
        """Return a file in plain, as YAML.

        Raises:
            ToolError: the program is missing, or it could not open the file.
        """
        ...


class Located(NamedTuple):
    """Objects with their places, and what was left out."""

    found: tuple[tuple[str, Resource], ...]
    """Each with its place: file and line."""
    skipped: tuple[str, ...]
    """Files of kustomize in folders, and files without a document."""
    files: tuple[tuple[str, bytes], ...]
    """Every file that was read, by the path that leads to it from where it was named, with its bytes."""


def collect(paths: Iterable[str], *, stdin: bytes, open_sealed: Opener) -> Located:
    """Return every object in files and folders.

    Args:
        paths: files, folders, and `-` for standard input, in the order in which they were named.
        stdin: what standard input holds.
        open_sealed: opens what SOPS has encrypted.

    Raises:
        UsageError: a path is not there or holds no object, a document is no object, or one object stands twice.
        ToolError: an encrypted file could not be opened.
    """
    found: list[tuple[str, Resource]] = []
    skipped: list[str] = []
    files: list[tuple[str, bytes]] = []
    for text in paths:
        before = len(found)
        for path, named in _files(text):
            data = stdin if path is None else _read(path)
            where = "standard input" if path is None else str(path)
            files.append((where, data))
            if not named and _of_kustomize(path, data, where):
                skipped.append(where)
                continue
            listed = _objects(data, where, open_sealed)
            found += listed
            if not listed:
                skipped.append(where)
        if len(found) == before:
            raise UsageError(f"{text} holds no object", hint="check that it is the right path")
    return Located(resource.unique(found), tuple(skipped), tuple(files))


def opened(data: bytes, where: str, open_sealed: Opener) -> tuple[tuple[str, Resource], ...]:
    """Return the objects that kustomize wrote, those that SOPS has encrypted opened one by one.

    Raises:
        UsageError, ToolError: as `collect`.
    """
    found: list[tuple[str, Resource]] = []
    pieces = data.split(b"\n---\n") if b"sops" in data else [data]
    for piece in pieces:
        # Each piece as it was written: the seal is over the values in their order.
        found += _objects(piece + b"\n", where, open_sealed)
    return resource.unique(found)


def _files(text: str) -> Iterator[tuple[Path | None, bool]]:
    """Yield files, each with whether it was named itself; None stands for standard input."""
    if text == STDIN:
        yield None, True
        return
    path = Path(text)
    if path.is_file():
        yield path, True
        return
    if not path.is_dir():
        raise UsageError(f"{text} is not there", hint="name a file, a folder, or `-`")
    count = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if name.endswith(_ENDINGS) or name in overlay.NAMES:
                count += 1
                if count > _MOST_FILES:
                    raise UsageError(
                        f"{text} holds more than {_MOST_FILES} files", hint="name its parts"
                    )
                yield Path(folder, name), False


def _read(path: Path) -> bytes:
    try:
        # Not a pipe or a device, which in a folder would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is no file", hint="take it out of the folder")
        with path.open("rb") as file:
            return file.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="check owner and mode"
        ) from None


def _of_kustomize(path: Path | None, data: bytes, where: str) -> bool:
    if path is not None and path.name in overlay.NAMES:
        return True
    found = documents.read(data, where=where)
    return bool(found) and all(
        isinstance(one.value, Mapping)
        and str(one.value.get("apiVersion", "")).startswith(f"{KUSTOMIZE}/")
        for one in found
    )


def _objects(data: bytes, where: str, open_sealed: Opener) -> tuple[tuple[str, Resource], ...]:
    if b"sops" in data and any(sealed(one.value) for one in documents.read(data, where=where)):
        data = open_sealed(data, where=where)
        where = f"{where} (decrypted)"
    return resource.located(data, where=where)


def sealed(value: Any) -> bool:
    """True for a document that SOPS has encrypted (getsops/sops, README "Encryption protocol")."""
    found = value.get("sops") if isinstance(value, Mapping) else None
    return isinstance(found, Mapping) and "mac" in found
