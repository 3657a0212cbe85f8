"""Programs of Debian packages that tests need: those on PATH, else the distribution's own, installed as root.

Nothing is installed without saying so. Where it cannot be, because this is not root or not Debian, the test that
needs it is skipped and says so; where it can and fails, so does the test.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lockgate.deploy.ports import claim

_MINUTES = 60
INSTALL_SECONDS = 15 * _MINUTES


def free_port() -> int:
    """Return a port of loopback that nobody listens on, each time another one, for a program that has to be told.

    Until the program listens there, or while it is restarted, nobody else gets it; and connecting to a port that the
    kernel gives to connections could end in a connection of a socket to itself.
    """
    return claim(0)


def on_debian() -> bool:
    """True when packages can be installed: root on Debian or one of its children, with apt."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and bool(_apt())


def _apt() -> str | None:
    return shutil.which("apt-get")


def say(words: str) -> None:
    """Tell whoever runs the tests, although pytest keeps what tests print."""
    print(f"tests    {words}", file=sys.__stderr__, flush=True)


def install(*packages: str, optional: tuple[str, ...] = ()) -> str:
    """Install packages by the machine's own apt sources; return what went wrong, or nothing.

    Args:
        packages: all of them are needed.
        optional: those among them that not every release has.
    """
    apt = _apt()
    if not on_debian() or apt is None:
        return "only root on Debian can install packages"
    with Path(tempfile.gettempdir(), "lockgate-tests-apt.lock").open("w") as lock:
        # Two test runs on one machine would otherwise meet in dpkg's lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        say(f"installs {' '.join(packages)} by apt-get: needed here, and not on this machine")
        wanted = [*packages, *(one for one in optional if _known(one))]
        first = _run(apt, "install", wanted)
        if not first:
            return ""
        # The lists of packages may never have been fetched, or be too old.
        return _run(apt, "update", []) or _run(apt, "install", wanted)


def _known(package: str) -> bool:
    found = subprocess.run(
        ["apt-cache", "show", package], capture_output=True, timeout=60, check=False
    )
    return found.returncode == 0


def _run(apt: str, verb: str, packages: list[str]) -> str:
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
    more = ["--yes", "--no-install-recommends"] if verb == "install" else []
    with tempfile.TemporaryFile() as log:
        try:
            done = subprocess.run(
                [apt, *options, verb, *more, *packages],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"`apt-get {verb}` took more than {INSTALL_SECONDS} s"
        log.seek(0)
        said = log.read().decode("utf-8", "replace")[-800:]
    return f"`apt-get {verb} {' '.join(packages)}`: {said}" if done.returncode else ""


def program(name: str, package: str = "") -> str:
    """Return the path of a program, installed when it is not here; skip the test loudly where nobody may."""
    found = shutil.which(name)
    if found is None:
        if not on_debian():
            pytest.skip(
                f"`{name}` is not installed, and only root on Debian can: what it reads is not known"
            )
        problem = install(package or name)
        found = shutil.which(name)
        if problem or found is None:
            pytest.fail(f"`{name}` is not in Debian's {package or name}, or that failed: {problem}")
    return found
