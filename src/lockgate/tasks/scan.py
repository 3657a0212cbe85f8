"""`inv scan`, `scan.database`: a digest to a report to the gate's decision."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.build.model import Image
    from lockgate.scan.database import DatabaseDir
    from lockgate.scan.model import Database, Report
    from lockgate.tasks.judging import Verdict
    from lockgate.tasks.session import Session


@task(default=True, help=helps("component", "env", "plan", "why", "json"))
@reported
def scan(
    context: Context,
    component: str = "",
    env: str = "",
    plan: bool = False,
    why: bool = False,
    json: bool = False,
) -> None:
    """Scan the built digest, and let the gate decide. Example: inv scan -e prod."""
    from lockgate.build.model import Image
    from lockgate.gate.decide import require_open
    from lockgate.tasks import judging, scanning
    from lockgate.tasks.session import open_session

    session = open_session()
    _, environment = session.settings.target(env)
    verdicts = []
    for name in session.components(component):
        image = session.record(name, "image", Image, made_by="build")
        chosen = scanning.choose_database(session, None if plan else environment)
        depends = scanning.inputs(session, image, chosen)
        if plan or why:
            changes = session.cache.why("scan", name, depends)
            session.console.say("scan", f"{name}  " + ("would run" if changes else "unchanged"))
            session.console.block(
                [f"{one.reason:<9} {one.old[:60] or '-'} → {one.new[:60]}" for one in changes]
            )
        if plan:
            continue
        report = _report(session, image, chosen, depends)
        verdict = judging.judge(session, report, name, env, int(time.time()))
        _show(session, verdict)
        session.keep(name, "report", report)
        session.keep(name, f"decision-{verdict.decision.environment}", verdict.decision)
        if json:
            session.emit(verdict.decision)
        verdicts.append(verdict.decision)
    # Every component gets its verdict before the first closed gate ends the run.
    for decision in verdicts:
        require_open(decision)


def _report(session: Session, image: Image, chosen: DatabaseDir, depends: dict[str, str]) -> Report:
    from lockgate.oci.digest import Digest
    from lockgate.tasks import scanning

    started = time.monotonic()
    short = Digest(image.subject).short
    kept = scanning.cached(session, image, depends)
    if kept is not None:
        session.console.say("scan", f"{image.component}  unchanged  {short}  {_with(kept)}")
        return kept
    report = scanning.run(session, image, chosen, depends)
    session.console.say("scan", f"{short}  {_with(report)}", started=started)
    return report


def _with(report: Report) -> str:
    return f"trivy {report.scanner.version}, {_database(report.database)}"


def _database(found: Database) -> str:
    day = dt.datetime.fromtimestamp(found.updated, dt.UTC).strftime("%Y-%m-%d")
    if found.kind != "embedded":
        return f"Trivy's database of {day}"
    oldest = min((one.date for one in found.sources), default=day)
    return f"embedded advisories of {oldest} to {day} (partial)"


def _show(session: Session, verdict: Verdict) -> None:
    from lockgate.gate import render
    from lockgate.tasks import judging

    decision = verdict.decision
    component = session.settings.components[decision.component]
    requirements = f"{component.path}/{component.requirements}".replace(".txt", ".in")
    session.console.say("scan", render.totals(decision))
    tone = "good" if decision.allowed else "bad"
    also = f"   ({verdict.elsewhere})" if verdict.elsewhere else ""
    session.console.say("gate", render.headline(decision) + also, tone=tone)
    session.console.block(list(render.table(decision, requirements=requirements)))
    judging.publish(session, decision)


@task(
    name="database",
    auto_shortflags=False,  # `-p` is `--plan` everywhere
    help=helps("json", pull="download Trivy's database, or the mirror that the settings name"),
)
@reported
def database(context: Context, pull: bool = False, json: bool = False) -> None:
    """Say which advisories a scan looks up, and how old they are. Example: inv scan.database --pull."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import scanning
    from lockgate.tasks.session import open_session

    session = open_session()
    if pull:
        scanning.pull(session)
    chosen = scanning.choose_database(session)
    session.console.say("scan", f"{_database(chosen.record)}  {Digest(chosen.record.digest).short}")
    session.console.block(
        [f"{one.name}: {one.licence}, of {one.date}" for one in chosen.record.sources]
    )
    if json:
        session.emit(chosen.record)


@task(help={"stack": "stack whose packages are read; without it every one under stacks/"})
@reported
def refresh(context: Context, stack: str = "") -> None:
    """Read the locked packages' changelogs into the embedded advisories. Example: inv scan.refresh."""
    from lockgate.tasks import scanning
    from lockgate.tasks.session import open_session

    session = open_session()
    names = (
        [stack]
        if stack
        else sorted(one.parent.name for one in session.root.glob("stacks/*/stack.lock"))
    )
    for name in names:
        file, count = scanning.refresh(session, name)
        session.console.say(
            "scan", f"advisories/{file}: {count} source packages, from stack {name}"
        )


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("scan", scan, database, refresh)
