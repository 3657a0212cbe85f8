"""The environment in which the gates of `check` run their tools: locked by hash, apart from everything else.

Neither the tools nor the component's packages enter the Python that runs Lockgate. An environment is known by
what it is made of, so a changed lock makes another one and an unchanged lock costs nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import encode
from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    PackageGone,
    StorageError,
    UsageError,
)
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.base.process import installer_environment, run
from lockgate.build.requirements import RELOCK, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 1200
"""Time limit of one installation."""

_PRINTS_KEY = (
    "import platform, sys; "
    "print(sys.implementation.cache_tag, platform.python_version(), platform.machine())"
)


class ToolEnv(NamedTuple):
    """An environment that is whole."""

    bin: Path
    """Folder of its programs: `python`, `ruff`, `pytest` …"""
    key: str
    """What it is made of; part of its folder's name."""


def tool_lock() -> Path:
    """Return the lock of the tools that `check` runs; it is shipped beside this module."""
    return Path(__file__).with_name("check-requirements.txt")


def prepare(
    folder: Path,
    requirement_files: Sequence[Path],
    *,
    python: str = sys.executable,
    progress: Callable[[str], None] | None = None,
) -> ToolEnv:
    """Return the environment of these locks, made first when it is not there.

    A kill at any line leaves an environment without its marker, which the next call makes anew. Two calls at
    once wait for each other. uv installs when it is on PATH or beside this Python, else pip does.

    Args:
        folder: where environments are kept.
        requirement_files: hash-locked files; where two pin the same package, the later one counts.
        python: the interpreter that the environment gets.
        progress: is told, in one line, when something takes time.

    Raises:
        UsageError: a file is absent, or is not a lock.
        DigestMismatch: the index serves other bytes than a lock says.
        PackageGone: the index has no wheel of a locked version for this Python.
        MirrorError: the index cannot be reached.
        StorageError: the folder cannot be written.
        ToolError: the interpreter or the installer cannot run.
    """
    say = progress or _silent
    count = sum(_check_lock(path) for path in requirement_files)
    key = _key(requirement_files, python)
    marker = folder / f"{key}.whole"
    with exclusive(folder / f"{key}.lock", waiting=lambda: say("waiting for another run's tools")):
        place = _whole(marker)
        if place is None:
            say(f"installing the tools of check and the component's packages ({count} locked)")
            place = _make(folder, key, requirement_files, python)
            atomic_write(marker, place.name.encode())
    return ToolEnv(place / "bin", key)


def _silent(_: str) -> None:
    """Say nothing."""


def _check_lock(path: Path) -> int:
    """Return how many packages a lock names."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the lock {path} cannot be read: {error.strerror}", hint=RELOCK) from None
    return len(parse(data))


def _key(requirement_files: Sequence[Path], python: str) -> str:
    # The interpreter is asked and not guessed: it may be another one than this.
    about = run([python, "-c", _PRINTS_KEY], timeout=60).stdout.decode().strip()
    contents = [path.read_text(encoding="utf-8") for path in requirement_files]
    # 32 digits: with all 64 the path of `python` can pass the 127 bytes of a `#!` line.
    return hashlib.sha256(encode([about, contents])).hexdigest()[:32]


def _whole(marker: Path) -> Path | None:
    """Return the environment that a marker names, when it is still there."""
    try:
        place = marker.with_name(marker.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, marker) from error
    # A link whose interpreter was removed by an upgrade exists, but does not lead anywhere.
    return place if (place / "bin" / "python").exists() else None


def _make(folder: Path, key: str, requirement_files: Sequence[Path], python: str) -> Path:
    """Install into a folder of a new name and return it.

    A new name for each attempt, because the installer of a killed run may still be writing into the old one.
    """
    for left in folder.glob(f"{key}-*"):
        shutil.rmtree(left, ignore_errors=True)
    place = folder / f"{key}-{secrets.token_hex(4)}"
    target = str(place / "bin" / "python")
    uv = find_uv()
    if uv:
        _run([uv, "venv", "--quiet", "--no-project", "--python", python, str(place)], place)
        install = [uv, "pip", "install", "--quiet", "--python", target]
    else:
        # --without-pip: Debian ships Python without the wheels that `ensurepip` would need.
        _run([python, "-m", "venv", "--without-pip", str(place)], place)
        install = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
        install += ["--python", target, "install", "--quiet"]
    # --no-deps: a lock is complete, and two of them must not be resolved against each other.
    install += ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    for path in requirement_files:
        if parse(path.read_bytes()):
            _run([*install, "--requirement", str(path.resolve())], place, lock=path)
    return place


def find_uv() -> str:
    """Return the path of uv on PATH or beside this Python; empty when there is none."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.exists() else "")


def _run(argv: Sequence[str], place: Path, *, lock: Path | None = None) -> None:
    # Copies and not hard links: a test that writes into the environment must not reach uv's cache.
    environment = {"UV_LINK_MODE": "copy"} | installer_environment()
    try:
        run(argv, timeout=SECONDS, env=environment, cwd=place.parent)
    except CommandFailed as error:
        raise explain(error, lock or place) from None


_NETWORK = re.compile(
    r"connect|error sending request|Retrying|timed? ?out|resolve host|dns error|certificate|"
    r"from versions: none|Failed to fetch",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"No matching distribution found for (\S+)"
    r"|there is no version of (\S+) and"
    r"|Because (\S+) was not found in the package registry"
    r"|Because (\S+) has no (?:usable )?wheels"
)


def explain(error: CommandFailed, lock: Path) -> LockgateError:
    """Translate what uv or pip said into an error of ours.

    Args:
        error: the failed installer; the end of its stderr counts.
        lock: the file that was being installed.
    """
    text = error.stderr_tail
    if "DO NOT MATCH THE HASHES" in text or "Hash mismatch for" in text:
        named = re.search(r"Hash mismatch for `([^`]+)`|^\s*(\S+) from ", text, re.MULTILINE)
        name = (named[1] or named[2]) if named else "a package"
        return DigestMismatch(
            f"{name} does not have the digest that {lock.name} lists",
            hint="do not trust this index until you know why; the lock was made from other bytes",
        )
    if "No space left on device" in text:
        return StorageError(
            "the tools of check could not be installed: the disk is full",
            hint="free some space, then run the same command again",
        )
    if error.code == -signal.SIGKILL or _NETWORK.search(text):
        last = (text.strip().splitlines() or ["no answer in time"])[-1].strip()
        return MirrorError(
            f"the packages of {lock.name} could not be downloaded: {last}",
            hint="check the network and the index in the settings of uv or pip, then run it again",
            retryable=True,
        )
    if absent := _ABSENT.search(text):
        name = next(group for group in absent.groups() if group)
        return PackageGone(
            f"{name} is not on the package index as a wheel for this Python",
            hint=f"lock {lock.name} again, with a version that is there",
        )
    error.hint = error.hint or f"`inv doctor` lists what is needed; the lock is {lock}"
    return error
