"""Which Go tools are declared: one folder `tools/<module>/` each Go module, with its locks and its `tool.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.base.settings import nearest
from lockgate.build import gomod, tool_file

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUNDLED = Path(__file__).parent.parent / "bundled" / "tools"


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
    mod = path.with_name("go.mod")
    try:
        parsed = gomod.parse(mod.read_bytes(), what=f"tools/{path.parent.name}/go.mod")
    except OSError as error:
        raise storage_error(error, mod) from error
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
