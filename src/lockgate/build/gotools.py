"""Go tools: on PATH at an accepted version, else compiled from sources that `go.sum` pins, and kept.

Every folder `tools/<module>/` of a repository, or of those that Lockgate ships, is one Go module.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockgate.base.errors import ToolError, UsageError
from lockgate.base.process import run
from lockgate.build import go_build, tool_file
from lockgate.build.go import locate
from lockgate.build.go_program import Built, Module, finished
from lockgate.build.tool_catalogue import Tool, catalogue, choose

__all__ = ["Found", "Reports", "Tool", "binary", "build", "catalogue", "choose", "look"]

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSION = re.compile(r"\bv?([0-9]+)\.([0-9]+)\.([0-9]+)\b")


class Found(NamedTuple):
    """Where a tool is."""

    tool: Tool
    origin: Literal["PATH", "built", "absent"]
    version: str
    path: Path | None
    note: str = ""
    """Why the one on PATH was not taken; empty when there is nothing to say."""


class Reports(NamedTuple):
    """Who is told what happens while tools are made."""

    note: Callable[[str], None]
    """Told one line when something begins or takes time."""
    progress: Callable[[str, int, str], None]
    """Told a module's name, how many packages were compiled, and the last thing done."""


def _silent(*_: object) -> None:
    """Say nothing."""


SILENT = Reports(_silent, _silent)


def look(tool: Tool, cache: Path, *, search: str | None = None) -> Found:
    """Say where a tool is, and change nothing.

    Args:
        tool: which one.
        cache: the cache folder.
        search: the value of PATH; that of this process when not given.

    Raises:
        UsageError: files of its module are missing.
    """
    found, note = _on_path(tool, os.environ.get("PATH", "") if search is None else search)
    if found is not None:
        return found
    kept = finished(module([tool]), cache).get(tool.name)
    if kept is None:
        return Found(tool, "absent", tool.version, None, note)
    return Found(tool, "built", tool.version, kept.path, note)


def _on_path(tool: Tool, search: str) -> tuple[Found | None, str]:
    """Return the tool on PATH when its version is accepted, else None and why."""
    path = shutil.which(tool.name, path=search) if tool.accept else None
    if path is None:
        return None, ""
    try:
        answer = run([path, *tool.ask], timeout=20)
    except ToolError:
        return None, f"`{path}` does not tell its version"
    said = _VERSION.search((answer.stdout + answer.stderr).decode("utf-8", "replace"))
    if said is None:
        return None, f"`{path}` does not tell its version"
    version = f"v{said[1]}.{said[2]}.{said[3]}"
    if not tool_file.accepted(tuple(int(one) for one in said.groups()), tool.accept):
        return None, f"`{path}` is {version}, {tool.accept} is needed"
    return Found(tool, "PATH", version, Path(path)), ""


def module(tools: list[Tool], platform: str = "") -> Module:
    """Return what is to be compiled for tools of one module.

    Args:
        tools: one or more, all of the same folder.
        platform: `linux/amd64`; that of this machine when not given.

    Raises:
        UsageError: its declaration cannot be read.
    """
    folder = tools[0].folder
    declared = tool_file.load(
        (folder / tool_file.FILE).read_bytes(), what=f"tools/{folder.name}/{tool_file.FILE}"
    )
    return Module(
        folder=folder,
        programs={one.name: one.package for one in tools},
        variables=declared.variables,
        platform=platform or this_platform(),
    )


def this_platform() -> str:
    """Return this machine's platform in Go's words: `linux/amd64`.

    Raises:
        UsageError: it is a machine that Go has no name for here.
    """
    about = os.uname()
    machines = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if about.machine not in machines:
        raise UsageError(
            f"tools are not built for {about.machine}", hint="install the tool and put it on PATH"
        )
    return f"{about.sysname.lower()}/{machines[about.machine]}"


def build(
    tools: list[Tool],
    cache: Path,
    *,
    reports: Reports = SILENT,
    search: str | None = None,
    cpus: int | None = None,
) -> list[Found]:
    """Return where every tool is, after those that are nowhere were compiled.

    Modules are compiled side by side, as many as there are pairs of processors.

    Args:
        tools: which ones.
        cache: the cache folder.
        reports: who is told what happens.
        search: the value of PATH; that of this process when not given.
        cpus: how many processors to use; all that this process may when not given.

    Raises:
        LockgateError: of the first module that could not be compiled; what others compile is given up.
    """
    where = {tool.name: look(tool, cache, search=search) for tool in tools}
    for one in where.values():
        if one.note:
            reports.note(one.note)
    wanted: dict[Path, list[Tool]] = {}
    for tool in tools:
        if where[tool.name].origin == "absent":
            wanted.setdefault(tool.folder, []).append(tool)
    if wanted:
        modules = [module(listed) for listed in wanted.values()]
        for made in _build_all(modules, cache, reports, search, cpus or processors()):
            for name, built in made.items():
                tool = where[name].tool
                where[name] = Found(tool, "built", tool.version, built.path, where[name].note)
    return [where[tool.name] for tool in tools]


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has it
        return os.cpu_count() or 1


def _build_all(
    modules: list[Module], cache: Path, reports: Reports, search: str | None, cpus: int
) -> list[dict[str, Built]]:
    path = os.environ.get("PATH", "") if search is None else search
    least = max(one.parsed().go for one in modules)
    compiler = locate(path, cache, least=least, note=reports.note)
    workers = max(1, min(len(modules), cpus // 2))
    jobs = max(1, cpus // workers)
    stopped = threading.Event()

    def one(wanted: Module) -> dict[str, Built]:
        if stopped.is_set():
            return {}
        reports.note(f"{wanted.name}: compiling {', '.join(wanted.programs)}")
        return go_build.build(
            wanted,
            compiler,
            cache,
            jobs=jobs,
            progress=reports.progress,
            waiting=lambda: reports.note(f"{wanted.name}: another run compiles it; waiting for it"),
            stopped=stopped.is_set,
        )

    with ThreadPoolExecutor(max_workers=workers) as pool:
        tasks = [pool.submit(one, wanted) for wanted in modules]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            stopped.set()
            raise


def binary(
    name: str,
    *,
    root: Path,
    cache: Path,
    reports: Reports = SILENT,
    search: str | None = None,
) -> Path:
    """Return the path of one tool, compiled first when it is nowhere.

    Args:
        name: the tool, as `inv tools` lists it.
        root: folder of `lockgate.yaml`.
        cache: the cache folder.
        reports: who is told what happens.
        search: the value of PATH; that of this process when not given.

    Raises:
        LockgateError: there is no such tool, or it could not be compiled.
    """
    (found,) = build(choose(catalogue(root), [name]), cache, reports=reports, search=search)
    if found.path is None:
        raise ToolError(
            f"`{name}` was compiled and is not there", hint="run the same command again"
        )
    return found.path
