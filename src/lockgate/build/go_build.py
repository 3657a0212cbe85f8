"""Compile the main packages of a Go module into programs that are kept, and never compiled again.

What is kept is known by all that decides over its bytes: `go.mod`, `go.sum`, sources, flags, the version of
Go and the platform. A program counts once its record lies beside it; a kill before that leaves nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.base.process import run
from lockgate.build import go_licence, gomod, tree
from lockgate.build.go import environment
from lockgate.build.go_run import Watch, compile_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lockgate.build.go import Go

SECONDS = 3600.0
"""Time limit of one compilation. The largest, Kubernetes, takes four minutes on two cores."""

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
    return _finished(module, _places(module, cache, module.inputs(), go))


def _finished(module: Module, places: Iterable[Path]) -> dict[str, Built]:
    found: dict[str, Built] = {}
    for place in places:
        for name, package in module.programs.items():
            about = _about(place / f"{name}.json")
            if about is None or about.package != package or name in found:
                continue
            if _sha256(place / name) == about.sha256:
                found[name] = Built(place / name, about)
    return found


def _places(module: Module, cache: Path, inputs: str, go: str) -> list[Path]:
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


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def build(
    module: Module,
    go: Go,
    cache: Path,
    *,
    jobs: int,
    progress: Callable[[str, int, str], None],
    waiting: Callable[[], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    anew: Path | None = None,
) -> dict[str, Built]:
    """Return the programs of a module, compiled when they are not there; two runs do the work once.

    Args:
        module: what is wanted.
        go: the compiler.
        cache: the cache folder.
        jobs: how many compilations Go runs at once.
        progress: told the module's name, how many packages were compiled, and the last one.
        waiting: called once when another run compiles the same.
        stopped: asked now and then; True ends the compilation.
        anew: an empty folder to compile into, with nothing compiled before; modules come from `cache` all the same.

    Raises:
        UsageError: a file is missing, the module is not tidy, or there is no such package.
        DigestMismatch: a module is not the one that `go.sum` lists.
        MirrorError, PackageGone: a module cannot be downloaded.
        StorageError: the disk is full.
        ToolError: it does not compile, or not in time.
    """
    inputs = module.inputs()
    (place,) = _places(module, anew or cache, inputs, go.version)
    with exclusive(place.parent / f".{place.name}.lock", waiting=waiting):
        found = _finished(module, [place])
        missing = {name: one for name, one in module.programs.items() if name not in found}
        if not missing:
            return found
        for left in place.parent.glob(f".partial-{place.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = place.parent / f".partial-{place.name}-{secrets.token_hex(4)}"
        try:
            (partial / "tmp").mkdir(parents=True)
            place.mkdir(exist_ok=True)
            variables = environment(
                go,
                cache,
                module.platform,
                partial / "tmp",
                compiled=anew / "compiled" if anew else None,
            )
            watch = Watch(module.name, SECONDS, progress, stopped)
            _compile(module, missing, [str(go.program), "build", f"-p={jobs}"], variables, watch)
            if module.inputs() != inputs:
                raise UsageError(
                    f"files of {module.name} changed while it was compiled", hint="run it again"
                )
            for name, package in missing.items():
                about = _describe(name, package, module, go, variables, partial)
                (partial / name).replace(place / name)
                atomic_write(place / f"{name}.json", encode(about))
                found[name] = Built(place / name, about)
        except OSError as error:
            raise storage_error(error, place) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return {name: found[name] for name in module.programs}


def _compile(
    module: Module,
    programs: Mapping[str, str],
    command: list[str],
    variables: Mapping[str, str],
    watch: Watch,
) -> None:
    """Let Go write the programs beside its folder for temporary files, each under its name."""
    path, partial = module.parsed().module, Path(variables["GOTMPDIR"]).parent
    linker = [*LINKER, *(f"-X={key}={value}" for key, value in sorted(module.variables.items()))]
    argv = [*command, "-v", *FLAGS, f"-ldflags={' '.join(linker)}"]
    for batch in _batches(programs, path):
        out = partial / "out"
        out.mkdir()
        compile_with(
            [*argv, f"-o={out}/", *batch.values()], cwd=module.folder, env=variables, watch=watch
        )
        for name, package in batch.items():
            made = out / gomod.program_name(package, path)
            if not made.is_file():
                raise UsageError(
                    f"{package} of {module.name} is no main package",
                    hint="check its `package main`",
                )
            made.replace(partial / name)
        shutil.rmtree(out)


def _batches(programs: Mapping[str, str], path: str) -> list[dict[str, str]]:
    """Divide programs so that no two of a batch get the same name from Go."""
    batches: list[dict[str, str]] = []
    taken: list[set[str]] = []
    for name, package in programs.items():
        own = gomod.program_name(package, path)
        for batch, names in zip(batches, taken, strict=True):
            if own not in names:
                batch[name] = package
                names.add(own)
                break
        else:
            batches.append({name: package})
            taken.append({own})
    return batches


def _describe(
    name: str, package: str, module: Module, go: Go, variables: Mapping[str, str], partial: Path
) -> GoProgram:
    answer = run([go.program, "version", "-m", partial / name], timeout=60, env=variables)
    modules = tuple(
        GoModule(
            path=path,
            version=version,
            sum=sum_,
            licences=_licences(path, version, module, Path(variables["GOMODCACHE"])),
        )
        for path, version, sum_ in contained(answer.stdout.decode("utf-8", "replace"))
    )
    if not modules:
        raise UsageError(f"{name} does not say which modules are in it", hint="use another Go")
    return GoProgram(
        name=name,
        package=package,
        platform=module.platform,
        go=go.version,
        sha256=_sha256(partial / name),
        size=(partial / name).stat().st_size,
        modules=modules,
    )


def contained(text: str) -> list[tuple[str, str, str]]:
    """Return path, version and sum of every module that `go version -m` lists, the main one first.

    A module that another one stands in for is listed as that one, since its bytes are in the program.
    """
    found: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        kind, *words = line.strip().split("\t")
        if kind not in ("mod", "dep", "=>"):
            continue
        path, version, sum_ = [*words, "", "", ""][:3]
        if kind == "=>":
            found.pop()
        found.append((path, "" if version == "(devel)" else version, sum_))
    return found


def _licences(path: str, version: str, module: Module, downloaded: Path) -> tuple[str, ...]:
    if not version:
        return go_licence.names(module.folder)
    # Modules reference, "Module cache": a capital letter is written as `!` and the small one.
    escaped = re.sub(r"[A-Z]", lambda letter: "!" + letter[0].lower(), f"{path}@{version}")
    return go_licence.names(downloaded / escaped)
