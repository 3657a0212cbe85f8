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
from lockgate.base.files import storage_error
from lockgate.base.process import run
from lockgate.base.settings import nearest
from lockgate.build import go_build, tool_file
from lockgate.build.go import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BUNDLED = Path(__file__).parent.parent / "bundled" / "tools"

_VERSION = re.compile(r"\bv?([0-9]+)\.([0-9]+)\.([0-9]+)\b")


class Tool(NamedTuple):
    """One program that a tools folder declares."""

    name: str
    folder: Path
    """Folder of its Go module."""
    package: str
    ask: tuple[str, ...]
    """Arguments with which it tells its version."""
    accept: str
    """Versions that are taken from PATH; empty: none."""
    version: str
    """The version that is compiled, as its module has it: `v3.1.3`; empty for sources in the folder."""
    source: str
    """The Go module that it comes from, `path@version`."""


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


def catalogue(root: Path) -> dict[str, Tool]:
    """Return every tool by its name: those of the repository, and those that Lockgate ships.

    Args:
        root: folder of `lockgate.yaml`.

    Raises:
        UsageError: a declaration cannot be read, or two modules of the repository declare one name.
    """
    found: dict[str, Tool] = {}
    for place in (_BUNDLED, root / "tools"):
        here: dict[str, Tool] = {}
        for path in sorted(place.glob(f"*/{tool_file.FILE}")):
            for tool in _declared(path):
                if tool.name in here:
                    raise UsageError(
                        f"`{tool.name}` is declared by {here[tool.name].folder.name} and by "
                        f"{path.parent.name}",
                        hint="rename one of the two",
                    )
                here[tool.name] = tool
        found |= here
    return dict(sorted(found.items()))


def _declared(path: Path) -> list[Tool]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(error, path) from error
    declared = tool_file.load(data, what=f"tools/{path.parent.name}/{tool_file.FILE}")
    parsed = go_build.Module(path.parent, {}, {}, "").parsed()
    found = []
    for name, program in declared.binaries.items():
        version = parsed.version_of(program.package)
        owner = max(
            (one for one in parsed.requires if f"{program.package}/".startswith(f"{one}/")),
            key=len,
            default=parsed.module,
        )
        found.append(
            Tool(
                name=name,
                folder=path.parent,
                package=program.package,
                ask=program.ask,
                accept=program.accept,
                version=version,
                source=f"{owner}@{version}" if version else owner,
            )
        )
    return found


def choose(tools: dict[str, Tool], names: Iterable[str]) -> list[Tool]:
    """Return the tools of these names; a module's name stands for all of its programs.

    Raises:
        UsageError: there is no such tool.
    """
    chosen: dict[str, Tool] = {}
    modules = {tool.folder.name for tool in tools.values()}
    for name in names:
        if name in tools:
            chosen[name] = tools[name]
        elif name in modules:
            chosen |= {one.name: one for one in tools.values() if one.folder.name == name}
        else:
            known = sorted({*tools, *modules})
            raise UsageError(
                f"{name!r} is not a tool", hint=nearest(name, known) or "`inv tools` lists them"
            )
    return list(chosen.values())


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
    kept = go_build.finished(module([tool]), cache).get(tool.name)
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


def module(tools: list[Tool], platform: str = "") -> go_build.Module:
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
    return go_build.Module(
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
    modules: list[go_build.Module], cache: Path, reports: Reports, search: str | None, cpus: int
) -> list[dict[str, go_build.Built]]:
    path = os.environ.get("PATH", "") if search is None else search
    least = max(one.parsed().go for one in modules)
    compiler = locate(path, cache, least=least, note=reports.note)
    workers = max(1, min(len(modules), cpus // 2))
    jobs = max(1, cpus // workers)
    stopped = threading.Event()

    def one(wanted: go_build.Module) -> dict[str, go_build.Built]:
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
