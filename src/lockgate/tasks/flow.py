"""`inv flow`: the stages in order, what each takes and gives, and how far each component is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from invoke.tasks import task

from lockgate.tasks.command import reported

if TYPE_CHECKING:
    from invoke.context import Context


class Stage(NamedTuple):
    """One step from commit to running service."""

    name: str
    does: str
    record: str
    """Name of the record it leaves, empty for none."""


STAGES = (
    Stage("check", "format, lint, unit tests, bandit, dependency audit, licences", "checks"),
    Stage("build", "source, stack and locked wheels → image index", "image"),
    Stage("scan", "that digest → report → decision of the gate", "decision"),
    Stage("sign", "open decision → signature and four attestations", "signed"),
    Stage("verify", "digest and requirement → what holds and what does not", "verification"),
    Stage("deploy", "verified image → running, ready and smoke-tested", "deployment"),
)
"""The flow, said once. Each stage reads the record of the one before."""


@task
@reported
def flow(context: Context) -> None:
    """Name the stages in order, with the record that each leaves. Example: inv flow."""
    from lockgate.tasks.session import open_session

    session = open_session()
    for component in session.settings.components:
        for stage in STAGES:
            pattern = f"{stage.record}*.json"
            place = session.record_path(component, stage.record).parent
            done = "done" if any(place.glob(pattern)) else "-"
            sys.stdout.write(f"{component:<12} inv {stage.name:<8} {done:<5} {stage.does}\n")
