"""`inv doctor`: every tool with its version, where it comes from, and what it is needed for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.base.errors import LockgateError
from lockgate.tasks.command import reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke.context import Context

    from lockgate.tasks.session import Session


class Found(NamedTuple):
    """What was found of one tool."""

    version: str
    """Empty when it is not there."""
    origin: str
    """Where it comes from, or why it is not there."""


class Need(NamedTuple):
    """One thing that a stage works with."""

    name: str
    purpose: str
    required: bool
    """False when something else does its work."""
    find: Callable[[Session], Found]


@task(help={"json": "print the list as JSON, on stdout"})
@reported
def doctor(context: Context, json: bool = False) -> None:
    """List every tool with version, origin and purpose; exit 6 when one is missing. Example: inv doctor."""
    from lockgate.tasks.session import open_session

    session = open_session()
    rows = [(need, _look(need, session)) for need in (*NEEDS, *_tools(session))]
    if json:
        import json as form

        listed = [
            {
                "name": need.name,
                "version": found.version,
                "origin": found.origin,
                "needed_for": need.purpose,
                "required": need.required,
            }
            for need, found in rows
        ]
        sys.stdout.write(form.dumps(listed, indent=2) + "\n")
    else:
        for need, found in rows:
            mark = found.version or ("MISSING" if need.required else "-")
            sys.stdout.write(f"{need.name:<23} {mark:<12} {need.purpose:<40} {found.origin}\n")
    missing = [need.name for need, found in rows if need.required and not found.version]
    if missing:
        session.console.problem(f"missing: {', '.join(missing)}", "see the list above")
        raise Exit(code=6)


def _look(need: Need, session: Session) -> Found:
    try:
        return need.find(session)
    except LockgateError as error:
        return Found("", error.message)


def _python(_: Session) -> Found:
    import platform

    return Found(platform.python_version(), _short(Path(sys.executable)))


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _git(_: Session) -> Found:
    return _program("git", "--version", lambda text: text.split()[2])


def _program(name: str, flag: str, version: Callable[[str], str]) -> Found:
    import shutil

    from lockgate.base.process import run

    path = shutil.which(name)
    if path is None:
        return Found("", "not on PATH")
    answer = run([path, flag], timeout=10).stdout.decode("utf-8", "replace")
    return Found(version(answer), _short(Path(path)))


def _pip(_: Session) -> Found:
    from importlib import metadata

    return Found(metadata.version("pip"), "the environment of `inv`")


def _zlib(_: Session) -> Found:
    import zlib

    from lockgate.build.layer import zlib_is_reference

    same = "writes the reference bytes" if zlib_is_reference() else "writes OTHER BYTES: see ADR 3"
    return Found(zlib.ZLIB_RUNTIME_VERSION, same)


def _mirror(session: Session) -> Found:
    from lockgate.build.apt_sources import find_mirrors

    settings = session.settings.build
    found = find_mirrors(
        Path("/"), mirror=settings.mirror, security_mirror=settings.security_mirror
    )
    origin = "build.mirror" if settings.mirror else "the machine's apt sources"
    return Found("found" if found.main else "", origin)


def _trivy(_: Session) -> Found:
    from lockgate.scan import trivy_install
    from lockgate.tasks.session import user_cache

    found = trivy_install.locate(os.environ.get("PATH", ""), user_cache())
    where = "PATH" if found.origin == "path" else "the hash-pinned wheel"
    return Found(found.version, f"{where}: {_short(found.path)}")


def _advisories(session: Session) -> Found:
    import time

    from lockgate.tasks import scanning

    record = scanning.choose_database(session).record
    day = time.strftime("%Y-%m-%d", time.gmtime(record.updated))
    kind = "embedded, partial" if record.kind == "embedded" else "Trivy's database"
    return Found(day, f"{kind}; `inv scan.database --pull` for Trivy's own")


def _sandbox(_: Session) -> Found:
    from lockgate.base import namespaces

    if namespaces.available():
        return Found("yes", "the kernel's namespaces")
    return Found("", "the kernel allows no namespaces here")


def _engine(_: Session) -> Found:
    from lockgate.deploy.engine import find_engine

    engine = find_engine()
    return Found(engine.name, "answers") if engine else Found("", "none answers; namespaces serve")


def _uv(_: Session) -> Found:
    from lockgate.build.tool_env import find_uv

    path = find_uv()
    if not path:
        return Found("", "not found; pip does its work")
    return _program(path, "--version", lambda text: text.split()[1])


def _go(_: Session) -> Found:
    import shutil

    from lockgate.build import go

    there = shutil.which("go")
    pinned = (
        f"{go.pinned().removeprefix('go')}, the hash-pinned wheel, is fetched when it is needed"
    )
    if there is None:
        return Found("", pinned)
    return _program("go", "version", lambda text: text.split()[2].removeprefix("go"))


def _tools(session: Session) -> tuple[Need, ...]:
    """Return a need for each Go tool that is declared; none is required before it is asked for."""
    from lockgate.build import gotools
    from lockgate.tasks.session import user_cache

    def look(tool: gotools.Tool) -> Callable[[Session], Found]:
        def find(_: Session) -> Found:
            found = gotools.look(tool, user_cache())
            if found.path is None:
                return Found("", f"absent; `inv tools -n {tool.name}` builds it")
            return Found(found.version.removeprefix("v"), f"{found.origin}: {_short(found.path)}")

        return find

    declared = gotools.catalogue(session.root).values()
    return tuple(
        Need(tool.name, f"Go tool of tools/{tool.folder.name}", False, look(tool))
        for tool in declared
    )


NEEDS = (
    Need("python", "everything", True, _python),
    Need("git", "which commit an image is built from", True, _git),
    Need("pip", "downloads wheels and the pinned Trivy", True, _pip),
    Need("go", "compiles tools, and images in Go", False, _go),
    Need("uv", "makes environments faster than pip", False, _uv),
    Need("zlib", "compresses layers", True, _zlib),
    Need("mirror", "Debian packages of the stacks", True, _mirror),
    Need("trivy", "scans images", True, _trivy),
    Need("advisories", "what Trivy looks up", True, _advisories),
    Need("namespaces", "no network for Trivy; runs deployments", False, _sandbox),
    Need("engine", "runs deployments in containers", False, _engine),
)
"""Everything the flow works with."""
