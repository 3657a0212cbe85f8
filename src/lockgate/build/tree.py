"""The files of a component: which ones count, and one digest over all of them."""

from __future__ import annotations

import hashlib
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path  # noqa: TC003 - a field of SourceFile
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK = 1 << 20


def source_files(folder: Path, exclude: Sequence[str], *, may_be_none: bool = False) -> list[str]:
    """Return the paths of the component's files and links, relative to `folder`, sorted.

    Everything in the folder counts but what `exclude` matches, hidden files and folders, and what Python
    and its tools leave behind. A pattern that matches a folder leaves out all below it.

    Raises:
        UsageError: the folder is absent or cannot be read; it has no file, unless it may have none.
    """
    if not folder.is_dir():
        raise UsageError(f"the component's folder {folder} does not exist", hint="check its `path`")
    try:
        found = sorted(_walk(folder, "", exclude))
    except OSError as error:
        raise _unreadable(error.filename, error) from None
    if not found and not may_be_none:
        raise UsageError(
            f"the component's folder {folder} has no files", hint="check its `exclude`"
        )
    return found


_LEFT_BEHIND = {"__pycache__", "node_modules"}


def _walk(folder: Path, below: str, exclude: Sequence[str]) -> Iterable[str]:
    with os.scandir(folder) as listing:
        for item in listing:
            path = below + item.name
            if _left_out(path, exclude):
                continue
            if item.is_dir(follow_symlinks=False):
                yield from _walk(folder / item.name, path + "/", exclude)
            else:
                yield path


def _left_out(path: str, exclude: Sequence[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    return (
        name.startswith(".")
        or name in _LEFT_BEHIND
        or name.endswith(".pyc")
        or any(fnmatchcase(path, one.removeprefix("./").strip("/")) for one in exclude)
    )


def is_source(path: str, exclude: Sequence[str]) -> bool:
    """True when `source_files` would list this path if it existed."""
    parts = path.split("/")
    return not any(
        _left_out("/".join(parts[:depth]), exclude) for depth in range(1, len(parts) + 1)
    )


def content_digest(folder: Path, paths: Sequence[str]) -> str:
    """Return one digest over the names, kinds, executable bits and bytes of files.

    Raises:
        UsageError: a path is neither a file nor a symbolic link, or cannot be read.
    """
    total = ContentHash()
    for path in paths:
        item = SourceFile.of(folder, path)
        for piece in item.pieces():
            total.update(piece)
        total.close(item)
    return total.digest


class SourceFile(NamedTuple):
    """One file or link of a component."""

    path: str
    """Relative to the component's folder."""
    kind: Literal["-", "x", "l"]
    """A file, an executable file, or a symbolic link. Only the owner's executable bit counts, as in git:
    the rest of the mode depends on the umask."""
    size: int
    target: bytes
    """What a link points at."""
    full: Path

    @classmethod
    def of(cls, folder: Path, path: str) -> Self:
        """Look at a path.

        Raises:
            UsageError: it is neither a file nor a symbolic link, or cannot be read.
        """
        full = folder / path
        try:
            found = full.lstat()
            if stat.S_ISLNK(found.st_mode):
                target = os.fsencode(full.readlink())
                return cls(path, "l", len(target), target, full)
        except OSError as error:
            raise _unreadable(full, error) from None
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(
                f"{full} is neither a file nor a link", hint="leave it out with `exclude`"
            )
        return cls(path, "x" if found.st_mode & stat.S_IXUSR else "-", found.st_size, b"", full)

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces; a link's content is its target.

        Raises:
            UsageError: the file cannot be read.
        """
        if self.kind == "l":
            yield self.target
            return
        try:
            with self.full.open("rb") as file:
                while piece := file.read(_CHUNK):
                    yield piece
        except OSError as error:
            raise _unreadable(self.full, error) from None


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be read: {error.strerror}", hint="check its mode, or use `exclude`"
    )


class ContentHash:
    """Adds up files, one after another, into the digest that `content_digest` returns."""

    def __init__(self) -> None:
        self._total = hashlib.sha256()
        self._one = hashlib.sha256()

    def update(self, piece: bytes) -> None:
        """Add bytes of the current file."""
        self._one.update(piece)

    def close(self, item: SourceFile) -> None:
        """End the current file."""
        # NUL is the one byte that no path holds: a line feed in a name could pass for the next file.
        line = f"{item.kind} {self._one.hexdigest()} {item.path}\0"
        self._total.update(line.encode("utf-8", "surrogateescape"))
        self._one = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of all files so far."""
        return "sha256:" + self._total.hexdigest()
