"""The entries of a layer as they are in the blob, read once, in bounded memory, and checked on the way.

Own reading of tar headers (POSIX pax and the GNU long names), since the library's reader loads an extended
header of any claimed size, follows global headers that container runtimes ignore, and cannot be bounded.
What two readers could read differently is refused (OCI image specification 1.1, layer.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tarfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from lockgate.base.errors import DigestMismatch, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import LAYER_GZIP, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 512
_PIECE = 1 << 20
"""Most bytes that are held at once."""
_PACKED = 1 << 16
"""Bytes of the blob that are taken at once; zlib copies what is left of them at the end of every member."""

_MAX_HEADER = 1 << 20
"""Bytes of the extended headers of one entry, together."""

_DIGITS = re.compile(r"[0-9]{1,20}")
_LENGTH = re.compile(rb"([1-9][0-9]{0,9}) ")
"""Numbers as tar writes them. Python's own reading is wider, and another reader's might be, too."""

_RATIO_FROM = 64 << 20
"""Bytes of a layer that may come out whatever its ratio: text and zeros compress well."""

_MAX_ID = 2**32 - 2
"""Largest user or group id; the one above it means "unchanged" to chown(2)."""

_MAX_NUMBER = 2**48
"""Largest size in bytes and time in seconds; more would overflow in the kernel's types."""

_KINDS: dict[bytes, Literal["file", "dir", "symlink", "hardlink"]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}

_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_REBUILD = "run `inv build` again; an image that others made should be asked for again"


class Limits(NamedTuple):
    """What an image may cost to unpack. Beyond it is a bomb or a mistake."""

    size: int = 8 << 30
    """Bytes of all layers together, uncompressed."""
    entries: int = 500_000
    """Entries of all layers together, with the folders that they imply and the members of their gzip streams."""
    ratio: int = 200
    """Uncompressed bytes for each compressed one, in a layer of more than 64 MB."""


DEFAULT = Limits()


