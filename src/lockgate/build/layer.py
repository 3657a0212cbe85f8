"""Layers: the same entries give the same bytes (OCI image specification 1.1, layer.md).

Owners and times are zero, names are written in PAX format where ustar cannot hold them, and zlib runs at
one level. Entries stream through: memory does not grow with the layer.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.oci.manifest import LAYER_GZIP, Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lockgate.oci.layout import Layout

LEVEL = 5
"""zlib's level for every layer: a third faster than 6 for one percent more bytes. Changing it changes every
digest."""

_BLOCK = 512
_BUFFER = 1 << 18

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952 section 2.3: deflate, no name, time zero, operating system unknown. Written by us, since zlib
puts its build's operating system there."""


class Entry(NamedTuple):
    """One file, folder or link of a layer."""

    path: str
    """Relative to the root: `usr/bin/python3`; no leading `/` or `./`, no `..`."""
    kind: Literal["file", "dir", "symlink", "hardlink"]
    mode: int
    """Permission bits only: 0o644."""
    data: bytes | Callable[[], Iterable[bytes]] = b""
    """Content of a file: its bytes, or a call that yields them in pieces."""
    size: int = 0
    """Length of the content in bytes; must be given when `data` is a call."""
    link: str = ""
    """Target: of a symlink as it is written, of a hardlink a path in the layer."""


class Layer(NamedTuple):
    """A layer in the store."""

    descriptor: Descriptor
    diff_id: str
    """Digest of the uncompressed tar stream."""


def write_layer(layout: Layout, entries: Iterable[Entry]) -> Layer:
    """Write entries, in the order given, as one gzip-compressed layer into the store.

    Missing parent folders are added with mode 0755 before their first child.

    Raises:
        UsageError: as `tar_stream`.
        StorageError: the disk is full.
    """
    with layout.writer() as blob:
        diff, crc, size, pending = hashlib.sha256(), 0, 0, bytearray()
        squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 8)
        blob.write(_GZIP_HEADER)
        for piece in tar_stream(entries):
            pending += piece
            if len(pending) >= _BUFFER:
                diff.update(pending)
                crc, size = zlib.crc32(pending, crc), size + len(pending)
                blob.write(squeeze.compress(pending))
                pending.clear()
        diff.update(pending)
        crc, size = zlib.crc32(pending, crc), size + len(pending)
        blob.write(squeeze.compress(pending) + squeeze.flush())
        blob.write(crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
    descriptor = Descriptor(media_type=LAYER_GZIP, digest=blob.digest, size=blob.size)
    return Layer(descriptor, "sha256:" + diff.hexdigest())


def tar_stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the tar archive of entries in pieces.

    Raises:
        UsageError: a path leaves the root, stands twice or lies below a file; a hardlink points at nothing
            before it; a file's content has another size than said.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        parts = entry.path.split("/")
        if "\0" in entry.path or any(part in ("", ".", "..") for part in parts):
            raise _refused(entry, "cannot be a path in an image")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            kind = seen.get(parent)
            if kind is None:
                seen[parent] = "dir"
                yield _header(Entry(parent, "dir", 0o755))
            elif kind != "dir":
                # Through a link, the file would land somewhere else.
                raise _refused(entry, f"lies below {parent!r}, which is no folder")
        known = seen.get(entry.path)
        if known == entry.kind == "dir":
            continue
        if known is not None:
            raise _refused(entry, "stands twice in one layer")
        if entry.kind == "hardlink" and seen.get(entry.link) not in ("file", "hardlink"):
            raise _refused(entry, f"is a hardlink to {entry.link!r}, which is no file before it")
        seen[entry.path] = entry.kind
        yield from _member(entry)
    yield b"\0" * (2 * _BLOCK)


def _refused(entry: Entry, why: str) -> UsageError:
    return UsageError(f"{entry.path!r} {why}", hint="leave it out of the image with `exclude`")


def _member(entry: Entry) -> Iterator[bytes]:
    if entry.kind != "file":
        yield _header(entry)
        return
    if isinstance(entry.data, bytes):
        entry = entry._replace(size=len(entry.data))
    yield _header(entry)
    written = 0
    for piece in [entry.data] if isinstance(entry.data, bytes) else entry.data():
        written += len(piece)
        yield piece
    if written != entry.size:
        raise UsageError(
            f"{entry.path!r} has {written} bytes, {entry.size} were announced",
            hint="it changed while it was read: run the same command again",
        )
    yield b"\0" * (-written % _BLOCK)


_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path + "/" if entry.kind == "dir" else entry.path)
    info.type = _TYPES[entry.kind]
    info.mode = 0o777 if entry.kind == "symlink" else entry.mode & 0o7777
    info.size = entry.size if entry.kind == "file" else 0
    info.linkname = entry.link
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


_KNOWN_ANSWER = "db3931a04e1e1f6114fd694eff57a1be82e6ea7530c3a3f89b5e98f36b7a0a5e"
"""What zlib 1.2.13 makes of the probe below."""


def zlib_is_reference() -> bool:
    """True when this Python's zlib writes the bytes of the reference implementation.

    zlib-ng in compatibility mode is a valid zlib with other output; digests of layers made with it differ
    from everyone else's, so the builder's identity says which one it was.
    """
    probe = b"".join(hashlib.sha256(bytes([n])).hexdigest().encode() for n in range(256)) * 4
    packed = zlib.compress(probe, LEVEL)
    return hashlib.sha256(packed).hexdigest() == _KNOWN_ANSWER
