"""`lockgate.scan.refresh`."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import ToolError, UsageError
from lockgate.scan.advisories import parse
from lockgate.scan.refresh import changelog_of, refresh_debian, refresh_python

if TYPE_CHECKING:
    from pathlib import Path


def changelog(version: str, *cves: str) -> str:
    """Return a changelog with one entry."""
    return f"expat ({version}) unstable; urgency=high\n\n  * {' '.join(cves)}\n\n"


class Readings:
    """A reader of changelogs that knows what is in which package."""

    def __init__(self, known: dict[str, tuple[str, str]]) -> None:
        self.known = known

    def __call__(self, deb: Path) -> tuple[str, str]:
        """Return source and changelog."""
        return self.known[deb.name]

    def debs(self, folder: Path) -> list[Path]:
        """Return the paths of all packages."""
        return [folder / name for name in self.known]


def refresh(path: Path, known: dict[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Refresh a file of Debian 13 and return what it says of each package."""
    readings = Readings(known)
    found = refresh_debian(
        path, release="13", date="2026-11-20", debs=readings.debs(path.parent), read=readings
    )
    assert parse(path.read_bytes(), what="x") == found
    return {name: package.fixed for name, package in found.packages.items()}


def test_source_package_is_read_once(tmp_path: Path) -> None:
    """The changelog may be in any binary package of a source."""
    known = {"a.deb": ("expat", ""), "b.deb": ("expat", changelog("2-1", "CVE-2026-0001"))}
    assert refresh(tmp_path / "a.json", known) == {"expat": {"CVE-2026-0001": "2-1 high"}}


def test_source_without_changelog_is_an_error(tmp_path: Path) -> None:
    """A package whose changelog is nowhere is not a package without vulnerabilities."""
    with pytest.raises(UsageError, match="gcc-14") as caught:
        refresh(tmp_path / "a.json", {"a.deb": ("gcc-14", "")})
    assert caught.value.hint
    assert not (tmp_path / "a.json").exists()


def test_what_was_known_stays_known(tmp_path: Path) -> None:
    """Packages of other stacks and fixes of entries that were cut off since are kept."""
    path = tmp_path / "a.json"
    refresh(path, {"a.deb": ("expat", changelog("2-1", "CVE-2026-0001"))})
    found = refresh(
        path,
        {
            "b.deb": ("zlib", changelog("3-1")),
            "c.deb": ("expat", changelog("4-1", "CVE-2026-0002")),
        },
    )
    assert found == {
        "expat": {"CVE-2026-0001": "2-1 high", "CVE-2026-0002": "4-1 high"},
        "zlib": {},
    }


def test_older_package_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    """Of two readings the later version counts, in whatever order they are made."""
    path = tmp_path / "a.json"
    refresh(path, {"a.deb": ("expat", changelog("4-1", "CVE-2026-0001"))})
    found = refresh(path, {"a.deb": ("expat", changelog("2-1", "CVE-2026-0001"))})
    assert found == {"expat": {"CVE-2026-0001": "4-1 high"}}
    assert b'"version": "4-1"' in path.read_bytes()


def test_file_of_another_release_is_refused(tmp_path: Path) -> None:
    """Advisories of two releases never meet in one file."""
    path = tmp_path / "a.json"
    refresh(path, {"a.deb": ("expat", changelog("2-1"))})
    readings = Readings({})
    with pytest.raises(ToolError, match="Debian 12"):
        refresh_debian(path, release="12", date="2026-11-20", debs=[], read=readings)


def deb(path: Path, control: str, files: dict[str, bytes]) -> Path:
    """Write a binary package (deb(5))."""

    def tar(members: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo("./" + name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()

    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar({"control": control.encode()}),
        "data.tar.gz": tar(files),
    }
    out = b"!<arch>\n"
    for name, data in parts.items():
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += head + data + b"\n" * (len(data) % 2)
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("swapped", [False, True])
def test_changelog_is_read_from_a_package(tmp_path: Path, swapped: bool) -> None:
    """Debian's changelog is taken, not upstream's, whichever comes first; and the source's name."""
    documents = "usr/share/doc/libexpat1/"
    files = {
        documents + "changelog.Debian.gz": gzip.compress(b"debian"),
        documents + "changelog.gz": gzip.compress(b"upstream"),
        "usr/share/doc/other/changelog.Debian.gz": gzip.compress(b"other"),
    }
    if swapped:
        files = dict(reversed(files.items()))
    control = "Package: libexpat1\nSource: expat (2.9-1)\nVersion: 2.9-1+b1\nArchitecture: amd64\n"
    assert changelog_of(deb(tmp_path / "a.deb", control, files)) == ("expat", "debian")


def test_native_package_has_one_changelog(tmp_path: Path) -> None:
    """The changelog of a native package has no `Debian` in its name, and its source has its own name."""
    files = {"usr/share/doc/netbase/changelog.gz": gzip.compress(b"native")}
    path = deb(tmp_path / "a.deb", "Package: netbase\nVersion: 6.5\nArchitecture: all\n", files)
    assert changelog_of(path) == ("netbase", "native")


def test_package_without_documents_gives_no_text(tmp_path: Path) -> None:
    """A package that shares the documents of another one has no changelog."""
    control = "Package: libgcc-s1\nSource: gcc-14\nVersion: 14\nArchitecture: amd64\n"
    assert changelog_of(deb(tmp_path / "a.deb", control, {})) == ("gcc-14", "")


OSV = """\
id: PYSEC-2023-62
details: Words.
aliases: [CVE-2023-30861]
affected:
- package: {name: flask, ecosystem: PyPI}
  ranges:
  - type: ECOSYSTEM
    events: [{introduced: "0"}, {fixed: 2.2.5}]
"""


def test_python_file_names_its_source(tmp_path: Path) -> None:
    """The commit, the date and the licence stand in the file that is made."""
    (tmp_path / "b.yaml").write_text(OSV)
    (tmp_path / "a.yaml").write_text(OSV.replace("flask", "aiohttp"))
    path = tmp_path / "python.json"
    found = refresh_python(
        path, date="2024-10-10", commit="abc", files=sorted(tmp_path.glob("*.yaml"), reverse=True)
    )
    assert parse(path.read_bytes(), what="x") == found
    assert [one.package for one in found.advisories] == ["aiohttp", "flask"]
    assert "commit abc" in found.source
    assert found.licence == "CC-BY-4.0"


def test_no_python_files_write_nothing(tmp_path: Path) -> None:
    """An empty source does not replace what is there."""
    path = tmp_path / "python.json"
    path.write_text("kept")
    with pytest.raises(UsageError, match="no advisory"):
        refresh_python(path, date="2024-10-10", commit="abc", files=[])
    assert path.read_text() == "kept"
