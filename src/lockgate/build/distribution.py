"""Wheels as the files of a dependency layer, and what their metadata says."""

from __future__ import annotations

import configparser
import lzma
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from lockgate.base.errors import LockgateError, UsageError
from lockgate.build.layer import Entry
from lockgate.build.model import Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CHUNK = 1 << 18

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, OSError, ValueError, LookupError, OverflowError),
)
"""What `zipfile` raises for archives that are cut off, changed, encrypted or of an unknown method."""

_PYTHON = b"#!/usr/bin/python3"

_TARGET = re.compile(
    r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<name>\w+)(?P<rest>(?:\.\w+)*)\s*(?:\[.*\])?"
)
"""The value of an entry point (entry points specification, "Data model")."""


def entries(wheels: Iterable[Path], *, python: str) -> Iterator[Entry]:
    """Yield the files of wheels as they lie once installed (binary distribution format, "Installing").

    Files are read when the layer is written, one at a time, in the wheel's own order: the wheel's digest
    is locked, so the order is too.

    Raises:
        UsageError: a wheel is damaged or writes outside its place.
    """
    site = f"usr/local/lib/python{python}/dist-packages"
    for wheel in wheels:
        with _opened(wheel) as archive:
            yield from _wheel_entries(archive, site, wheel.name)


def _opened(wheel: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(wheel)
    except _DAMAGED:
        raise _damaged(wheel.name) from None
    if not all(one.filename for one in archive.infolist()):
        archive.close()
        raise _damaged(wheel.name)
    return archive


def _damaged(name: str) -> LockgateError:
    return UsageError(
        f"{name} is not a readable wheel", hint="choose another version, and lock it again"
    )


def _wheel_entries(archive: zipfile.ZipFile, site: str, name: str) -> Iterator[Entry]:
    info = _dist_info(archive, name)
    data = info.removesuffix(".dist-info") + ".data/"
    homes = {"purelib": site, "platlib": site, "scripts": "usr/local/bin", "data": "usr/local"}
    for member in archive.infolist():
        if member.is_dir():
            continue
        place = f"{site}/{member.filename}"
        if member.filename.startswith(data):
            scheme, _, rest = member.filename.removeprefix(data).partition("/")
            if scheme not in homes:
                continue  # headers: nothing is compiled in an image
            place = f"{homes[scheme]}/{rest}"
            if scheme == "scripts":
                yield _script(archive, member, place, name)
                continue
        mode = 0o755 if (member.external_attr >> 16) & 0o100 else 0o644
        yield Entry(place, "file", mode, _Reader(archive, member, name), member.file_size)
    yield Entry(f"{site}/{info}/INSTALLER", "file", 0o644, b"lockgate\n")
    if f"{info}/entry_points.txt" in archive.namelist():
        for script, text in _entry_points(_read(archive, f"{info}/entry_points.txt", name), name):
            yield Entry(f"usr/local/bin/{script}", "file", 0o755, text)


def _script(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str, name: str) -> Entry:
    """A script that starts with `#!python` is for the Python that it is installed for; others stay."""
    reader = _Reader(archive, member, name)
    if not next(iter(reader()), b"").startswith(b"#!python"):
        return Entry(place, "file", 0o755, reader, member.file_size)
    first, newline, rest = b"".join(reader()).partition(b"\n")
    _, space, arguments = first.partition(b" ")
    return Entry(place, "file", 0o755, _PYTHON + space + arguments + newline + rest)


def _entry_points(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and text of the scripts that entry points ask for, sorted.

    The text is ours: a library's template would change digests with the library's version.
    """
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(data.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        raise _damaged(name) from None
    for section in ("console_scripts", "gui_scripts"):
        points = parser.items(section) if parser.has_section(section) else []
        for script, value in sorted(points):
            target = _TARGET.fullmatch(value.strip())
            if target is None:
                raise _damaged(name)
            module, function = target["module"], target["name"]
            lines = [
                _PYTHON.decode(),
                "import sys",
                f"from {module} import {function}",
                'if __name__ == "__main__":',
                f"    sys.exit({function}{target['rest']}())",
            ]
            yield script, ("\n".join(lines) + "\n").encode()


class _Reader:
    """Reads one member in pieces when called."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
        self._archive, self._member, self._name = archive, member, name

    def __call__(self) -> Iterator[bytes]:
        # Here and not around the whole: who writes the layer calls this from outside of `entries`.
        try:
            with self._archive.open(self._member) as file:
                while piece := file.read(_CHUNK):
                    yield piece
        except _DAMAGED:
            raise _damaged(self._name) from None


def _read(archive: zipfile.ZipFile, path: str, name: str) -> bytes:
    try:
        return archive.read(path)
    except (*_DAMAGED, KeyError):
        raise _damaged(name) from None


def _dist_info(archive: zipfile.ZipFile, name: str) -> str:
    found = {one.split("/")[0] for one in archive.namelist() if ".dist-info/" in one}
    folders = {one for one in found if one.endswith(".dist-info")}
    if len(folders) != 1:
        raise UsageError(
            f"{name} has {len(folders)} .dist-info folders, a wheel has one",
            hint="choose another version, and lock it again",
        )
    return folders.pop()


def packages(wheels: Iterable[Path]) -> tuple[Package, ...]:
    """Describe the distributions in wheels, sorted by name.

    Raises:
        UsageError: a wheel is damaged, or its metadata has no name or version.
    """
    from packageurl import PackageURL
    from packaging.metadata import parse_email
    from packaging.utils import canonicalize_name

    found = []
    for wheel in wheels:
        with _opened(wheel) as archive:
            path = f"{_dist_info(archive, wheel.name)}/METADATA"
            raw, _ = parse_email(_read(archive, path, wheel.name))
        if "name" not in raw or "version" not in raw:
            raise _damaged(wheel.name)
        name, version = canonicalize_name(raw["name"]), raw["version"]
        found.append(
            Package(
                kind="pypi",
                name=name,
                version=version,
                architecture="",
                source="",
                licences=_licences(
                    raw.get("license_expression"), raw.get("license"), raw.get("classifiers", [])
                ),
                sha256=wheel.parent.name,
                purl=PackageURL("pypi", None, name, version).to_string(),
            )
        )
    return tuple(sorted(found, key=lambda one: one.name))


def _licences(expression: str | None, text: str | None, classifiers: list[str]) -> tuple[str, ...]:
    # PEP 639: the expression is authoritative; the older fields are words for people.
    if expression:
        return (expression,)
    named = {one.rsplit(" :: ", 1)[1] for one in classifiers if one.startswith("License :: ")}
    # These two say who approved a licence, not which one it is.
    named -= {"OSI Approved", "DFSG approved"}
    if named:
        return tuple(sorted(named))
    if text and "\n" not in text and len(text) <= 80:
        return (text.strip(),)
    return ()
