"""Compile the main packages of a Go module into programs that are kept, and never compiled again.

A program counts once its record lies beside it; a kill before that leaves nothing.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import MirrorError, UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.base.process import run
from lockgate.build import go_licence, gomod
from lockgate.build.go import environment
from lockgate.build.go_program import (
    FLAGS,
    LINKER,
    Built,
    GoModule,
    GoProgram,
    finished_in,
    places,
    sha256_of,
)
from lockgate.build.go_run import Watch, compile_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.build.go import Go
    from lockgate.build.go_program import Module

SECONDS = 3600.0
"""Time limit of one compilation. The largest, Kubernetes, takes four minutes on two cores."""
PAUSES = (1.0, 5.0)
"""Seconds before the second and third attempt when a download broke off: Go itself tries once."""


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
    (place,) = places(module, anew or cache, inputs, go.version)
    with exclusive(place.parent / f".{place.name}.lock", waiting=waiting):
        found = finished_in(module, [place])
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
        # Behind `--` a package that begins with a hyphen is no flag: one of Go's flags runs a program.
        _patiently([*argv, f"-o={out}/", "--", *batch.values()], module.folder, variables, watch)
        for name, package in batch.items():
            made = out / gomod.program_name(package, path)
            if not made.is_file():
                raise UsageError(
                    f"{package} of {module.name} is no main package",
                    hint="check its `package main`",
                )
            made.replace(partial / name)
        shutil.rmtree(out)


def _patiently(argv: list[str], folder: Path, variables: Mapping[str, str], watch: Watch) -> None:
    """Run a compilation; again after a pause when the proxy failed. What was downloaded and compiled is kept."""
    for pause in PAUSES:
        try:
            return compile_with(argv, cwd=folder, env=variables, watch=watch)
        except MirrorError as error:
            if not error.retryable or watch.stopped():
                raise
            time.sleep(pause)
    return compile_with(argv, cwd=folder, env=variables, watch=watch)


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
        sha256=sha256_of(partial / name),
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
