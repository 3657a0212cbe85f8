"""An image with its evidence as one file: a tar archive of an OCI image layout (image-layout.md).

The same image gives the same bytes: entries stand in the order of their names, times and owners are zero. The
file appears when it is whole. It is read in place, so nothing of it becomes a path on this machine; what two
readers could read differently is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import loads
from lockgate.base.errors import TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.entries import is_ambiguous
from lockgate.oci.layout import CHUNK
from lockgate.oci.manifest import MAX_JSON, REF_NAME, Descriptor, Index
from lockgate.oci.referrers import fallback_tag
from lockgate.oci.store import checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

MARKER = "oci-layout"
INDEX_FILE = "index.json"
VERSION = b'{"imageLayoutVersion":"1.0.0"}'

_BLOCK = 512
_MAX_ENTRIES = 100_000
_MAX_HEADER = 1 << 20
_MAX_PADDING = 1 << 20
"""Bytes of zeros after the last entry; tar fills up to 10 kB."""
_SILENT = re.compile(rb" (?:path|linkpath|size|uid|gid)=| GNU\.sparse")
"""Records of an extended header that would change where or how large the next entry is."""

_DAMAGED = "make it again: `inv copy SOURCE archive:PATH`"


class _Entry(NamedTuple):
    at: int
    """Offset of the content in the file."""
    size: int


class Archive:
    """An archive that is there; a `store.Source`.

    Raises:
        UsageError: the file is not there, or is no archive of a layout.
        TrustError: it holds something that no layout holds.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, f"archive:{path}"
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror}", hint="check the path"
            ) from None
        try:
            self._entries = _scan(self._file.fileno(), self.label)
            self.names = self._read_names()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def only(self) -> Descriptor:
        """Return the image of an archive that holds one.

        Raises:
            UsageError: it holds none, or several.
        """
        found = {one.digest: one for name, one in self.names if not name.startswith("sha256-")}
        if len(found) != 1:
            names = ", ".join(sorted(name or "?" for name, _ in self.names))
            raise UsageError(
                f"{self.label} holds {len(found)} images ({names})",
                hint="an archive that is read here holds one, with what belongs to it",
            )
        return next(iter(found.values()))

    def absent(self, what: str) -> UsageError:
        """Return the error for what is not here."""
        return UsageError(f"{what} is not in {self.label}", hint="check name and digest")

    def resolve(self, name: str) -> Descriptor | None:
        """Return what a name in the archive points at."""
        return next((one for found, one in self.names if found == name), None)

    def manifest(self, digest: str) -> bytes | None:
        """Return a checked manifest, or None."""
        path = _blob(digest)
        if path not in self._entries:
            return None
        return Digest(digest).check(self._small(path), f"{path} in {self.label}")

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the referrers that the archive lists for a digest."""
        listing = self.resolve(fallback_tag(digest))
        data = self.manifest(listing.digest) if listing else None
        return Index.parse(data).manifests if data else ()

    def has(self, descriptor: Descriptor) -> bool:
        """True when the blob is there with this size."""
        entry = self._entries.get(_blob(descriptor.digest))
        return entry is not None and entry.size == descriptor.size

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Hand out a blob, checked on the way."""
        entry = self._entries.get(_blob(descriptor.digest))
        if entry is None:
            raise UsageError(f"{_blob(descriptor.digest)} is not in {self.label}", hint=_DAMAGED)
        yield checked(self._pieces(entry), descriptor, self.label)

    def _pieces(self, entry: _Entry) -> Iterator[bytes]:
        at, left = entry
        # Reading at a place, so that several threads can share the file.
        while left and (piece := os.pread(self._file.fileno(), min(CHUNK, left), at)):
            at, left = at + len(piece), left - len(piece)
            yield piece

    def _small(self, name: str) -> bytes:
        entry = self._entries.get(name)
        if entry is None or entry.size > MAX_JSON:
            what = "is not there" if entry is None else f"is larger than {MAX_JSON} bytes"
            raise UsageError(f"{name} in {self.label} {what}", hint=_DAMAGED)
        return b"".join(self._pieces(entry))

    def _read_names(self) -> list[tuple[str, Descriptor]]:
        if loads(self._small(MARKER), what=MARKER) != loads(VERSION):
            raise UsageError(f"{self.label} is a layout of another version", hint=_DAMAGED)
        entries = Index.parse(self._small(INDEX_FILE)).manifests
        names = [(one.annotations.get(REF_NAME, ""), one) for one in entries]
        if len({name for name, _ in names if name}) != sum(bool(name) for name, _ in names):
            raise _refused(self.label, INDEX_FILE, "gives one name to two images")
        return names


def _blob(digest: str) -> str:
    return f"blobs/sha256/{Digest(digest).hex}"


def _scan(file: int, label: str) -> dict[str, _Entry]:
    """Return where each file of a tar archive lies; read the headers and nothing else."""
    found: dict[str, _Entry] = {}
    size, at, count = os.fstat(file).st_size, 0, 0
    try:
        while (block := os.pread(file, _BLOCK, at)).strip(b"\0"):
            info = _header(block, label)
            at, count = at + _BLOCK, count + 1
            end = at + info.size
            if info.size < 0 or end > size or count > _MAX_ENTRIES:
                raise EOFError("it is cut off, or has too many entries")
            if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
                header = os.pread(file, min(info.size, _MAX_HEADER), at)
                if info.size > _MAX_HEADER or _SILENT.search(header):
                    raise _refused(label, info.name, "changes the name or size of another entry")
            elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                name = _plain(info.name, label)
                if name in found:
                    raise _refused(label, info.name, "stands in it twice")
                found[name] = _Entry(at, info.size)
            elif info.type == tarfile.DIRTYPE and not info.size:
                _plain(info.name, label)
            else:
                raise _refused(label, info.name, "is a link, a device or of an unknown type")
            at = end + -info.size % _BLOCK
        rest = os.pread(file, _MAX_PADDING + 1, at)
        if not _BLOCK <= len(rest) <= _MAX_PADDING or rest.strip(b"\0"):
            raise EOFError("it does not end where it should")
    except (tarfile.HeaderError, EOFError) as error:
        raise UsageError(f"{label} is not a whole tar archive: {error}", hint=_DAMAGED) from None
    return found


def _header(block: bytes, label: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if is_ambiguous(block):
        raise _refused(label, info.name, "has a name that readers differ about")
    return info


def _plain(name: str, label: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise _refused(label, name, "leaves the archive")
    return "/".join(parts)


def _refused(label: str, name: str, why: str) -> TrustError:
    return TrustError(
        f"{label} is refused: {name!r} {why}", hint="do not use this file; find out who made it"
    )
