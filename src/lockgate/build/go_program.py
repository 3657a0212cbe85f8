"""Compiled programs: what they are known by, what is in them, and those that are kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.build import gomod, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FLAGS = ("-trimpath", "-buildvcs=false")
LINKER = ("-s", "-w", "-buildid=")
"""No path, no time and no symbols in a program. What is in it (`go version -m`) stays readable."""

_FORMAT = 1
"""Raised when the same inputs give other bytes or another record than before."""

_NOT_COMPILED = ("README.md", "tool.yaml")


class GoModule(Record, frozen=True):
    """One module in a program."""

    path: str
    version: str
    """Empty for the module that the program's own sources are in."""
    sum: str
    """What `go.sum` calls it by: `h1:…`; empty for local sources."""
    licences: tuple[str, ...]
    """SPDX identifiers of the texts that it carries; empty when they are not known."""


class GoProgram(Record, frozen=True):
    """A compiled program."""

    name: str
    package: str
    """Import path of its main package."""
    platform: str
    go: str
    """The Go that compiled it: `go1.27.3`."""
    sha256: str
    """Hexadecimal digest."""
    size: int
    """Bytes."""
    modules: tuple[GoModule, ...]
    """What is in it, the module of the main package first."""


class Module(NamedTuple):
    """A Go module, and what is compiled of it."""

    folder: Path
    """Where its `go.mod` lies."""
    programs: Mapping[str, str]
    """Main package by the program's name."""
    variables: Mapping[str, str]
    """What the linker sets."""
    platform: str
    """`linux/amd64`."""

    @property
    def name(self) -> str:
        """Name for people: that of the folder."""
        return self.folder.name

    def parsed(self) -> gomod.GoMod:
        """Return what its `go.mod` says.

        Raises:
            UsageError: it is not there or cannot be read.
        """
        return gomod.parse(_read(self.folder / "go.mod"), what=f"{self.name}/go.mod")

    def inputs(self) -> str:
        """Return one digest over all that decides over the bytes, but for the version of Go.

        Raises:
            UsageError: a file is missing or cannot be read, or the module needs folders outside of its own.
        """
        found = self.parsed()
        outside = [one for one in found.local if one.startswith(("../", "/"))]
        if outside:
            raise UsageError(
                f"{self.name}/go.mod replaces a module by {outside[0]}, outside of its folder",
                hint="move `go.mod` up, or require a version",
            )
        sums = _read(self.folder / "go.sum") if found.requires else b""
        others = [
            path
            for path in tree.source_files(self.folder, ())
            if path not in (*_NOT_COMPILED, "go.mod", "go.sum")
        ]
        content = tree.content_digest(self.folder, others)
        listed = [_FORMAT, _read(self.folder / "go.mod").decode(), sums.decode(), content]
        listed += [dict(self.variables), FLAGS, LINKER, self.platform]
        return hashlib.sha256(encode(listed)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no {path}", hint="`go mod tidy` writes it") from None
    except OSError as error:
        raise storage_error(error, path) from error


class Built(NamedTuple):
    """A program in the cache."""

    path: Path
    about: GoProgram


def finished(module: Module, cache: Path, *, go: str = "go*") -> dict[str, Built]:
    """Return the programs that are there already, their bytes checked, by name. Go is not needed.

    Args:
        module: what is looked for.
        cache: the cache folder.
        go: the version of Go that must have compiled them: `go1.27.3`. Any one does when not given.

    Raises:
        UsageError: as `Module.inputs`.
    """
    return finished_in(module, places(module, cache, module.inputs(), go))


def finished_in(module: Module, places: Iterable[Path]) -> dict[str, Built]:
    """Return the programs that are whole in one of these folders, by name; the first folder counts."""
    found: dict[str, Built] = {}
    for place in places:
        for name, package in module.programs.items():
            about = _about(place / f"{name}.json")
            if about is None or about.package != package or name in found:
                continue
            if sha256_of(place / name) == about.sha256:
                found[name] = Built(place / name, about)
    return found


def places(module: Module, cache: Path, inputs: str, go: str) -> list[Path]:
    """Return the folders that programs of a module may be kept in; of any Go, those that are there."""
    version = next(
        iter(filter(None, map(module.parsed().version_of, module.programs.values()))), ""
    )
    label = "-".join(filter(None, (module.name, version.replace("/", "_"))))
    label += f"-{module.platform.replace('/', '-')}-{inputs[:16]}"
    folder = cache / "tools"
    if go != "go*":
        return [folder / f"{label}-{go}"]
    return sorted(folder.glob(f"{label}-go*"), key=lambda place: place.name, reverse=True)


def _about(path: Path) -> GoProgram | None:
    try:
        return decode(path.read_bytes(), GoProgram)
    except (OSError, UsageError):
        return None  # not there, or of another version: it is compiled


def sha256_of(path: Path) -> str:
    """Return a file's digest in hexadecimal digits; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