class Budget:
    """How much of the limits is used up; one for all layers of an image."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size = 0
        self.entries = 0


class Member(NamedTuple):
    """One entry as the archive has it; nothing in it has been checked but its form."""

    name: str
    """As written: may be absolute or hold `..`."""
    kind: Literal["file", "dir", "symlink", "hardlink"]
    mode: int
    uid: int
    gid: int
    mtime: int
    """Whole seconds since 1970."""
    size: int
    """Bytes of content; 0 for all but files."""
    link: str
    """Target of a link as written."""


class LayerReader:
    """Reads one layer: `entries` first to its end, then `finish`.

    The bytes that are unpacked are the bytes that are hashed, so nobody can change the blob in between.
    """

    def __init__(
        self, blob: BinaryIO, descriptor: Descriptor, diff_id: str, budget: Budget
    ) -> None:
        if descriptor.media_type != LAYER_GZIP:
            raise UsageError(
                f"layers of type {descriptor.media_type!r} are not read",
                hint=f"build the image with layers of type {LAYER_GZIP}",
            )
        self._name = Digest(descriptor.digest).short
        self._blob, self._descriptor, self._diff_id = blob, descriptor, diff_id
        self._budget = budget
        self._packed, self._plain = hashlib.sha256(), hashlib.sha256()
        self._in = self._out = 0
        self._stream = self._inflate()
        self._buffer, self._at = b"", 0
        """The last piece of the stream, and how much of it is used."""
        self._left = 0
        """Bytes of the current member, padding included, that are still in the stream."""
        self._content = 0
        """Bytes of the current member's content that `content` has not yielded."""

    def entries(self) -> Iterator[Member]:
        """Yield the members in order; `content` gives the current one's bytes.

        Raises:
            DigestMismatch: the archive is broken because the blob was changed.
            TrustError: it breaks a limit, or holds devices, pipes or sparse files.
            UsageError: it is not a tar archive.
        """
        with self._explained():
            yield from self._members()

    def content(self) -> Iterator[bytes]:
        """Yield the current member's content in pieces.

        Raises:
            DigestMismatch, TrustError, UsageError: as `entries`; a file may be cut off in its middle.
        """
        with self._explained():
            while self._content:
                piece = self._some(self._content)
                self._content -= len(piece)
                self._left -= len(piece)
                yield piece

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (zlib.error, tarfile.HeaderError, EOFError, ValueError) as error:
            # Changed bytes are the likelier reason, and the one to be told.
            self.check_blob()
            raise UsageError(
                f"layer {self._name} is not a readable archive: {error}", hint=_REBUILD
            ) from None
        except TrustError:
            self.check_blob()
            raise

    def finish(self) -> None:
        """Check digest, size and diff_id, now that everything was read.

        Raises:
            DigestMismatch: the blob's bytes are not those of the descriptor or of the configuration.
        """
        self.check_blob()
        found = "sha256:" + self._plain.hexdigest()
        if found != self._diff_id:
            raise DigestMismatch(
                f"layer {self._name} unpacks to {Digest(found).short}, the configuration says "
                f"{Digest(self._diff_id).short}",
                hint=_REBUILD,
            )

    def check_blob(self) -> None:
        """Read the rest of the blob and compare its digest and size with the descriptor.

        Raises:
            DigestMismatch: they differ.
        """
        while piece := self._blob.read(_PIECE):
            self._packed.update(piece)
            self._in += len(piece)
        digest = "sha256:" + self._packed.hexdigest()
        if (digest, self._in) != (self._descriptor.digest, self._descriptor.size):
            raise DigestMismatch(
                f"layer {self._name} has other bytes than its digest says", hint=_REBUILD
            )

    def room(self) -> bool:
        """Count one more entry, or what is as much work; False when there are too many."""
        self._budget.entries += 1
        return self._budget.entries <= self._budget.limits.entries

    def refuse(self, name: str, why: str) -> TrustError:
        """Return the error for an entry that must not be unpacked."""
        return TrustError(
            f"layer {self._name} is refused: {name!r} {why}",
            hint="do not run this image; find out who built it",
        )

    def _members(self) -> Iterator[Member]:
        extended: dict[str, str] = {}
        held = 0
        while (block := self._exactly(_BLOCK)).strip(b"\0"):
            info = self._header(block)
            if not self.room():
                raise self.refuse(info.name, f"is entry {self._budget.entries}, too many")
            if info.type in _EXTENDED:
                held += info.size
                if held > _MAX_HEADER:
                    raise self.refuse(info.name, f"has an extended header of {held} bytes")
                extended |= self._extended(info)
                continue
            yield self._member(info, extended)
            extended, held = {}, 0
            for _ in self.content():
                pass
            self._exactly(self._left)
        if self._exactly(_BLOCK).strip(b"\0"):
            raise ValueError("one zero block stands in the middle")
        for piece in self._rest():
            if piece.count(0) != len(piece):
                raise ValueError("something follows its end")

    def _header(self, block: bytes) -> tarfile.TarInfo:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.size < 0:
            raise ValueError("an entry has a negative size")
        if is_ambiguous(block):
            raise self.refuse(info.name, "has a name that readers differ about")
        return info

    def _extended(self, info: tarfile.TarInfo) -> dict[str, str]:
        """Read a header that speaks of the next entry; return what it says, by pax keyword."""
        data = self._exactly(info.size)
        self._exactly(-info.size % _BLOCK)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
            return {key: data.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
        records = _pax(data)
        if info.type == tarfile.XHDTYPE:
            return records
        if records.keys() & {"path", "linkpath", "size", "uid", "gid"}:
            # tar applies these to every later entry, container runtimes to none.
            raise self.refuse(info.name, "changes the names of all entries after it")
        return {}

    def _member(self, info: tarfile.TarInfo, extended: dict[str, str]) -> Member:
        kind = _KINDS.get(info.type)
        name = extended.get("path", info.name)
        if kind is None:
            raise self.refuse(name, "is a device, a pipe or of an unknown type")
        if any(key.startswith("GNU.sparse") for key in extended):
            raise self.refuse(name, "is a sparse file")
        size = _number(extended.get("size", info.size)) if kind == "file" else 0
        self._content = size
        self._left = size + -size % _BLOCK
        return Member(
            name=name,
            kind=kind,
            mode=info.mode,
            uid=_number(extended.get("uid", info.uid), _MAX_ID),
            gid=_number(extended.get("gid", info.gid), _MAX_ID),
            mtime=_number(str(extended.get("mtime", info.mtime)).partition(".")[0]),
            size=size,
            link=extended.get("linkpath", info.linkname),
        )

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            parts.append(self._some(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        while self._at == len(self._buffer):
            try:
                self._buffer, self._at = next(self._stream), 0
            except StopIteration:
                raise EOFError("it is cut off") from None
        piece = self._buffer[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _rest(self) -> Iterator[bytes]:
        yield self._buffer[self._at :]
        yield from self._stream

    def _inflate(self) -> Iterator[bytes]:
        """Yield the uncompressed stream in pieces of at most _PIECE bytes (RFC 1952)."""
        unpack = zlib.decompressobj(wbits=31)
        while piece := self._blob.read(_PACKED):
            self._packed.update(piece)
            self._in += len(piece)
            while piece:
                if unpack.eof:
                    if not self.room():
                        raise self.refuse("it", "is packed in too many parts")
                    unpack = zlib.decompressobj(wbits=31)
                yield self._count(unpack.decompress(piece, _PIECE))
                piece = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
        yield self._count(unpack.flush())
        if not unpack.eof:
            raise EOFError("it is cut off")

    def _count(self, piece: bytes) -> bytes:
        self._plain.update(piece)
        self._out += len(piece)
        self._budget.size += len(piece)
        limits = self._budget.limits
        if self._budget.size > limits.size:
            raise self.refuse("it", f"has more than {limits.size} bytes with the layers below")
        if self._out > max(_RATIO_FROM, limits.ratio * self._in):
            raise self.refuse("it", f"unpacks to more than {limits.ratio} times its size")
        return piece


def is_ambiguous(block: bytes) -> bool:
    """True for a header whose name `tarfile` puts together of two parts, and other readers do not.

    It looks for the first part in any header. Only POSIX's form has it there; GNU's and star's have times, and the
    oldest one has nothing.
    """
    is_posix = block[257:265] == b"ustar\x0000" and block[508:] != b"tar\0"
    return bool(block[345:500].strip(b"\0")) and not is_posix


def _number(value: str | int, most: int = _MAX_NUMBER) -> int:
    if not _DIGITS.fullmatch(str(value)):
        raise ValueError(f"{value!r} cannot be a size, a time or an id")
    number = int(value)
    if not 0 <= number <= most:
        raise ValueError(f"{number} cannot be a size, a time or an id")
    return number


def _pax(data: bytes) -> dict[str, str]:
    """Parse the records of an extended header: length, key, value (POSIX pax, "pax Extended Header")."""
    found, at = {}, 0
    while at < len(data):
        length = _LENGTH.match(data, at)
        end = at + int(length[1]) if length else 0
        key, equals, value = data[length.end() if length else 0 : end].partition(b"=")
        if not length or not equals or not value.endswith(b"\n") or end > len(data):
            raise ValueError("an extended header is damaged")
        at = end
        found[key.decode("utf-8")] = value[:-1].decode("utf-8", "surrogateescape")
    return found
