"""Writing an archive; `store.Target`. What is put is remembered, and written in order at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tarfile
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.oci.archive import INDEX_FILE, MARKER, VERSION, Archive
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, REF_NAME, Descriptor, Index, index_bytes
from lockgate.oci.referrers import fallback_tag
from lockgate.oci.store import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from lockgate.oci.store import Opener

_BLOCK = 512
_END = bytes(2 * _BLOCK)


class ArchiveTarget:
    """A file that an image is written to; it replaces what is there when everything is written."""

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, f"archive:{path}"
        self._blobs: dict[str, tuple[Descriptor, Opener]] = {}
        self._manifests: dict[str, bytes] = {}
        self._listed: dict[str, dict[str, Descriptor]] = {}
        """Referrers by subject and digest."""
        self._names: dict[str, Descriptor] = {}
        self._written: Archive | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._written is not None:
            self._written.__exit__(kind, error, trace)

    def absent(self, what: str) -> UsageError:
        """Return the error for what is not here."""
        return UsageError(f"{what} is not in {self.label}", hint="check name and digest")

    def resolve(self, name: str) -> Descriptor | None:
        """Return what a name points at in what was written; nothing before that."""
        return self._written.resolve(name) if self._written else None

    def manifest(self, digest: str) -> bytes | None:
        """Return a manifest that was written; None before that."""
        return self._written.manifest(digest) if self._written else None

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the referrers that were written; none before that."""
        return self._written.referrers(digest) if self._written else ()

    def has(self, descriptor: Descriptor) -> bool:
        """True when the blob was written."""
        return self._written is not None and self._written.has(descriptor)

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Hand out a blob that was written."""
        if self._written is None:
            raise UsageError(f"{self.label} was not written yet")
        with self._written.open(descriptor) as pieces:
            yield pieces

    def put_blob(self, descriptor: Descriptor, opener: Opener) -> None:
        """Remember a blob and where it comes from."""
        self._blobs[descriptor.digest] = (descriptor, opener)

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Remember a manifest, and what it refers to."""
        self._manifests[descriptor.digest] = data
        listed, subject = describe(data)
        if subject:
            self._listed.setdefault(subject, {})[listed.digest] = listed

    def tag(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Remember a name."""
        if Digest.of(data) != descriptor.digest:
            raise UsageError(f"{name} cannot point at what is not there")
        self._names[name] = descriptor

    def finish(self) -> None:
        """Write the file, and open it for reading.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
            UsageError: another run writes this archive, or a blob is larger than an archive can hold.
            DigestMismatch: a blob is not what its digest says.
        """
        small = self._documents()
        sizes = {name: len(data) for name, data in small.items()}
        large = {f"blobs/sha256/{Digest(key).hex}": one for key, one in self._blobs.items()}
        sizes |= {name: descriptor.size for name, (descriptor, _) in large.items()}
        with _partial(self.path) as file:
            for name in sorted(sizes):
                _write(file, self.path, _header(name, sizes[name]))
                if name in small:
                    _write(file, self.path, small[name])
                else:
                    with large[name][1]() as pieces:
                        for piece in pieces:
                            _write(file, self.path, piece)
                _write(file, self.path, bytes(-sizes[name] % _BLOCK))
            _write(file, self.path, _END)
        self._written = Archive(self.path)

    def _documents(self) -> dict[str, bytes]:
        """Return the files that are held in memory: manifests, lists of referrers, names."""
        names = dict(self._names)
        found = {f"blobs/sha256/{Digest(key).hex}": one for key, one in self._manifests.items()}
        for subject, listed in self._listed.items():
            entries = sorted(listed.values(), key=lambda one: (one.artifact_type, one.digest))
            data = index_bytes(Index(manifests=tuple(entries)))
            names[fallback_tag(subject)] = Descriptor.of(INDEX, data)
            found[f"blobs/sha256/{Digest.of(data).hex}"] = data
        entries = [
            msgspec.structs.replace(one, annotations={**one.annotations, REF_NAME: name})
            for name, one in sorted(names.items())
        ]
        found[INDEX_FILE] = index_bytes(Index(manifests=tuple(entries)))
        found[MARKER] = VERSION
        return found


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    try:
        return info.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:
        raise UsageError(
            f"{name} has {size} bytes, and an archive holds files of up to 8 GiB",
            hint="move the image through a registry",
        ) from None


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well.

    It has one name, so that what a killed run left is written over and not left for ever; a lock on it keeps
    two runs apart.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    with os.fdopen(handle, "wb") as file:
        if not _is_ours(handle, partial):
            raise UsageError(f"another run writes {path}", hint="wait for it, or name another file")
        try:
            os.ftruncate(handle, 0)
            yield file
            file.flush()
            os.fsync(handle)
            os.replace(partial, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if isinstance(error, OSError):
                raise storage_error(error, path) from error
            raise


def _is_ours(handle: int, partial: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have given the file its final name.
        return os.path.samestat(os.fstat(handle), partial.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _write(file: BinaryIO, path: Path, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise storage_error(error, path) from error
