"""Go programs as layers of an image: which ones, what they are made of, and what is in them."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.base.files import storage_error
from lockgate.build import gomod, tool_file
from lockgate.build.go_program import Built, Module
from lockgate.build.layer import Entry
from lockgate.build.model import GoSources, Package
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_CHUNK = 1 << 20


def describe(root: Path, folder: str, packages: Sequence[str]) -> GoSources:
    """Return what is compiled of one Go module; Go is not needed, and nothing is downloaded.

    Args:
        root: folder of `lockgate.yaml`.
        folder: that of `go.mod`, relative to `root`.
        packages: main packages: `.`, `./cmd/x`, an import path, or a name in the folder's `tool.yaml`.

    Raises:
        UsageError: a file is missing or cannot be read, or two packages give one program.
    """
    declared = _declared(root / folder)
    known = {name: one.package for name, one in declared.binaries.items()} if declared else {}
    path = Module(root / folder, {}, {}, "").parsed().module
    programs: dict[str, str] = {}
    for given in packages:
        package = known.get(given, given)
        named = (name for name, one in known.items() if one == package)
        name = next(named, "") or gomod.program_name(package, path)
        if programs.get(name, package) != package:
            raise UsageError(
                f"{folder} gives two programs called `{name}`", hint="name one in its `tool.yaml`"
            )
        programs[name] = package
    whole = module(root, folder, programs, platform="")
    sums = root / folder / "go.sum"
    return GoSources(
        module=folder,
        programs=programs,
        mod=Digest.of((root / folder / "go.mod").read_bytes()),
        sums=Digest.of(sums.read_bytes()) if sums.is_file() else "",
        content=f"sha256:{whole.inputs()}",
    )


def module(root: Path, folder: str, programs: dict[str, str], *, platform: str) -> Module:
    """Return a module of the repository as the compiler takes it.

    Raises:
        UsageError: its `tool.yaml` cannot be read.
    """
    declared = _declared(root / folder)
    return Module(
        folder=root / folder,
        programs=programs,
        variables=declared.variables if declared else {},
        platform=platform,
    )


def _declared(folder: Path) -> tool_file.ToolFile | None:
    path = folder / tool_file.FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    return tool_file.load(data, what=str(path))


def entries(built: Built) -> Iterator[Entry]:
    """Yield the files of a program's layer.

    Raises:
        DigestMismatch: the program in the cache was changed; found once it was read.
    """
    name, size = f"usr/local/bin/{built.about.name}", built.about.size
    yield Entry(name, "file", 0o755, _pieces(built), size)


def _pieces(built: Built) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        found = hashlib.sha256()
        try:
            with built.path.open("rb") as file:
                while piece := file.read(_CHUNK):
                    found.update(piece)
                    yield piece
        except OSError as error:
            raise storage_error(error, built.path) from error
        if found.hexdigest() != built.about.sha256:
            raise DigestMismatch(
                f"{built.about.name} in the cache is not the program that was compiled",
                hint=f"remove {built.path.parent} and run the same command again",
            )

    return read


def packages(built: Built, sources: GoSources) -> tuple[Package, ...]:
    """Describe the Go modules in a program, with Go's standard library, sorted by name.

    Args:
        built: the program.
        sources: what it was compiled from: stands for a module that has no version.
    """
    from packageurl import PackageURL

    about = built.about
    version = "v" + about.go.removeprefix("go")
    found = [_package("stdlib", version, "", ("BSD-3-Clause",), PackageURL)]
    for one in about.modules:
        sha256 = (
            base64.b64decode(one.sum.removeprefix("h1:")).hex()
            if one.sum
            else Digest(sources.content).hex
        )
        found.append(_package(one.path, one.version, sha256, one.licences, PackageURL))
    return tuple(sorted(found, key=lambda one: (one.name, one.version)))


def _package(
    path: str, version: str, sha256: str, licences: tuple[str, ...], url: Callable[..., object]
) -> Package:
    folder, _, name = path.rpartition("/")
    return Package(
        kind="gobinary",
        name=path,
        version=version,
        architecture="",
        source="",
        licences=licences,
        sha256=sha256,
        purl=str(url("golang", folder or None, name, version or None)),
    )
