"""The Debian archive: make the lock of a stack from its signed indexes.

Nothing that a mirror sends is believed before it was checked: `InRelease` against the pinned archive keys,
each index against `InRelease`, each package against the lock.
"""

from __future__ import annotations

import hashlib
import io
import lzma
from typing import TYPE_CHECKING, Protocol

from lockgate.base.errors import DigestMismatch, MirrorError, Stale, UsageError
from lockgate.build import release
from lockgate.build.mirror import Mirror
from lockgate.build.packages_index import PackagesIndex
from lockgate.build.resolve import resolve
from lockgate.build.stack_lock import FORMAT, LockedPackage, LockedSuite, StackLock, utc
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.build.apt_sources import Mirrors
    from lockgate.build.packages_index import Candidate
    from lockgate.build.release import IndexFile, Release
    from lockgate.build.stack import Stack

MAX_INDEX = 64 << 20
"""Largest compressed index that is read, in bytes; Debian's largest has 10 MB."""
MAX_INDEX_TEXT = 512 << 20
"""Largest index after decompression, in bytes; Debian's largest has 57 MB."""

_PIECE = 1 << 20
_HINT = "the mirror may be in the middle of an update: try again, or set another `build.mirror`"


class Progress(Protocol):
    """Hears of bytes that came; calls never overlap."""

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """Say that `done` of `total` bytes are there, the last ones of `name`."""


def lock(
    stack: Stack,
    mirrors: Mirrors,
    *,
    file: bytes,
    now: int,
    progress: Progress,
    previous: StackLock | None = None,
    keys: Sequence[bytes] = (),
    mirror: Mirror | None = None,
) -> StackLock:
    """Choose every package of a stack, from indexes that the archive signed.

    Args:
        stack: what is wanted.
        mirrors: where to look.
        file: the bytes of the `stack.yaml` that `stack` was read from.
        now: current time in seconds since 1970.
        progress: told of the indexes' bytes.
        previous: the lock so far; an archive that is older than that is refused, since a mirror that
            holds back updates could otherwise undo them.
        keys: certificates to trust instead of the pinned ones.
        mirror: connection to use instead of a new one.

    Raises:
        UsageError: a package does not exist, a dependency cannot be met, an `omit` is not needed, or no
            mirror is known.
        MirrorError: a mirror cannot be reached or serves something else.
        SignatureInvalid: no pinned key signed the index.
        Stale: the index is too old.
        DigestMismatch: an index is not what `InRelease` says.
    """
    with mirror or Mirror() as site:
        found = [
            _read_release(site, mirrors, suite, keys or release.archive_keys(), now)
            for suite in stack.suites
        ]
        suites = tuple(suite for suite, _ in found)
        _refuse_older(suites, previous)
        indexes = _Indexes(site, mirrors, found, stack.architectures, progress)
        closures = {
            architecture: resolve(
                indexes.read(architecture),
                architecture=architecture,
                packages=stack.packages,
                omit=[one.package for one in stack.omit],
            )
            for architecture in stack.architectures
        }
    needed = frozenset[str]().union(*(one.omitted for one in closures.values()))
    for one in stack.omit:
        if one.package not in needed:
            raise UsageError(
                f"`omit` names `{one.package}`, which nothing in the stack needs",
                hint="remove it from `stack.yaml`",
            )
    return StackLock(
        format=FORMAT,
        file=str(Digest.of(file)),
        stack=stack,
        suites=suites,
        packages={
            architecture: tuple(map(_locked, closure.packages))
            for architecture, closure in closures.items()
        },
    )


def archive_of(suite: str) -> str:
    """Return which mirror has a suite: `security` or `main`."""
    return "security" if suite.endswith("-security") else "main"


def _locked(candidate: Candidate) -> LockedPackage:
    return LockedPackage(
        name=candidate.name,
        version=candidate.version,
        architecture=candidate.architecture,
        source=candidate.source,
        archive="security" if candidate.archive == "security" else "main",
        path=candidate.path,
        size=candidate.size,
        sha256=candidate.sha256,
    )


