"""Locked wheels for the image's Python and platform, downloaded by pip and kept by digest.

pip finds and downloads them, so its own configuration (index, mirror, certificates, credentials) counts.
Nothing is compiled and nothing of the host's Python enters the image.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    UsageError,
)
from lockgate.base.files import atomic_write
from lockgate.base.process import plain_environment, run

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_PASSED_TO_PIP = re.compile(
    r"PIP_|SSL_CERT_|REQUESTS_CA_|CURL_CA_|XDG_|(?i:https?_proxy|no_proxy|all_proxy)$"
)


class _Wheel(Record, frozen=True):
    file: str
    sha256: str


class _Resolved(Record, frozen=True):
    wheels: tuple[_Wheel, ...]


def locked_hashes(requirements: bytes) -> frozenset[str]:
    """Return every sha256 that a requirements file allows.

    Raises:
        UsageError: a requirement has no hash, or the file names an index or another file.
    """
    try:
        text = requirements.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the requirements file is not UTF-8 text") from None
    logical = re.sub(r"\\\r?\n", " ", text)
    for raw in logical.splitlines():
        line = raw.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            raise UsageError(
                f"the requirements file holds the option `{line.split()[0]}`",
                hint="a lock names packages and hashes only; the index comes from pip's settings",
            )
        if not _HASH.search(line):
            raise UsageError(
                f"the requirement `{line.split()[0]}` has no hash",
                hint="write the lock with `uv pip compile --generate-hashes`",
            )
    return frozenset(_HASH.findall(logical))


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
    """
    data = requirements.read_bytes()
    allowed = locked_hashes(data)
    if not allowed:
        return ()
    key = hashlib.sha256(encode([data.decode(), python, glibc, platform])).hexdigest()
    listing = cache / "resolved" / f"{key}.json"
    if listing.exists():
        resolved = decode(listing.read_bytes(), _Resolved, what=str(listing))
        kept = [cache / one.sha256 / one.file for one in resolved.wheels]
        if all(
            path.exists() and path.parent.name == _sha256(path) and path.parent.name in allowed
            for path in kept
        ):
            return tuple(kept)
    wheels = _download(requirements, allowed, python, platform_tags(platform, glibc), cache)
    atomic_write(
        listing,
        encode(_Resolved(wheels=tuple(_Wheel(file=w.name, sha256=w.parent.name) for w in wheels))),
    )
    return wheels


def _download(
    requirements: Path, allowed: frozenset[str], python: str, tags: tuple[str, ...], cache: Path
) -> tuple[Path, ...]:
    cache.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as folder:
        _pip(requirements, python, tags, Path(folder))
        for wheel in sorted(Path(folder).glob("*.whl")):
            digest = _sha256(wheel)
            if digest not in allowed:
                raise DigestMismatch(f"{wheel.name} has a digest that {requirements} does not list")
            place = cache / digest / wheel.name
            place.parent.mkdir(exist_ok=True)
            wheel.replace(place)
            found.append(place)
    return tuple(found)


def _pip(requirements: Path, python: str, tags: tuple[str, ...], into: Path) -> None:
    environment = plain_environment()
    environment.update({k: v for k, v in os.environ.items() if _PASSED_TO_PIP.match(k)})
    argv = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "download"]
    argv += ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += ["--implementation", "cp", "--python-version", python, "--dest", str(into)]
    for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
        argv += ["--abi", abi]
    for tag in tags:
        argv += ["--platform", tag]
    try:
        run([*argv, "--requirement", str(requirements)], timeout=1200, env=environment)
    except CommandFailed as error:
        raise _explain(error, requirements, tags[-1]) from None


def platform_tags(platform: str, glibc: str) -> tuple[str, ...]:
    """Return the wheel platform tags that run on `platform` with this glibc, newest first (PEP 600)."""
    architecture = platform.split("/")[1]
    machine = _MACHINES.get(architecture)
    if machine is None:
        raise UsageError(
            f"no wheels are known for {platform}", hint="use linux/amd64 or linux/arm64"
        )
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(int(glibc.split(".")[1]), 16, -1)]
    tags.append(f"manylinux2014_{machine}")
    if machine == "x86_64":
        tags += [f"manylinux_2_{minor}_{machine}" for minor in range(16, 4, -1)]
        tags += ["manylinux2010_x86_64", "manylinux1_x86_64"]
    return (*tags, f"linux_{machine}")


def _explain(error: CommandFailed, requirements: Path, platform: str) -> LockgateError:
    text = error.stderr_tail
    if "DO NOT MATCH THE HASHES" in text:
        named = re.search(r"^\s*(\S+) from ", text, re.MULTILINE)
        return DigestMismatch(
            f"{named[1] if named else 'a package'} does not have the digest that {requirements} lists",
            hint="do not trust this index until you know why; the lock was made from other bytes",
        )
    missing = re.search(r"No matching distribution found for (\S+)", text)
    if missing and "connection" not in text.lower():
        return UsageError(
            f"{missing[1]} has no wheel for {platform} on the package index",
            hint=f"choose a version that has one, and lock {requirements} again",
        )
    if error.code == -signal.SIGKILL:
        return MirrorError("the package index did not answer in time", retryable=True)
    last = (text.strip().splitlines() or ["pip gave no reason"])[-1]
    return MirrorError(
        f"the wheels of {requirements.name} could not be downloaded: {last}",
        hint="check the network and `pip config list`; what was downloaded is kept",
        retryable=True,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
