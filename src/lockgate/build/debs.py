"""Locked packages on disk: downloaded side by side, kept under their digest, checked when they are used."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from lockgate.base.errors import PackageGone
from lockgate.base.files import exclusive, storage_error
from lockgate.build.mirror import PARTIAL, Mirror

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lockgate.build.apt_sources import Mirrors
    from lockgate.build.debian import Progress
    from lockgate.build.stack_lock import LockedPackage, StackLock

WORKERS = 8
"""Downloads at a time."""

_PIECE = 1 << 20


class _StoppedError(Exception):
    """Ends a download in another thread; never leaves this module."""


def fetch(
    lock: StackLock,
    platform: str,
    mirrors: Mirrors,
    cache: Path,
    progress: Progress,
    *,
    mirror: Mirror | None = None,
) -> dict[str, Path]:
    """Return the `.deb` of every package of a platform, downloading those that are not in the cache.

    A file in the cache whose bytes changed is downloaded again. Two runs at once take turns, so that
    nothing is downloaded twice.

    Args:
        lock: the lock.
        platform: `linux/amd64`.
        mirrors: where to download; not asked when nothing is missing.
        cache: folder of `<sha256>.deb` files.
        progress: told of downloaded bytes, from one thread at a time.
        mirror: connection to use instead of a new one.

    Returns:
        Path by package name.

    Raises:
        PackageGone: a mirror no longer has a package.
        DigestMismatch: a mirror sends other bytes than the lock says.
        MirrorError: a mirror cannot be reached or fails.
        StorageError: the disk is full.
        UsageError: the stack is not locked for the platform, or no mirror is known.
    """
    packages = lock.of(platform)
    if _missing(packages, cache):
        with exclusive(cache / ".lock"):
            # Under the lock nobody downloads, so what is not whole was left by a run that was killed.
            for partial in cache.glob(f"{PARTIAL}*"):
                partial.unlink(missing_ok=True)
            missing = _missing(packages, cache)
            if missing:
                with mirror or Mirror() as site:
                    _Downloads(site, mirrors, cache, missing, progress).run()
    return {one.name: path_of(one, cache) for one in packages}


def path_of(package: LockedPackage, cache: Path) -> Path:
    """Return where a package lies or would lie."""
    return cache / f"{package.sha256}.deb"


def sha256_of(path: Path) -> str:
    """Return the hexadecimal digest of a file; empty when it is not there.

    Raises:
        StorageError: it cannot be read.
    """
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise storage_error(error, path) from error
    return found.hexdigest()


def _missing(packages: Sequence[LockedPackage], cache: Path) -> list[LockedPackage]:
    return [one for one in packages if sha256_of(path_of(one, cache)) != one.sha256]


class _Downloads:
    def __init__(
        self,
        site: Mirror,
        mirrors: Mirrors,
        cache: Path,
        packages: Sequence[LockedPackage],
        progress: Progress,
    ) -> None:
        self._site = site
        self._mirrors = mirrors
        self._cache = cache
        self._packages = packages
        self._progress = progress
        self._total = sum(one.size for one in packages)
        self._done = 0
        self._telling = threading.Lock()
        self._stop = threading.Event()

    def run(self) -> None:
        """Download all; the first failure ends the others."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="download") as pool:
            # The largest first, so that it is not the one that all wait for.
            largest_first = sorted(self._packages, key=lambda one: (-one.size, one.name))
            running = [pool.submit(self._one, package) for package in largest_first]
            try:
                for future in as_completed(running):
                    future.result()
            except BaseException:
                # Ctrl-C too: stop what runs at its next bytes, and start nothing more.
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, package: LockedPackage) -> None:
        what = f"{package.name} {package.version}"
        found = self._site.save(
            f"{self._mirrors.of(package.archive)}/{package.path}",
            path_of(package, self._cache),
            size=package.size,
            sha256=package.sha256,
            what=what,
            tell=lambda count: self._tell(count, package.name),
        )
        if not found:
            raise PackageGone(
                f"{what} is locked, but no longer on the mirror", hint="run `inv build.lock`"
            )

    def _tell(self, count: int, name: str) -> None:
        with self._telling:
            self._done += count
            self._progress(self._done, self._total, name)
        if count > 0 and self._stop.is_set():
            raise _StoppedError