def _read_release(
    site: Mirror, mirrors: Mirrors, suite: str, keys: Sequence[bytes], now: int
) -> tuple[LockedSuite, Release]:
    address = f"{mirrors.of(archive_of(suite))}/dists/{suite}/InRelease"
    signed = site.read(address, limit=release.MAX_BYTES)
    if signed is None:
        raise MirrorError(
            f"{address} does not exist: the mirror has no Debian suite `{suite}`",
            hint="check `suites` in `stack.yaml`, and `build.mirror` in `lockgate.yaml`",
        )
    content = release.verify(signed, keys, what=address)
    found = release.parse(content, suite=suite, now=now, what=address)
    locked = LockedSuite(
        suite=suite,
        archive="security" if archive_of(suite) == "security" else "main",
        version=found.version,
        date=utc(found.date),
        inrelease=str(Digest.of(signed)),
    )
    return locked, found


def _refuse_older(suites: Sequence[LockedSuite], previous: StackLock | None) -> None:
    known = {one.suite: one.date for one in previous.suites} if previous else {}
    for one in suites:
        # Times in this form sort as text.
        if one.date < known.get(one.suite, ""):
            raise Stale(
                f"the mirror's `{one.suite}` is of {one.date}, the lock is of {known[one.suite]}",
                hint="wait for the mirror's update, or set another `build.mirror`",
            )


class _Indexes:
    """The package indexes of all suites, downloaded one architecture at a time."""

    def __init__(
        self,
        site: Mirror,
        mirrors: Mirrors,
        releases: Sequence[tuple[LockedSuite, Release]],
        architectures: Sequence[str],
        progress: Progress,
    ) -> None:
        self._site = site
        self._mirrors = mirrors
        self._releases = releases
        self._progress = progress
        self._total = sum(
            self._listed(found, architecture).size
            for _, found in releases
            for architecture in architectures
        )
        self._done = 0

    def read(self, architecture: str) -> PackagesIndex:
        """Return what all suites offer for an architecture."""
        index = PackagesIndex()
        for suite, found in self._releases:
            data = self._download(suite, found, architecture)
            index.read(_text(data, suite.suite), archive=suite.archive)
        return index

    def _listed(self, found: Release, architecture: str) -> IndexFile:
        path = f"main/binary-{architecture}/Packages.xz"
        if path not in found.files or found.files[path].size > MAX_INDEX:
            raise MirrorError(
                f"the suite `{found.suite}` has no usable index for {architecture}", hint=_HINT
            )
        return found.files[path]

    def _download(self, suite: LockedSuite, found: Release, architecture: str) -> bytes:
        listed = self._listed(found, architecture)
        folder = f"{self._mirrors.of(suite.archive)}/dists/{suite.suite}/main/binary-{architecture}"
        names = [f"by-hash/SHA256/{listed.sha256}"] if found.by_hash else []
        for name in (*names, "Packages.xz"):
            data = self._site.read(f"{folder}/{name}", limit=listed.size)
            if data is not None:
                break
        else:
            raise MirrorError(f"{folder}/Packages.xz does not exist", hint=_HINT)
        if hashlib.sha256(data).hexdigest() != listed.sha256:
            raise DigestMismatch(
                f"{folder}/{name} is not the file that `InRelease` names", hint=_HINT
            )
        self._done += len(data)
        self._progress(self._done, self._total, f"{suite.suite} {architecture}")
        return data


def _text(data: bytes, suite: str) -> Iterator[bytes]:
    """Decompress in pieces, so that only what is kept of an index is in memory."""
    total = 0
    try:
        with lzma.open(io.BytesIO(data)) as file:
            while piece := file.read(_PIECE):
                total += len(piece)
                if total > MAX_INDEX_TEXT:
                    raise MirrorError(
                        f"the index of `{suite}` is larger than {MAX_INDEX_TEXT} bytes", hint=_HINT
                    )
                yield piece
    except (lzma.LZMAError, EOFError):
        raise MirrorError(f"the index of `{suite}` cannot be unpacked", hint=_HINT) from None
