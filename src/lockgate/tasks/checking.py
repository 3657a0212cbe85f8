"""The check stage's edges, made from the settings: tools, advisories, approved licences."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.files import exclusive
from lockgate.build import check, stack
from lockgate.build.check import Checks
from lockgate.build.stack_lock import open_stack
from lockgate.oci.digest import Digest
from lockgate.scan import trivy_install
from lockgate.tasks import scanning
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Component
    from lockgate.build.check import Gate
    from lockgate.build.model import Package
    from lockgate.scan.database import DatabaseDir
    from lockgate.scan.licences import Verdict
    from lockgate.scan.model import Finding
    from lockgate.tasks.session import Session


def run(session: Session, name: str, progress: Callable[[Gate], None]) -> tuple[Checks, bool]:
    """Pass a component through the gates; return the record, and whether they ran now.

    Raises:
        ToolError: a gate could not do its work.
        UsageError: the component, its lock or the approved licences cannot be read.
    """
    component = session.settings.components[name]
    chosen = scanning.choose_database(session)
    depends = inputs(session, name)
    console = session.console
    with exclusive(
        session.lock(f"check-{name}"),
        waiting=lambda: console.say("check", "another run checks this component; waiting for it"),
    ):
        kept = session.cache.find("check", name, depends, Checks)
        if kept is not None:
            return kept, False
        made = _check(session, name, component, chosen, progress)
        # Files edited while the gates ran would otherwise be known under the digest of what was there before.
        if made.checked == depends["SOURCE"]:
            session.cache.keep("check", name, depends, made)
    return made, True


def inputs(session: Session, name: str) -> dict[str, str]:
    """Return everything that the verdict on a component depends on, by reason.

    Raises:
        UsageError: the component, its lock or the approved licences cannot be read.
        ToolError: there are no advisories.
    """
    scanner = trivy_install.fingerprint(os.environ.get("PATH", ""))
    database = scanning.choose_database(session).record.digest
    return check.inputs(
        name,
        session.settings.components[name],
        root=session.root,
        licences=session.root / session.settings.licences,
        advisories=Digest.of(encode([database, scanner])),
    )


def _check(
    session: Session,
    name: str,
    component: Component,
    chosen: DatabaseDir,
    progress: Callable[[Gate], None],
) -> Checks:
    from lockgate.build import tool_env
    from lockgate.scan import licences

    lock = session.root / component.path / component.requirements
    tools = tool_env.prepare(
        session.folder / "tools",
        [tool_env.tool_lock(), lock],
        progress=lambda text: session.console.say("check", text),
    )
    data = check.read_policy(session.root / session.settings.licences)
    approvals = licences.parse(data, what=session.settings.licences)

    def judge(packages: Sequence[Package]) -> Verdict:
        return licences.judge(packages, approvals)

    return check.check(
        name,
        component,
        root=session.root,
        tools=tools.bin,
        packages=_packages(session, component, lock),
        audit=lambda path: _audit(session, path, chosen),
        licences=judge,
        progress=progress,
    )


def _packages(session: Session, component: Component, lock: Path) -> tuple[Package, ...]:
    from lockgate.build import distribution, wheels

    locked = open_stack(stack.folder(component.stack, session.root)).lock
    found: list[Package] = []
    for platform in session.settings.build.platforms:
        kept = wheels.fetch(
            lock,
            python=locked.stack.python,
            glibc=locked.glibc(platform),
            platform=platform,
            cache=user_cache() / "wheels",
        )
        found += distribution.packages(kept)
    return tuple(found)


def _audit(session: Session, lock: Path, chosen: DatabaseDir) -> tuple[Finding, ...]:
    from lockgate.scan.trivy import Trivy, sandbox

    located = trivy_install.locate(os.environ.get("PATH", ""), user_cache())
    return Trivy(located, sandbox(), user_cache() / "work").audit(
        lock, chosen, session.settings.scan
    )
