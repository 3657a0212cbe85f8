"""`stack.lock`: every `.deb` of a stack with its digest, so that a base never changes by itself.

The file is JSON with one package a line, so that a change of versions reads well in a diff. It repeats the
stack it was made for: a base layer depends on the lock alone. It names no mirror.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from lockgate.base.canonical import Record, decode
from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.build.stack import FILE, Stack, load
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Platform

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "stack.lock"
FORMAT = 1

_RELOCK = "run `inv build.lock`"
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+~:-]*")
_PATH = re.compile(r"pool/([A-Za-z0-9+_~:-][A-Za-z0-9.+_~:%-]*/)+[A-Za-z0-9.+_~:%-]+\.deb")
_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class LockedPackage(Record, frozen=True):
    """One `.deb`."""

    name: str
    version: str
    architecture: str
    """Debian architecture; `all` for packages that are the same on every one."""
    source: str
    """Name of the source package."""
    archive: Literal["main", "security"]
    """Which mirror has it."""
    path: str
    """Path below the mirror's address: `pool/main/…`."""
    size: int
    """Length in bytes."""
    sha256: str
    """Hexadecimal digest."""


class LockedSuite(Record, frozen=True):
    """The state of a suite from which the packages were chosen."""

    suite: str
    archive: Literal["main", "security"]
    version: str
    """`13.7`; empty where the suite has none."""
    date: str
    """When the archive signed it, in UTC: `2026-09-12T07:55:41Z`."""
    inrelease: str
    """Digest of the verified `InRelease` file."""


class StackLock(Record, frozen=True):
    """The whole of `stack.lock`."""

    format: int
    """1."""
    file: str
    """Digest of the `stack.yaml` it was made from, to see without parsing that nothing changed."""
    stack: Stack
    suites: tuple[LockedSuite, ...]
    """In the stack's order."""
    packages: dict[str, tuple[LockedPackage, ...]]
    """By Debian architecture; sorted by name."""

    @property
    def date(self) -> int:
        """Date of the newest suite, in seconds since 1970."""
        return max(_seconds(one.date) for one in self.suites)

    @property
    def release(self) -> str:
        """Version of the distribution, `13.7`: that of the first suite."""
        return self.suites[0].version

    def of(self, platform: str) -> tuple[LockedPackage, ...]:
        """Return the packages of an image platform such as `linux/amd64`.

        Raises:
            UsageError: the stack was not locked for it.
        """
        architecture = debian_architecture(platform)
        if architecture not in self.packages:
            raise UsageError(
                f"the stack is locked for {', '.join(sorted(self.packages))}, not for {platform}",
                hint=f"add {architecture} to `architectures` in `{FILE}`, then {_RELOCK}",
            )
        return self.packages[architecture]

    def glibc(self, platform: str) -> str:
        """Return the version of the C library, `2.41`, which decides which wheels run.

        Raises:
            UsageError: there is none in the stack.
        """
        for package in self.of(platform):
            if package.name == "libc6":
                return ".".join(re.split(r"[^0-9]+", package.version)[:2])
        raise UsageError("the stack has no `libc6`", hint=f"add it to `packages` in `{FILE}`")


class LockedStack(NamedTuple):
    """A stack and its lock, found to agree."""

    lock: StackLock
    digest: Digest
    """Of the lock file's bytes: it identifies the base."""


def debian_architecture(platform: str) -> str:
    """Return the Debian architecture of an image platform.

    Raises:
        UsageError: Debian has none that we build for.
    """
    found = Platform.parse(platform)
    variant = (found.os, found.architecture, found.variant)
    if variant == ("linux", "amd64", ""):
        return "amd64"
    if variant in (("linux", "arm64", ""), ("linux", "arm64", "v8")):
        return "arm64"
    raise UsageError(
        f"{platform} cannot be built from Debian packages here",
        hint="platforms are `linux/amd64` and `linux/arm64`",
    )


