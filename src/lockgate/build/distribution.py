"""Wheels as the files of a dependency layer, and what their metadata says."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.build.layer import Entry
from lockgate.build.model import Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CHUNK = 1 << 18


def entries(wheels: Iterable[Path], *, python: str) -> Iterator[Entry]:
    """Yield the files of wheels as they lie once installed (binary distribution format, "Installing").

    Files are read when the layer is written, one at a time, in the wheel's own order: the wheel's digest
    is locked, so the order is too.

    Raises:
        UsageError: a wheel is damaged or writes outside its place.
    """
    site = f"usr/local/lib/python{python}/dist-packages"
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                yield from _wheel_entries(archive, site, wheel.name)
        except zipfile.BadZipFile:
            raise UsageError(f"{wheel.name} is not a readable wheel") from None


def _wheel_entries(archive: zipfile.ZipFile, site: str, name: str) -> Iterator[Entry]:
    from installer.scripts import Script
    from installer.utils import parse_entrypoints

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
        executable = (member.external_attr >> 16) & 0o100 or place.startswith("usr/local/bin/")
        yield Entry(
            place,
            "file",
            0o755 if executable else 0o644,
            _Reader(archive, member),
            member.file_size,
        )
    yield Entry(f"{site}/{info}/INSTALLER", "file", 0o644, b"lockgate\n")
    if f"{info}/entry_points.txt" in archive.namelist():
        points = parse_entrypoints(archive.read(f"{info}/entry_points.txt").decode())
        for script, module, attribute, section in sorted(points):
            made, text = Script(script, module, attribute, section).generate(
                "/usr/bin/python3", "posix"
            )
            yield Entry(f"usr/local/bin/{made}", "file", 0o755, text)


class _Reader:
    """Reads one member in pieces when called."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._archive, self._member = archive, member

    def __call__(self) -> Iterator[bytes]:
        with self._archive.open(self._member) as file:
            while piece := file.read(_CHUNK):
                yield piece


def _dist_info(archive: zipfile.ZipFile, name: str) -> str:
    found = {one.split("/")[0] for one in archive.namelist() if ".dist-info/" in one}
    folders = {one for one in found if one.endswith(".dist-info")}
    if len(folders) != 1:
        raise UsageError(f"{name} has {len(folders)} .dist-info folders, a wheel has one")
    return folders.pop()


def packages(wheels: Iterable[Path]) -> tuple[Package, ...]:
    """Describe the distributions in wheels, sorted by name."""
    from packageurl import PackageURL
    from packaging.metadata import parse_email
    from packaging.utils import canonicalize_name

    found = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            raw, _ = parse_email(archive.read(f"{_dist_info(archive, wheel.name)}/METADATA"))
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
    named = [
        one.rsplit(" :: ", 1)[1]
        for one in classifiers
        if one.startswith("License :: ") and " :: " in one[11:]
    ]
    if named:
        return tuple(sorted(named))
    if text and "\n" not in text and len(text) <= 80:
        return (text.strip(),)
    return ()
