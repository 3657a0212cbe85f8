"""The edges of `inv tools`: the declared tools, where they are, and how their making is shown."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.tasks.console import Console, megabytes, quantity
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.build.gotools import Found, Reports, Tool
    from lockgate.tasks.session import Session


def wanted(session: Session, names: list[str]) -> list[Tool]:
    """Return the named tools; every one that is declared when none is named, or `all`.

    Raises:
        UsageError: there is no such tool.
    """
    from lockgate.build import gotools

    declared = gotools.catalogue(session.root)
    return gotools.choose(declared, declared if not names or names == ["all"] else names)


def look(tools: list[Tool]) -> list[Found]:
    """Say where tools are; nothing is compiled."""
    from lockgate.build import gotools

    return [gotools.look(tool, user_cache()) for tool in tools]


def build(session: Session, tools: list[Tool]) -> list[Found]:
    """Have tools at hand, and compile those that are not.

    Raises:
        LockgateError: one could not be compiled.
    """
    from lockgate.build import gotools

    console, started = session.console, time.monotonic()
    found = look(tools)
    absent = [one.tool.name for one in found if one.path is None]
    if not absent:
        return found
    made = gotools.build(tools, user_cache(), reports=reports(console, "tools"))
    console.say("tools", f"{quantity(len(absent), 'program')} compiled", started=started)
    return made


def reports(console: Console, stage: str) -> Reports:
    """Return reports that speak on a console: a line an event, and on a terminal what is compiled now."""
    from lockgate.build.gotools import Reports

    return Reports(lambda text: console.say(stage, text), _Live(console))


class _Live:
    """One line that tells what Go does; redrawn at most ten times a second."""

    def __init__(self, console: Console) -> None:
        self._console, self._next = console, 0.0

    def __call__(self, name: str, done: int, last: str) -> None:
        now = time.monotonic()
        if self._console.live and now >= self._next:
            self._next = now + 0.1
            self._console.draw(f"{name}  {quantity(done, 'package')} compiled  {last[-48:]}")


def plan(session: Session, tools: list[Tool]) -> None:
    """Say what `build` would do."""
    from lockgate.build import go

    absent = [one for one in look(tools) if one.path is None]
    for one in look(tools):
        place = (
            f"is there: {_short(one.path)}"
            if one.path
            else f"would be built from {one.tool.source}"
        )
        session.console.say("tools", f"{one.tool.name}  {place}")
    if absent:
        pinned, there = go.pinned(), shutil.which("go")
        session.console.say(
            "tools", f"with `{there}`, else {pinned}" if there else f"with {pinned}"
        )


def show(found: list[Found], *, json: bool) -> None:
    """Print where tools are: a table, or JSON."""
    if json:
        import json as form

        listed = [
            {
                "name": one.tool.name,
                "origin": one.origin,
                "version": one.version,
                "path": str(one.path) if one.path else "",
                "module": one.tool.source,
                "accepted_on_path": one.tool.accept,
                "note": one.note,
            }
            for one in found
        ]
        sys.stdout.write(form.dumps(listed, indent=2) + "\n")
        return
    for one in found:
        place = _short(one.path) if one.path else one.tool.source
        sys.stdout.write(f"{one.tool.name:<24} {one.origin:<7} {one.version:<9} {place}\n")


def _short(path: Path | None) -> str:
    if path is None:
        return ""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def clean(session: Session, *, yes: bool) -> None:
    """Remove the module cache and the build cache of Go that Lockgate made.

    Raises:
        UsageError: it was not agreed to.
        StorageError: a file cannot be removed.
    """
    place = user_cache() / "go"
    size = _size(place)
    if not size:
        session.console.say("tools", "Go's caches are empty")
        return
    if not yes:
        raise UsageError(
            f"Go's caches hold {megabytes(size)} that a later compilation would need again",
            hint="`inv tools.clean --yes` removes them; finished tools stay",
        )
    try:
        # Go keeps modules in folders that nobody may write, and so nobody may empty.
        for folder, _, _ in os.walk(place):
            Path(folder).chmod(0o755)
        shutil.rmtree(place)
    except OSError as error:
        raise storage_error(error, place) from error
    session.console.say("tools", f"{megabytes(size)} of Go's caches removed; finished tools stay")


def _size(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            total += (Path(place) / name).lstat().st_size
    return total
