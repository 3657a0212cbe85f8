"""The names of a layout: the entries of `index.json` that carry a reference name (image-layout.md).

The file is replaced atomically under a lock: a reader sees all of a change or nothing of it, and two
writers do not lose each other's names.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.oci import seen
from lockgate.oci.manifest import REF_NAME, Descriptor, Index, index_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Names:
    """What each name in `index.json` points at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: _Read | None = None

    def tags(self) -> dict[str, Descriptor]:
        """Return every name in `index.json` with what it points at, sorted by name."""
        return dict(self._read().names)

    def resolve(self, name: str) -> Descriptor:
        """Return what a name points at now.

        Raises:
            UsageError: there is no such name.
        """
        try:
            return self._read().names[name]
        except KeyError:
            raise UsageError(
                f"{name!r} is not in the store", hint=f"`inv build -c {name}` makes it"
            ) from None

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """Return what a name points at, in this layout or in a repository of a registry over it.

        Such a registry keeps the tags that it was sent as `repository:tag`.
        """
        return self._read().ending.get(name, ())

    def tag(self, names: dict[str, Descriptor]) -> None:
        """Point names at descriptors, all in one atomic change."""
        with self.change() as current:
            current.update(names)

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Descriptor]]:
        """Give every name, to be set and removed in place; what became of them is written at the end.

        The change is atomic and alone: whoever else wants one waits, so nothing slow belongs in the block.
        When the block raises, nothing is written.
        """
        with exclusive(self.root / ".lock"):
            index = self._read().document
            names = _named(index)
            before = dict(names)
            yield names
            marked = {name: _mark(name, one) for name, one in names.items()}
            changed = {name: one for name, one in marked.items() if before.get(name) != one}
            gone = before.keys() - names.keys()
            if not changed and not gone:
                return
            moved = changed.keys() | gone
            # What others wrote without a name, or twice under one, stays as it is.
            entries = [
                entry for entry in index.manifests if entry.annotations.get(REF_NAME) not in moved
            ]
            entries += changed.values()
            entries.sort(key=lambda entry: (entry.annotations.get(REF_NAME, ""), entry.digest))
            written = msgspec.structs.replace(index, manifests=tuple(entries))
            atomic_write(self.root / "index.json", index_bytes(written))

    def _read(self) -> _Read:
        """Return what the file says now; it is parsed again only when it may have changed."""
        path, last = self.root / "index.json", self._last
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                if last is not None and last.file == seen.identity(before):
                    return last
                data = file.read()
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            raise UsageError(
                f"{self.root} is not an image layout", hint="`inv build` makes one"
            ) from None
        except OSError as error:
            raise storage_error(error, path) from error
        found = _Read.of(Index.parse(data), seen.identity(after))
        self._last = found if seen.settled(before, after, time.time_ns()) else None
        return found


class _Read(NamedTuple):
    """One reading of `index.json`. Nobody changes what is in it."""

    file: tuple[int, ...]
    """Identity of the file."""
    document: Index
    names: dict[str, Descriptor]
    """Sorted by name."""
    ending: dict[str, tuple[Descriptor, ...]]
    """What each name points at, and each tag of any repository, `repository:tag`; every digest once."""

    @classmethod
    def of(cls, index: Index, file: tuple[int, ...]) -> Self:
        """Sort the entries."""
        names = dict(sorted(_named(index).items()))
        ending: dict[str, dict[str, Descriptor]] = {}
        for name, entry in names.items():
            for end in {name, name.rpartition(":")[2]}:
                ending.setdefault(end, {}).setdefault(entry.digest, entry)
        return cls(file, index, names, {key: tuple(one.values()) for key, one in ending.items()})


def _named(index: Index) -> dict[str, Descriptor]:
    return {
        entry.annotations[REF_NAME]: entry
        for entry in index.manifests
        if REF_NAME in entry.annotations
    }


def _mark(name: str, descriptor: Descriptor) -> Descriptor:
    if descriptor.annotations.get(REF_NAME) == name:
        return descriptor
    return msgspec.structs.replace(
        descriptor, annotations={**descriptor.annotations, REF_NAME: name}
    )
