"""`inv check`: the gates before the build."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.build.check import Checks, Gate
    from lockgate.tasks.session import Session


@task(help=helps("component", "plan", "json", why="say why each gate exists"))
@reported
def check(
    context: Context,
    component: str = "",
    plan: bool = False,
    why: bool = False,
    json: bool = False,
) -> None:
    """Format, lint, unit tests, bandit, dependency audit, licences. Example: inv check -c app --why."""
    from lockgate.build.check import NAMES, reasons
    from lockgate.tasks import checking
    from lockgate.tasks.session import open_session

    session = open_session()
    if why:
        for name, reason in reasons().items():
            session.console.say("check", name)
            session.console.block(reason.splitlines())
        return
    failed = False
    for name in session.components(component):
        if plan:
            changes = session.cache.why("check", name, checking.inputs(session, name))
            ahead = "would run: " + ", ".join(NAMES) if changes else "unchanged"
            session.console.say("check", f"{name}  {ahead}")
            continue
        started = time.monotonic()
        found, fresh = checking.run(session, name, lambda gate: _gate(session, gate))
        session.keep(name, "checks", found)
        if not fresh:
            session.console.say("check", f"{name}  unchanged  {found.summary}")
            _failures(session, found)
        else:
            session.console.say("check", f"{name}  {found.summary}", started=started)
        if json:
            session.emit(found)
        failed = failed or not found.passed
    if failed:
        raise Exit(code=3)


def _gate(session: Session, gate: Gate) -> None:
    word = "passed" if gate.passed else ("FAILED" if gate.blocks else "not done")
    tone = "" if gate.passed else "bad"
    session.console.say("check", f"{gate.name:<9} {word:<9} {gate.reason}", tone=tone)
    if not gate.passed:
        session.console.block([f"  {line}" for line in gate.detail])


def _failures(session: Session, found: Checks) -> None:
    for gate in found.gates:
        if not gate.passed:
            _gate(session, gate)
