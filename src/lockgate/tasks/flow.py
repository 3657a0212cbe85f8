"""`inv flow`: the stages in order, what each takes and gives, and how far each component is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context


class Stage(NamedTuple):
    """One step from commit to running service."""

    name: str
    does: str


STAGES = (
    Stage("check", "format, lint, unit tests, bandit, dependency audit, licences"),
    Stage("build", "source, stack and locked wheels → image index"),
    Stage("scan", "that digest → report → decision of the gate"),
    Stage("sign", "open decision → signature and four attestations"),
    Stage("verify", "digest and requirement → what holds and what does not"),
    Stage("deploy", "verified image → running, ready and smoke-tested"),
)
"""The flow, said once. Each stage reads the record of the one before."""


@task(help=helps("env"))
@reported
def flow(context: Context, env: str = "") -> None:
    """Name the stages in order, and how far each component is. Example: inv flow."""
    from lockgate.tasks import flowing
    from lockgate.tasks.session import open_session

    session = open_session()
    for component in session.components(""):
        found = flowing.states(session, component, env)
        for stage in STAGES:
            sys.stdout.write(
                f"{component:<12} inv {stage.name:<8} {found[stage.name]:<12} {stage.does}\n"
            )
