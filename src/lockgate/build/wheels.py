"""Locked wheels for the image's Python and platform, downloaded by pip and kept by digest.

pip finds and downloads them, so its own configuration (index, mirror, certificates, credentials) counts.
Nothing is compiled and nothing of the host's Python enters the image.
"""

from __future__ import annotations

import hashlib
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    ToolError,
    ToolMissing,
    UsageError,
)
from lockgate.base.files import atomic_write, storage_error
from lockgate.base.process import installer_environment, run
from lockgate.build.requirements import RELOCK, Locked, applying, locked_hashes, machine, parse

__all__ = ["fetch", "locked_hashes", "platform_tags"]

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DISTRUST = "do not trust this index until you know why; the lock was made from other bytes"


class _Wheel(Record, frozen=True):
    file: str
    sha256: str


class _Resolved(Record, frozen=True):
    wheels: tuple[_Wheel, ...]


def fetch(
    requirements: Path, *, python: str, glibc: str, platform: str, cache: Path
) -> tuple[Path, ...]:
    """Return the wheels that a locked requirements file names, for one Python and one platform.

    Args:
        requirements: file with a hash for every requirement.
        python: version of the image's Python, `3.13`.
        glibc: version of the image's C library, `2.41`: it decides which wheels run.
        platform: `linux/amd64` or `linux/arm64`.
        cache: folder where wheels are kept by digest.

    Returns:
        Paths of wheels, sorted by file name, their digests checked.

    Raises:
        UsageError: the lock is not a lock, or has no wheel for this platform.
        DigestMismatch: the index serves other bytes than the lock says.
        MirrorError: the index cannot be reached.
        ToolError: pip is missing, or left out a wheel.
        StorageError: the cache cannot be written.
    """
    try:
        data = requirements.read_bytes()
    except OSError as error:
        raise UsageError(f"{requirements} cannot be read: {error.strerror}", hint=RELOCK) from None
    locked = applying(parse(data), python, platform)
    if not locked:
        return ()
    key = hashlib.sha256(encode([data.decode(), python, glibc, platform])).hexdigest()
    listing = cache / "resolved" / f"{key}.json"
    kept = _kept(listing, locked, cache)
    if kept is not None:
        return kept
    wheels = _download(requirements, locked, python, platform_tags(platform, glibc), cache)
    atomic_write(
        listing,
        encode(_Resolved(wheels=tuple(_Wheel(file=w.name, sha256=w.parent.name) for w in wheels))),
    )
    return wheels


def _kept(listing: Path, locked: Mapping[str, Locked], cache: Path) -> tuple[Path, ...] | None:
    """Return the wheels of an earlier download, their digests checked again; None when one is missing."""
    try:
        resolved = decode(listing.read_bytes(), _Resolved)
        wheels = tuple(cache / one.sha256 / one.file for one in resolved.wheels)
        right = all(_sha256(path) == path.parent.name for path in wheels)
    except (OSError, UsageError):
        return None
    return wheels if right and not _lacking(wheels, locked) else None


def _lacking(wheels: Iterable[Path], locked: Mapping[str, Locked]) -> list[str]:
    """Return the distributions that the lock names and no wheel, with one of its digests, holds."""
    from packaging.utils import canonicalize_name

    there = {(canonicalize_name(one.name.split("-")[0]), one.parent.name) for one in wheels}
    return [
        name
        for name, one in locked.items()
        if not any((name, digest) in there for digest in one.hashes)
    ]


def _download(
    requirements: Path,
    locked: Mapping[str, Locked],
    python: str,
    tags: tuple[str, ...],
    cache: Path,
) -> tuple[Path, ...]:
    allowed = {digest for one in locked.values() for digest in one.hashes}
    found: list[Path] = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as folder:
            target = Path(folder) / requirements.name
            target.write_text("".join(map(_line, locked.values())), encoding="utf-8")
            try:
                _pip(target, python, tags, Path(folder))
            except CommandFailed as error:
                raise _explain(error, requirements, tags[-1]) from None
            for wheel in sorted(Path(folder).glob("*.whl")):
                digest = _sha256(wheel)
                if digest not in allowed:
                    raise DigestMismatch(
                        f"{wheel.name} has a digest that {requirements} does not list",
                        hint=_DISTRUST,
                    )
                place = cache / digest / wheel.name
                place.parent.mkdir(exist_ok=True)
                wheel.replace(place)
                found.append(place)
    except OSError as error:
        raise storage_error(error, cache) from error
    lacking = _lacking(found, locked)
    if lacking:
        raise ToolError(
            f"pip ended well and left no wheel of {', '.join(lacking)}",
            hint="run the same command again; when it stays, use another version of pip",
        )
    return tuple(found)


def _line(one: Locked) -> str:
    return " ".join([one.text, *(f"--hash=sha256:{digest}" for digest in one.hashes)]) + "\n"


def _pip(requirements: Path, python: str, tags: tuple[str, ...], into: Path) -> None:
    # -P: a `secrets.py` in the current folder is not the library's.
    argv = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    argv += ["download"]
    argv += ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += ["--implementation", "cp", "--python-version", python, "--dest", str(into)]
    for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
        argv += ["--abi", abi]
    for tag in tags:
        argv += ["--platform", tag]
    run([*argv, "--requirement", str(requirements)], timeout=1200, env=installer_environment())


def platform_tags(platform: str, glibc: str) -> tuple[str, ...]:
    """Return the wheel platform tags that run on `platform` with this glibc, newest first (PEP 600).

    Raises:
        UsageError: neither linux/amd64 nor linux/arm64.
    """
    architecture = machine(platform)
    tags = [
        f"manylinux_2_{minor}_{architecture}" for minor in range(int(glibc.split(".")[1]), 16, -1)
    ]
    tags.append(f"manylinux2014_{architecture}")
    if architecture == "x86_64":
        tags += [f"manylinux_2_{minor}_{architecture}" for minor in range(16, 4, -1)]
        tags += ["manylinux2010_x86_64", "manylinux1_x86_64"]
    return (*tags, f"linux_{architecture}")


def _explain(error: CommandFailed, requirements: Path, platform: str) -> LockgateError:
    text = error.stderr_tail
    if "DO NOT MATCH THE HASHES" in text:
        named = re.search(r"^\s*(\S+) from ", text, re.MULTILINE)
        return DigestMismatch(
            f"{named[1] if named else 'a package'} does not have the digest that {requirements} lists",
            hint=_DISTRUST,
        )
    missing = re.search(r"No matching distribution found for (\S+)", text)
    if missing and "connection" not in text.lower():
        return UsageError(
            f"{missing[1]} has no wheel for {platform} on the package index",
            hint=f"choose a version that has one, and lock {requirements} again",
        )
    if error.code == -signal.SIGKILL:
        return MirrorError(
            "the package index did not answer in time",
            hint="run the same command again; `pip config list` shows which index it is",
            retryable=True,
        )
    if "No module named pip" in text:
        return ToolMissing(
            f"`{sys.executable}` has no pip", hint="install pip into the environment of Lockgate"
        )
    last = (text.strip().splitlines() or ["pip gave no reason"])[-1]
    return MirrorError(
        f"the wheels of {requirements.name} could not be downloaded: {last}",
        hint="check the network and `pip config list`; what was downloaded is kept",
        retryable=True,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
