"""Make the data files of the embedded advisories again, from packages and from a copy of the sources."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Protocol

import msgspec

from lockgate.base.errors import ToolError, UsageError
from lockgate.base.files import atomic_write
from lockgate.build import deb as package_file
from lockgate.build import debversion
from lockgate.scan.advisories import (
    DebianAdvisories,
    DebianPackage,
    PythonAdvisories,
    parse,
    to_bytes,
)
from lockgate.scan.debian_changelog import fixes, uploads

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DEBIAN_SOURCE = "Debian changelogs of the packages' own .deb files"
DEBIAN_LICENCE = "Apache-2.0"
DEBIAN_NOTES = (
    "CVE ids and version numbers only; no text of a changelog is copied. A changelog knows what was fixed,"
    " so a vulnerability that Debian has not fixed is absent, and old entries may be cut off. The word"
    " after a version is the urgency of that upload, not a rating of the vulnerability by Debian or NVD."
)
PYTHON_SOURCE = "https://github.com/pypa/advisory-database"
PYTHON_LICENCE = "CC-BY-4.0"
PYTHON_NOTES = (
    "Made from the advisories of the Python Packaging Advisory Database and its contributors, CC BY 4.0,"
    " LICENSE-CC-BY-4.0.txt beside this file. Changed: ranges written as version specifiers, details cut"
    " to a title, references and credits left out, withdrawn entries dropped. Provided as is."
)


class ChangelogReader(Protocol):
    """Reads the Debian changelog inside a binary package."""

    def __call__(self, deb: Path) -> tuple[str, str]:
        """Return the name of the source package and `usr/share/doc/NAME/changelog.Debian.gz` as text.

        The changelog of a native package is `changelog.gz`. The text is empty when the documentation
        folder is a link to that of another package.
        """
        ...


def changelog_of(deb: Path) -> tuple[str, str]:
    """Read the changelog out of a `.deb`; the reader for `refresh_debian`.

    Raises:
        UsageError: it is not a package.
        StorageError: it cannot be read.
    """
    fields = package_file.control(deb)
    name = fields["package"]
    documents = f"usr/share/doc/{name}/changelog"
    found = b""
    for entry in package_file.entries(deb):
        if entry.kind == "file" and entry.path in (f"{documents}.Debian.gz", f"{documents}.gz"):
            # With both, the second one is upstream's.
            if found and not entry.path.endswith(".Debian.gz"):
                continue
            data = entry.data if isinstance(entry.data, bytes) else b"".join(entry.data())
            found = gzip.decompress(data)
    return fields.get("source", name).split(" ")[0], found.decode("utf-8", "replace")


def refresh_debian(
    path: Path, *, release: str, date: str, debs: Iterable[Path], read: ChangelogReader
) -> DebianAdvisories:
    """Write the data file of a Debian release from the packages that a stack's lock names.

    What the file knew stays known: packages of other stacks, and fixes whose entries were cut off since.
    Of two readings of one package, the one of the later version counts.

    Args:
        path: the data file; made when it is not there.
        release: major version, `13`.
        date: day on which the archive's index was made, `2026-11-20`.
        debs: binary packages; several of one source package do no harm.
        read: reads a changelog out of one.

    Raises:
        UsageError: a source package has no changelog in any of its binary packages.
        ToolError: the old data file is damaged.
    """
    texts: dict[str, str] = {}
    for deb in debs:
        source, text = read(deb)
        texts[source] = texts.get(source) or text
    if silent := sorted(source for source, text in texts.items() if not text):
        raise UsageError(
            f"no package of {', '.join(silent)} has a Debian changelog",
            hint="add the binary package that holds it, for example `gcc-14-base` for `gcc-14`",
        )
    known = _known_debian(path, release)
    packages = dict(known.packages) if known else {}
    for source, text in texts.items():
        fresh = _package(text)
        packages[source] = _merge(packages[source], fresh) if source in packages else fresh
    found = DebianAdvisories(
        name=f"Debian {release} changelogs",
        release=release,
        date=max(date, known.date) if known else date,
        source=DEBIAN_SOURCE,
        licence=DEBIAN_LICENCE,
        notes=DEBIAN_NOTES,
        packages=packages,
    )
    _write(path, found)
    return found


def _package(text: str) -> DebianPackage:
    return DebianPackage(
        version=next(uploads(text)).version,
        fixed={fix.cve: f"{fix.version} {fix.urgency}".strip() for fix in fixes(text)},
    )


def _merge(old: DebianPackage, new: DebianPackage) -> DebianPackage:
    if debversion.key(new.version) < debversion.key(old.version):
        old, new = new, old
    return msgspec.structs.replace(new, fixed={**old.fixed, **new.fixed})


def _known_debian(path: Path, release: str) -> DebianAdvisories | None:
    if not path.exists():
        return None
    known = parse(path.read_bytes(), what=str(path))
    if not isinstance(known, DebianAdvisories) or known.release != release:
        raise ToolError(
            f"{path} does not hold advisories of Debian {release}", hint="name another file"
        )
    return known


def refresh_python(
    path: Path, *, date: str, commit: str, files: Iterable[Path]
) -> PythonAdvisories:
    """Write the data file of Python distributions from files of pypa/advisory-database.

    Args:
        path: the data file.
        date: day of the commit, `2024-10-10`.
        commit: commit of the source.
        files: OSV files in YAML.

    Raises:
        UsageError: a file is not an OSV entry, or none of them is about Python.
    """
    from lockgate.base.strict_yaml import load
    from lockgate.scan.osv import advisories

    found = [
        one
        for file in sorted(files)
        for one in advisories(load(file.read_bytes(), what=str(file)), what=str(file))
    ]
    if not found:
        raise UsageError(
            "the files hold no advisory of a Python distribution",
            hint="name the YAML files below `vulns/` in a copy of pypa/advisory-database",
        )
    made = PythonAdvisories(
        name="Python Packaging Advisory Database",
        date=date,
        source=f"{PYTHON_SOURCE} at commit {commit}",
        licence=PYTHON_LICENCE,
        notes=PYTHON_NOTES,
        advisories=tuple(sorted(found, key=lambda one: (one.package, one.id))),
    )
    _write(path, made)
    return made


def _write(path: Path, found: DebianAdvisories | PythonAdvisories) -> None:
    data = to_bytes(found)
    # Read back before it replaces anything: what is written must be what a build accepts.
    parse(data, what=path.name)
    atomic_write(path, data)