def utc(seconds: int) -> str:
    """Write seconds since 1970 as the lock does."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime(_TIME)


def _seconds(text: str) -> int:
    found = int(dt.datetime.fromisoformat(text).timestamp())
    if utc(found) != text:
        raise ValueError(f"{text!r} is not in the form of the lock")
    return found


def dump(lock: StackLock) -> bytes:
    """Return the bytes of the lock file: the same lock, the same bytes."""
    plain = msgspec.to_builtins(lock)
    suites = ",\n".join(f"  {_line(one)}" for one in plain["suites"])
    packages = ",\n".join(
        f'  "{architecture}": [\n' + ",\n".join(f"   {_line(one)}" for one in listed) + "\n  ]"
        for architecture, listed in sorted(plain["packages"].items())
    )
    stack = json.dumps(plain["stack"], ensure_ascii=False, sort_keys=True, indent=1)
    return (
        f'{{\n "format": {lock.format},\n "file": {json.dumps(lock.file)},\n'
        f' "stack": {stack.replace(chr(10), chr(10) + " ")},\n'
        f' "suites": [\n{suites}\n ],\n "packages": {{\n{packages}\n }}\n}}\n'
    ).encode()


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse(data: bytes, *, what: str) -> StackLock:
    """Parse the bytes of a lock file.

    Raises:
        UsageError: it is not a lock, was changed by hand, or is of another format.
    """
    try:
        found = decode(data, StackLock, what=what)
        if found.format != FORMAT:
            raise UsageError(f"{what} has format {found.format}, only {FORMAT} is read")
        _check(found, what)
    except UsageError as error:
        raise UsageError(error.message, hint=_RELOCK) from None
    if dump(found) != data:
        raise UsageError(
            f"{what} is not as `inv build.lock` writes it: it was changed by hand", hint=_RELOCK
        )
    return found


def _check(found: StackLock, what: str) -> None:
    Digest(found.file)
    if tuple(one.suite for one in found.suites) != tuple(found.stack.suites):
        raise UsageError(f"{what} has other suites than the stack in it")
    if sorted(found.packages) != sorted(found.stack.architectures):
        raise UsageError(f"{what} has other architectures than the stack in it")
    for suite in found.suites:
        Digest(suite.inrelease)
        try:
            _seconds(suite.date)
        except ValueError:
            raise UsageError(f"{what}: {suite.date!r} is not a time") from None
    for architecture, packages in found.packages.items():
        names = [one.name for one in packages]
        if not names or names != sorted(set(names)):
            raise UsageError(f"{what}: the {architecture} packages are none, or not sorted")
        for one in packages:
            _check_package(one, architecture, what)


def _check_package(one: LockedPackage, architecture: str, what: str) -> None:
    sound = (
        _NAME.fullmatch(one.name)
        and _NAME.fullmatch(one.source)
        and _VERSION.fullmatch(one.version)
        and _PATH.fullmatch(one.path)
        and _HEX.fullmatch(one.sha256)
        and one.architecture in ("all", architecture)
        and one.size > 0
    )
    if not sound:
        raise UsageError(f"{what}: the entry of `{one.name}` is not a package's")


def open_stack(folder: Path) -> LockedStack:
    """Read a stack's lock and check that it belongs to the `stack.yaml` beside it.

    The `stack.yaml` is parsed only when its bytes changed, since every command comes by here.

    Raises:
        UsageError: a file is missing or unreadable, or the lock was made for another stack.
    """
    name = f"stack `{folder.name}`"
    data, locked = _read(folder / LOCK, name), _read(folder / FILE, name)
    lock = parse(data, what=f"the lock of {name}")
    if lock.file != Digest.of(locked):
        stack = load(locked, what=f"`{FILE}` of {name}")
        changed = [
            field
            for field in Stack.__dataclass_fields__
            if getattr(stack, field) != getattr(lock.stack, field)
        ]
        if changed:
            raise UsageError(
                f"the lock of {name} was made before `{changed[0]}` changed in `{FILE}`",
                hint=_RELOCK,
            )
    return LockedStack(lock, Digest.of(data))


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        hint = _RELOCK if path.name == LOCK else f"write {path}"
        raise UsageError(f"{name} has no `{path.name}`", hint=hint) from None
    except OSError as error:
        raise storage_error(error, path) from error
