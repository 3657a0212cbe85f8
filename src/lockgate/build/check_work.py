"""A private copy of a component, where the gates of `check` run their tools.

The copy is what makes a verdict mean something: it is exactly the files whose digest the record carries, a test
that writes cannot change the sources, and an edit in the middle of a run cannot reach half of the gates.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import CommandFailed, ReportUnreadable, UsageError
from lockgate.base.files import storage_error
from lockgate.base.process import Completed, run
from lockgate.base.scratch import scratch, system_home
from lockgate.build.tree import source_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.base.settings import Component

LINES = 30
"""Lines of a tool's output that a record keeps."""
WIDTH = 200
"""Characters of such a line."""


class Outcome(NamedTuple):
    """What one gate found."""

    passed: bool
    reason: str
    """One line."""
    detail: tuple[str, ...] = ()
    """Lines for the person who has to mend it."""
    blocks: bool = True
    """False when a gate that did not pass is no reason to stop."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The copy and all that a gate needs to know of it."""

    top: Path
    """Stands for the folder of `lockgate.yaml`; holds the component and the ruff settings that apply to it."""
    scratch: Path
    """Folder for what tools write; not below `top`."""
    component: Component
    files: tuple[str, ...]
    """Every file of the component, relative to its folder, sorted."""
    shipped: tuple[str, ...]
    """Those that enter the image."""
    own_style: bool
    """True when the repository has ruff settings for this component."""
    tools: Path
    """Folder of the programs."""
    lock: int
    """Descriptor that every tool holds, too: while tests run that outlived us, nobody removes the copy."""

    @property
    def folder(self) -> Path:
        """The component in the copy."""
        return self.top / self.component.path

    @property
    def python_files(self) -> tuple[str, ...]:
        """All Python files, relative to the component's folder."""
        return tuple(path for path in self.files if path.endswith((".py", ".pyi")))

    @property
    def service_files(self) -> tuple[str, ...]:
        """The Python files of the image that are not tests, relative to the component's folder."""
        tests = self.test_files
        return tuple(path for path in self.shipped if path.endswith(".py") and path not in tests)

    @property
    def test_files(self) -> frozenset[str]:
        """The files in the folder of tests; empty when the settings name none."""
        if not self.component.tests:
            return frozenset()
        tests = PurePosixPath(self.component.tests)
        return frozenset(
            path
            for path in self.files
            if tests in (PurePosixPath(path), *PurePosixPath(path).parents)
        )

    def run(
        self,
        program: str,
        *arguments: str,
        accept: Sequence[int] = (0,),
        timeout: float = 300,
        cwd: Path | None = None,
    ) -> Completed:
        """Run one of the tools in the copy, in an environment that tells it nothing of this machine or user.

        Raises:
            ToolMissing, CommandFailed: as `lockgate.base.process.run`.
        """
        home = self.scratch / "home"
        environment = {
            "PATH": f"{self.tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PYTHONHASHSEED": "0",
        }
        argv = [str(self.tools / program), *arguments]
        try:
            return run(
                argv,
                timeout=timeout,
                env=environment,
                cwd=cwd or self.top,
                accept=accept,
                lock=self.lock,
            )
        except CommandFailed as error:
            error.hint = error.hint or (
                f"`{program}` could not do its work on `{self.component.path}`; what it said is above, "
                f"and it is started as `{program} {' '.join(arguments[:3])} …`"
            )
            raise

    def lines(self, output: bytes, *, last: bool = False) -> tuple[str, ...]:
        """Return the first or the last lines of a tool's output, without what differs from run to run."""
        text = output.decode("utf-8", "replace").replace("\r", "")
        for folder in (self.top, self.scratch):
            text = text.replace(f"{folder}{os.sep}", "")
        text = re.sub(r"0x[0-9a-f]{6,}", "0x…", text)
        found = [line[:WIDTH].rstrip() for line in text.splitlines() if line.strip()]
        if len(found) <= LINES:
            return tuple(found)
        left = f"… {len(found) - LINES} more lines"
        return (left, *found[-LINES:]) if last else (*found[:LINES], left)

    def unreadable(self, program: str, why: str) -> ReportUnreadable:
        """Return the error for output that cannot be understood."""
        return ReportUnreadable(
            f"`{program}` left no report that can be read: {why}",
            hint="run it again; when it stays, the tool in `check-requirements.txt` is the wrong version",
        )


@contextlib.contextmanager
def private_copy(root: Path, component: Component, tools: Path) -> Iterator[Work]:
    """Copy a component and the ruff settings that apply to it into a folder that is removed at the end.

    Args:
        root: the folder of `lockgate.yaml`.
        component: its settings.
        tools: folder of the programs.

    Raises:
        UsageError: the component's folder is absent or empty, or ruff settings extend a file elsewhere.
        StorageError: the copy cannot be written.
    """
    folder = root / component.path
    files = source_files(folder, ())
    styles = style_files(root, folder)
    # Sources may hold what is nobody's business: the copy is its owner's alone (0700), and one that a killed run left
    # is removed by the next. It is not in the user's cache: tools look for their settings in the folders above, and
    # above that may be the repository or a home.
    with scratch(system_home()) as place:
        top, written = place.path / "copy", place.path / "scratch"
        try:
            (written / "home").mkdir(parents=True)
            for path in files:
                _copy(folder / path, top / component.path / path)
            for path in styles:
                _copy(root / path, top / path)
        except OSError as error:
            raise storage_error(error, Path(error.filename or top)) from error
        copied = source_files(top / component.path, ())
        yield Work(
            top=top,
            scratch=written,
            component=component,
            files=tuple(copied),
            shipped=tuple(source_files(top / component.path, component.exclude)),
            own_style=bool(styles),
            tools=tools,
            lock=place.lock,
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink() and not target.exists():
        shutil.copy(source, target, follow_symlinks=False)


def style_files(root: Path, folder: Path) -> tuple[str, ...]:
    """Return the ruff settings that count for `folder`, relative to `root`: the nearest and what it extends.

    Settings above `root` or in a home folder do not count: they are not part of the repository.

    Raises:
        UsageError: settings cannot be read, or extend a file outside of `root`.
    """
    nearest = next(
        (
            here / name
            for here in (folder, *folder.parents)
            if here == root or root in here.parents
            for name in (".ruff.toml", "ruff.toml", "pyproject.toml")
            if (here / name).is_file() and _ruff_section(here / name) is not None
        ),
        None,
    )
    found: list[str] = []
    while nearest is not None:
        path = os.path.relpath(nearest, root)
        if path.startswith(os.pardir) or not nearest.is_file():
            raise UsageError(
                f"the ruff settings in {found[-1]} extend {path}, which is not a file of the repository",
                hint="move it into the repository, or write its settings out",
            )
        if path in found:
            break
        found.append(path)
        extended = (_ruff_section(nearest) or {}).get("extend")
        nearest = Path(os.path.normpath(nearest.parent / str(extended))) if extended else None
    return tuple(found)


def _ruff_section(path: Path) -> dict[str, object] | None:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="it must be TOML") from None
    if path.name != "pyproject.toml":
        return content
    section = content.get("tool", {}).get("ruff")
    return section if isinstance(section, dict) else None
