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

WHERE_STDIN = "standard input"

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


class File(NamedTuple):
    """A file that was read."""

    word: str
    """What was named: the file itself, or a folder above it."""
    where: str
    """How to name it in an error."""
    data: bytes

    @property
    def name(self) -> str:
        """Its own name, without the folders."""
        return self.where.rpartition("/")[2]

    @property
    def named(self) -> bool:
        """True when it was named itself, and not found in a folder."""
        return self.where in (self.word, WHERE_STDIN)


class Located(NamedTuple):
    """Objects with their places, and what was left out."""

    found: tuple[tuple[str, Resource], ...]
    """Each with its place: file and line."""
    skipped: tuple[str, ...]
    """Files of kustomize in folders, and files without a document."""


def gather(paths: Iterable[str], *, stdin: bytes) -> tuple[File, ...]:
    """Read files and folders; what is in them is not looked at yet.

    Args:
        paths: files, folders, and `-` for standard input, in the order in which they were named.
        stdin: what standard input holds.

    Raises:
        UsageError: a path is not there or holds no file of manifests.
    """
    found: list[File] = []
    for word in paths:
        before = len(found)
        if word == STDIN:
            found.append(File(word, WHERE_STDIN, stdin))
        else:
            found += (File(word, str(path), _read(path)) for path in _files(word))
        if len(found) == before:
            raise _empty(word)
    return tuple(found)


def collect(files: Iterable[File], *, open_sealed: Opener) -> Located:
    """Return every object in files.

    Args:
        files: what `gather` read.
        open_sealed: opens what SOPS has encrypted.

    Raises:
        UsageError: what was named holds no object, a document is no object, or one object stands twice.
        ToolError: an encrypted file could not be opened.
    """
    found: list[tuple[str, Resource]] = []
    skipped: list[str] = []
    held: dict[str, int] = {}
    for one in files:
        held.setdefault(one.word, 0)
        left_out = not one.named and _of_kustomize(one)
        listed = () if left_out else _objects(one.data, one.where, open_sealed)
        held[one.word] += len(listed)
        found += listed
        if not listed:
            skipped.append(one.where)
    for word, count in held.items():
        if not count:
            raise _empty(word)
    return Located(resource.unique(found), tuple(skipped))


def _empty(word: str) -> UsageError:
    return UsageError(f"{word} holds no object", hint="check that it is the right path")


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


def _files(text: str) -> Iterator[Path]:
    path = Path(text)
    if path.is_file():
        yield path
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
                yield Path(folder, name)


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


def _of_kustomize(file: File) -> bool:
    if file.name in overlay.NAMES:
        return True
    if KUSTOMIZE.encode() not in file.data:
        return False
    found = documents.read(file.data, where=file.where)
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
