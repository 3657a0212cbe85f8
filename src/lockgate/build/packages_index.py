"""An archive's `Packages` index: what a suite offers for one architecture, newest versions only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import MirrorError
from lockgate.build import debversion, relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIELD = re.compile(
    rb"^(Package|Version|Source|Architecture|Depends|Pre-Depends|Provides|Filename|Size|SHA256):"
    rb"[ \t]*(.*(?:\n[ \t].*)*)",
    re.MULTILINE,
)
_BREAK = b"\n\n"


class Candidate(NamedTuple):
    """A package as an archive offers it."""

    name: str
    version: str
    architecture: str
    """The architecture asked for, or `all`."""
    source: str
    """Name of the source package."""
    archive: str
    """`main` or `security`: the mirror that has it."""
    path: str
    """Path of the `.deb` below the mirror's address."""
    size: int
    """Bytes of the `.deb`."""
    sha256: str
    """Hexadecimal digest of the `.deb`."""
    needs: str
    """`Pre-Depends` and `Depends`, joined; parsed only for packages that are chosen."""
    provides: str


class PackagesIndex:
    """Candidates by name. Of a name that several suites offer, the newest version stays."""

    def __init__(self) -> None:
        self._packages: dict[str, Candidate] = {}
        self._providers: dict[str, list[tuple[str, str]]] | None = None

    def __len__(self) -> int:
        return len(self._packages)

    def read(self, pieces: Iterable[bytes], *, archive: str) -> None:
        """Add a `Packages` file that comes in pieces of any length.

        Of equal versions the one that was read first stays, so that the order of suites decides.

        Raises:
            MirrorError: a paragraph lacks a field that every package has.
        """
        for paragraph in _paragraphs(pieces):
            found = _candidate(paragraph, archive)
            known = self._packages.get(found.name)
            if known is None or debversion.key(known.version) < debversion.key(found.version):
                self._packages[found.name] = found
        self._providers = None

    def get(self, name: str) -> Candidate | None:
        """Return the candidate of a real package."""
        return self._packages.get(name)

    def providers(self, name: str) -> tuple[tuple[str, Candidate], ...]:
        """Return who provides the virtual package `name`, sorted by the candidate's name.

        Each comes with the version that it provides, which is empty where it names none.
        """
        if self._providers is None:
            self._providers = {}
            for owner in sorted(one.name for one in self._packages.values() if one.provides):
                fields = relation.parse(self._packages[owner].provides, what=f"`{owner}`: Provides")
                for provided, *_ in fields:
                    entry = (provided.version, owner)
                    self._providers.setdefault(provided.name, []).append(entry)
        found = self._providers.get(name, [])
        return tuple((version, self._packages[owner]) for version, owner in found)


def _paragraphs(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(_BREAK)
        yield from (one for one in whole if one.strip())
    if rest.strip():
        yield rest


def _candidate(paragraph: bytes, archive: str) -> Candidate:
    fields = {name: value.decode("utf-8", "replace") for name, value in _FIELD.findall(paragraph)}
    name = fields.get(b"Package", "")
    try:
        return Candidate(
            name=name,
            version=fields[b"Version"],
            architecture=fields[b"Architecture"],
            # `Source: glibc (2.41-12)` when its version differs from the package's.
            source=fields.get(b"Source", name).split(" ", 1)[0],
            archive=archive,
            path=fields[b"Filename"],
            size=int(fields[b"Size"]),
            sha256=fields[b"SHA256"],
            needs=", ".join(filter(None, map(fields.get, (b"Pre-Depends", b"Depends")))),
            provides=fields.get(b"Provides", ""),
        )
    except (KeyError, ValueError) as error:
        raise MirrorError(
            f"the index of the {archive} archive describes {name or 'a package'} without a usable "
            f"{error}",
            hint="another mirror may help: set `build.mirror` in `lockgate.yaml`",
        ) from None
