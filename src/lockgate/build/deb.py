"""A Debian binary package as a stream of layer entries (deb(5)); nothing of it is executed.

A `.deb` is an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`. Owners are dropped, and
with them the setuid and setgid bits, which mean nothing where everything belongs to root.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, cast

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.build.deb822 import paragraphs
from lockgate.build.layer import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"!<arch>\n"
_HEADER = 60
_SMALL = 1 << 20
"""Files up to this many bytes are held in memory, larger ones pass through in pieces of it."""
_MAX_CONTROL = 4 << 20
_BUFFER = 1 << 17
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError, OverflowError)


def control(path: Path) -> dict[str, str]:
    """Return the fields of a package's control file, their names in lower case.

    Raises:
        UsageError: it is not a package.
        StorageError: it cannot be read.
    """
    data = control_files(path)["control"]
    try:
        (fields,) = paragraphs(data.decode("utf-8"), what=path.name)
    except ValueError as error:
        # Not UTF-8, or not exactly one paragraph.
        raise _unreadable(path, error) from None
    return fields


def control_files(path: Path) -> dict[str, bytes]:
    """Return a package's `control` file and, where it has them, its `md5sums`.

    Raises:
        UsageError: it is not a package.
        StorageError: it cannot be read.
    """
    found = {}
    with _tar(path, "control.tar") as tar:
        for info in tar:
            name = _relative(info.name, path)
            if name in ("control", "md5sums") and info.isreg():
                if info.size > _MAX_CONTROL:
                    raise UsageError(f"{path.name}: `{name}` is larger than {_MAX_CONTROL} bytes")
                found[name] = cast("IO[bytes]", tar.extractfile(info)).read()
    if "control" not in found:
        raise UsageError(f"{path.name} has no control file", hint="run `inv build.lock`")
    return found


def entries(path: Path) -> Iterator[Entry]:
    """Yield a package's files in its own order.

    The content of a file can be read only until the next entry is asked for: the archive is a stream.

    Raises:
        UsageError: it is not a package, a path leaves the root, or it holds a device or a pipe.
        StorageError: it cannot be read.
    """
    with _tar(path, "data.tar") as tar:
        for info in tar:
            name = _relative(info.name, path)
            if name:
                yield _entry(tar, info, name, path)


def _entry(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str, path: Path) -> Entry:
    if info.isdir():
        return Entry(name, "dir", info.mode & 0o1777)
    if info.issym():
        return Entry(name, "symlink", 0o777, link=info.linkname)
    if info.islnk():
        return Entry(name, "hardlink", 0o644, link=_relative(info.linkname, path))
    if not info.isreg():
        raise UsageError(f"{path.name}: `{name}` is a device or a pipe, which no image may hold")
    file = cast("IO[bytes]", tar.extractfile(info))
    if info.size > _SMALL:
        return Entry(name, "file", info.mode & 0o777, lambda: _pieces(file, path), info.size)
    return Entry(name, "file", info.mode & 0o777, file.read(), info.size)


def _pieces(file: IO[bytes], path: Path) -> Iterator[bytes]:
    # Here and not around the whole: who writes the layer reads this from outside of `entries`.
    with _explained(path):
        while piece := file.read(_SMALL):
            yield piece


def _relative(name: str, path: Path) -> str:
    """Return a member's path relative to the root; empty for the root itself."""
    parts = [part for part in name.split("/") if part != "."]
    if parts and parts[-1] == "":
        parts.pop()
    if any(part in ("", "..") for part in parts):
        raise UsageError(f"{path.name}: `{name}` leaves the image's root")
    return "/".join(parts)


@contextlib.contextmanager
def _tar(path: Path, member: str) -> Iterator[tarfile.TarFile]:
    """Open one of the two archives in a package as a stream."""
    with _explained(path), path.open("rb") as file:
        name, window = _find(file, member)
        with (
            _unpacked(name, window, path) as stream,
            # The names' encoding would otherwise be the locale's.
            tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER, encoding="utf-8") as tar,
        ):
            yield tar


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Translate what the libraries raise for packages that are damaged."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            # gzip's word for bytes that are not gzip.
            raise _unreadable(path, error) from None
        raise storage_error(error, path) from error
    except RecursionError:
        # The library calls itself for each extended header of an entry.
        raise _unreadable(path, ValueError("too many headers stand before one entry")) from None
    except _DAMAGED as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{path.name} is not a readable Debian package: {error}",
        hint=f"remove {path} and run the same command again",
    )


def _find(file: IO[bytes], member: str) -> tuple[str, IO[bytes]]:
    """Walk the `ar` members, each a 60-byte header and its content, padded to an even length."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin as an ar archive")
    while header := file.read(_HEADER):
        if len(header) < _HEADER or header[58:] != b"`\n":
            raise ValueError("an ar header is cut off")
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if size < 0:
            raise ValueError("an ar member has a negative size")
        if name.startswith(member):
            return name, cast("IO[bytes]", _Window(file, size))
        file.seek(size + size % 2, 1)
    raise ValueError(f"it has no {member}")


@contextlib.contextmanager
def _unpacked(name: str, window: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    suffix = name.rpartition(".")[2]
    if suffix == "xz":
        with lzma.open(window) as stream:
            yield cast("IO[bytes]", stream)
    elif suffix == "zst":
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(window) as reader:
                yield cast("IO[bytes]", reader)
        except zstandard.ZstdError as error:
            raise _unreadable(path, error) from None
    elif suffix == "gz":
        with gzip.open(window) as stream:
            yield cast("IO[bytes]", stream)
    elif suffix == "tar":
        yield window
    else:
        raise ValueError(f"{name} is packed in an unknown way")


class _Window:
    """The next `size` bytes of a file as a file of their own."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all that are left."""
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._file.read(wanted)
        self._left -= len(piece)
        if len(piece) < wanted:
            raise EOFError("it is cut off")
        return piece
