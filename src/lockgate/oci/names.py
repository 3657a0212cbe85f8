"""The names of a layout: the entries of `index.json` that carry a reference name (image-layout.md).

The file is replaced atomically under a lock: a reader sees all of a change or nothing of it, and two
writers do not lose each other's names.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.oci.manifest import REF_NAME, Descriptor, Index, index_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Names:
    """What each name in `index.json` points at."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def tags(self) -> dict[str, Descriptor]:
        """Return every name in `index.json` with what it points at, sorted by name."""
        return dict(sorted(_named(self._index()).items()))

    def resolve(self, name: str) -> Descriptor:
        """Return what a name points at now.

        Raises:
            UsageError: there is no such name.
        """
        try:
            return self.tags()[name]
        except KeyError:
            raise UsageError(
                f"{name!r} is not in the store", hint=f"`inv build -c {name}` makes it"
            ) from None

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """Return what a name points at, in this layout or in a repository of a registry over it.

        Such a registry keeps the tags that it was sent as `repository:tag`.
        """
        found = (
            entry
            for other, entry in self.tags().items()
            if other == name or other.endswith(f":{name}")
        )
        return tuple({entry.digest: entry for entry in found}.values())

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
            index = self._index()
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

    def _index(self) -> Index:
        try:
            data = (self.root / "index.json").read_bytes()
        except FileNotFoundError:
            raise UsageError(
                f"{self.root} is not an image layout", hint="`inv build` makes one"
            ) from None
        except OSError as error:
            raise storage_error(error, self.root / "index.json") from error
        return Index.parse(data)


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
