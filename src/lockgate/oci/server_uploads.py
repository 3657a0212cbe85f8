"""Uploads: a blob on its way in, one file each, until its digest is checked (spec.md, "Pushing blobs").

    repositories/<name>/_uploads/<id>

What came in stays there until the client finishes, cancels or goes away for good, so that an upload can be
resumed, also after the server was killed. The digest is taken from the finished file and not while it comes
in: what is renamed into the store is what was checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
import uuid
from typing import TYPE_CHECKING

from lockgate.base.files import storage_error
from lockgate.oci import pushed
from lockgate.oci.server_protocol import ContentDigest, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from pathlib import Path

    from lockgate.oci.server_protocol import Body

PIECE = 1 << 20
"""Bytes that are held in memory at once."""

ABANDONED = 24 * 3600
"""Seconds without a byte after which an upload is taken for abandoned."""

PATIENCE = 5.0
"""Seconds to wait for another request of the same upload, such as one whose client is gone."""

_ID = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """The unfinished blobs of every repository."""

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._largest = largest

    def start(self, repository: str) -> str:
        """Begin an upload; return its id."""
        name = uuid.uuid4().hex
        path = self._folder / repository / "_uploads" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        except OSError as error:
            raise storage_error(error, path) from error
        return name

    def size(self, repository: str, name: str) -> int:
        """Return how many bytes came in.

        Raises:
            Refused: 404: there is no such upload.
        """
        try:
            return self._path(repository, name).stat().st_size
        except FileNotFoundError:
            raise _unknown(name) from None

    def append(
        self,
        repository: str,
        name: str,
        body: Body,
        *,
        extent: tuple[int, int] | None,
        length: int | None,
    ) -> int:
        """Add a chunk; return the number of bytes that came in altogether.

        Args:
            repository: where the upload was started.
            name: its id.
            body: the bytes of the chunk.
            extent: first byte and number of bytes, when the client says so; otherwise the chunk is next.
            length: bytes of the chunk, when they are known.

        Raises:
            Refused: 404: no such upload; 416: another chunk is next; 413: the blob is too large; 400: the
                chunk has another size than its range; 429: another request is at this upload.
            ConnectionError, TimeoutError: from the body; what came before is kept.
        """
        with self._held(repository, name) as file:
            return self._append(repository, name, file, body, extent, length)

    def finish(
        self,
        repository: str,
        name: str,
        body: Body,
        *,
        digest: ContentDigest,
        extent: tuple[int, int] | None,
        length: int | None,
        keep: Callable[[Path], None],
    ) -> None:
        """Add the last chunk if there is one, check the digest, and hand the file to `keep`.

        Raises:
            Refused: as `append`; 400 DIGEST_INVALID: the blob is another one. The upload is over then.
            ConnectionError, TimeoutError: from the body.
        """
        path = self._path(repository, name)
        with self._held(repository, name) as file:
            self._append(repository, name, file, body, extent, length)
            found = _digest(file, digest.algorithm)
            if found != digest:
                path.unlink(missing_ok=True)
                raise refused(400, "DIGEST_INVALID", f"the blob is {found}, not {digest}")
            try:
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            except OSError as error:
                raise storage_error(error, path) from error
            keep(path)

    def cancel(self, repository: str, name: str) -> None:
        """End an upload and forget what came in.

        Raises:
            Refused: 404: there is no such upload.
        """
        with self._held(repository, name):
            self._path(repository, name).unlink()

    def forget(self, repository: str, name: str) -> None:
        """Remove what came in of an upload that is over, if there is something left."""
        self._path(repository, name).unlink(missing_ok=True)

    def _append(
        self,
        repository: str,
        name: str,
        file: FileIO,
        body: Body,
        extent: tuple[int, int] | None,
        length: int | None,
    ) -> int:
        before = size = os.fstat(file.fileno()).st_size
        if extent is not None and extent[0] != before:
            raise refused(
                416,
                "BLOB_UPLOAD_INVALID",
                f"byte {before} is next, not {extent[0]}",
                *progress(repository, name, before),
            )
        most = before + extent[1] if extent is not None else self._largest
        if before + (length or 0) > self._largest or most > self._largest:
            raise refused(413, "SIZE_INVALID", f"a blob may have {self._largest} bytes")
        path = self._path(repository, name)
        while piece := body.read(PIECE):
            size += len(piece)
            if size > most:
                break
            _write(file, piece, path)
        if size > most or (extent is not None and size != most):
            os.ftruncate(file.fileno(), before)
            if extent is None:
                raise refused(413, "SIZE_INVALID", f"a blob may have {self._largest} bytes")
            raise refused(400, "SIZE_INVALID", "the chunk has not the size that its range says")
        return size

    @contextlib.contextmanager
    def _held(self, repository: str, name: str) -> Iterator[FileIO]:
        """Open an upload for one request alone, at its end."""
        path = self._path(repository, name)
        try:
            file = path.open("r+b", buffering=0)
        except FileNotFoundError:
            raise _unknown(name) from None
        with file:
            _lock(file)
            # Whoever had it before may have finished it, and then this file is a blob in the store.
            try:
                same = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if not same:
                raise _unknown(name)
            file.seek(0, os.SEEK_END)
            yield file

    def _path(self, repository: str, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise _unknown(name)
        return self._folder / repository / "_uploads" / name


def sweep(root: Path, now: float) -> int:
    """Remove what was abandoned in a layout a day ago and more; return how many files there were.

    They are uploads that nobody finished, and files of writers that were killed before they could name them.
    """
    folder = root / pushed.FOLDER
    unfinished = [
        path
        for one in pushed.holders(folder, "_uploads")
        for path in (folder / one / "_uploads").iterdir()
    ]
    count = 0
    for path in (*unfinished, *(root / "blobs").glob("*/.*")):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < now - ABANDONED:
                path.unlink()
                count += 1
    return count


def progress(repository: str, name: str, size: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the headers that say where an upload goes on, and how far it is (both ends inclusive)."""
    location = f"/v2/{repository}/blobs/uploads/{name}"
    return ("Location", location), ("Range", f"0-{max(size - 1, 0)}")


def _lock(file: FileIO) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise refused(
                    429,
                    "TOOMANYREQUESTS",
                    "another request is at this upload",
                    ("Retry-After", "5"),
                ) from None
            time.sleep(0.02)
        else:
            return


def _write(file: FileIO, piece: bytes, path: Path) -> None:
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise storage_error(error, path) from error


def _digest(file: FileIO, algorithm: str) -> ContentDigest:
    file.seek(0)
    return ContentDigest(f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}")


def _unknown(name: str) -> Exception:
    return refused(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {name[:64]!r}")
