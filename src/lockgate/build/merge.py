"""Files of several packages in one root: paths of the merged `/usr`, patterns, and no two things in one place."""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lockgate.build.layer import Entry

MERGED = ("bin", "lib", "lib64", "sbin")
"""Folders that are links into `usr` since Debian 12 (usrmerge); packages may still ship the old paths."""


class _Placed(NamedTuple):
    owner: str
    kind: str
    mode: int
    link: str
    sha256: str


class Merge:
    """What a layer holds so far."""

    def __init__(self) -> None:
        self._placed: dict[str, _Placed] = {}

    def has(self, path: str) -> bool:
        """True when the layer has something there, or below."""
        return path in self._placed

    def add(self, entries: Iterable[Entry], owner: str) -> Iterator[Entry]:
        """Pass on what is new. The same thing twice stands once; of two folders the first one's mode counts.

        Args:
            entries: files, links and folders; a file's content is read before the next entry.
            owner: whose they are, for an error.

        Raises:
            UsageError: something else is there already, or the folder above is a link or a file.
        """
        for entry in entries:
            self._parents(entry, owner)
            if entry.kind == "hardlink" and entry.link not in self._placed:
                raise UsageError(
                    f"{owner}: `{entry.path}` is a hard link to `{entry.link}`, which is excluded",
                    hint="name the target under `keep` in `stack.yaml`",
                )
            known = self._placed.get(entry.path)
            placed = _Placed(owner, entry.kind, entry.mode, entry.link, "")
            if known is None:
                self._placed[entry.path] = placed
                yield self._remembered(entry, placed)
            elif known.kind == entry.kind == "dir":
                continue
            elif known._replace(owner=owner) != placed._replace(sha256=_sha256(entry)):
                raise UsageError(
                    f"`{entry.path}` is in {known.owner} and in {owner}, with different content",
                    hint="exclude it in `stack.yaml`, or leave one of the packages out",
                )

    def _remembered(self, entry: Entry, placed: _Placed) -> Entry:
        """Note the content's digest while it passes through."""
        if entry.kind != "file":
            return entry
        pieces = _pieces(entry)

        def passing() -> Iterator[bytes]:
            found = hashlib.sha256()
            for piece in pieces:
                found.update(piece)
                yield piece
            self._placed[entry.path] = placed._replace(sha256=found.hexdigest())

        if isinstance(entry.data, bytes):
            return entry._replace(data=b"".join(passing()))
        return entry._replace(data=passing)

    def _parents(self, entry: Entry, owner: str) -> None:
        """Every folder above an entry is a folder: through a link, a file would land somewhere else."""
        parent = entry.path.rpartition("/")[0]
        while parent:
            known = self._placed.setdefault(parent, _Placed(owner, "dir", 0o755, "", ""))
            if known.kind != "dir":
                raise UsageError(
                    f"`{entry.path}` of {owner} lies in `{parent}`, which is no folder in {known.owner}",
                    hint="exclude one of the two in `stack.yaml`",
                )
            parent = parent.rpartition("/")[0]


def _pieces(entry: Entry) -> Iterable[bytes]:
    return [entry.data] if isinstance(entry.data, bytes) else entry.data()


def _sha256(entry: Entry) -> str:
    if entry.kind != "file":
        return ""
    found = hashlib.sha256()
    for piece in _pieces(entry):
        found.update(piece)
    return found.hexdigest()


def merged(entry: Entry) -> Entry:
    """Return an entry as the merged `/usr` has it: `lib/x` as `usr/lib/x`.

    A relative link that climbs out of a folder that moved is written from the root, since it would climb
    one folder too few.
    """
    path, link = merged_path(entry.path), entry.link
    if entry.kind == "hardlink":
        link = merged_path(link)
    elif path != entry.path and entry.kind == "symlink" and link.startswith("../"):
        link = posixpath.normpath(posixpath.join("/", posixpath.dirname(entry.path), link))
    return entry._replace(path=path, link=link)


def merged_path(path: str) -> str:
    """Return where a path lies once `/usr` is merged."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED else path


def matching(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a test: does a path, or a folder above it, match one of the patterns?

    `*` stands for any characters within a name, `**` for any characters at all.
    """
    each = "|".join(_expression(pattern) for pattern in patterns)
    compiled = re.compile(f"(?:{each})(?:/.*)?", re.DOTALL)
    return lambda path: bool(each) and compiled.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    parts = re.split(r"(\*+)", pattern.strip("/"))
    stars = {"*": "[^/]*", "**": ".*"}
    return "".join(stars.get(part, re.escape(part)) for part in parts)
