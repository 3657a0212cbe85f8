"""`inv check`: the gates before the build."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.base.errors import UsageError
from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.build.check import Checks, Gate
    from lockgate.config.inspection import Inspection
    from lockgate.tasks.session import Session


@task(default=True, help=helps("component", "plan", "json", why="say why each gate exists"))
@reported
def check(
    context: Context,
    component: str = "",
    plan: bool = False,
    why: bool = False,
    json: bool = False,
) -> None:
    """Format, lint, tests, bandit, audit, licences, then the manifests. Example: inv check -c app --why."""
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
    for name in _python(session, component):
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
    if not component:
        failed = _manifests(session, "", plan=plan, json=json) or failed
    if failed:
        raise Exit(code=3)


@task(help=helps("env", "plan", "json", why="say why each rule exists"))
@reported
def manifests(
    context: Context, env: str = "", plan: bool = False, why: bool = False, json: bool = False
) -> None:
    """Compare manifests with schemas, Trivy's rules and our own. Example: inv check.manifests -e prod."""
    from lockgate.tasks import inspecting
    from lockgate.tasks.session import open_session

    session = open_session()
    if why:
        from lockgate.config.inspection import reasons

        for name, (reason, hint) in reasons().items():
            session.console.say("check", name)
            session.console.block([*reason.splitlines(), f"to do: {hint}"])
        return
    if not inspecting.targets(session, env):
        raise UsageError(
            "no environment has manifests: there is no folder `k8s/overlays/ENVIRONMENT`",
            hint="write a kustomization there; `docs/manifests.md` shows one",
        )
    if _manifests(session, env, plan=plan, json=json):
        raise Exit(code=3)


def _python(session: Session, component: str) -> list[str]:
    """Return the components whose sources are looked at: those of Python."""
    names = session.components(component)
    found = [name for name in names if session.settings.components[name].kind == "python"]
    if component and not found:
        raise UsageError(
            f"{component} has no sources of Python, and `inv check` looks at no others",
            hint=f"`inv build scan -c {component}` looks at what is in the image",
        )
    return found


def _manifests(session: Session, env: str, *, plan: bool, json: bool) -> bool:
    """Judge the manifests of environments, print what was found, and return whether something is broken."""
    from lockgate.tasks import inspecting

    failed = False
    for one in inspecting.targets(session, env):
        if plan:
            session.console.say("check", f"manifests {one.name}  would be checked: {one.overlay}")
            continue
        started = time.monotonic()
        found, fresh = inspecting.run(session, one)
        line = f"manifests {one.name}  {'' if fresh else 'unchanged  '}{found.summary}"
        tone = "" if found.passed else "bad"
        session.console.say("check", line, started=started if fresh else None, tone=tone)
        _violations(session, found)
        if json:
            session.emit(found)
        failed = failed or not found.passed
    return failed


def _violations(session: Session, found: Inspection) -> None:
    from lockgate.config.inspection import reasons

    hints = {name: hint for name, (_, hint) in reasons().items()}
    lines: list[str] = []
    told: set[str] = set()
    for one in found.violations:
        lines.append(f"  {one.id}  {one.package}  {one.title}")
        if one.id in hints and one.id not in told:
            told.add(one.id)
            lines.append(f"    {hints[one.id]}")
    lines += [
        f"  waiver {one.id} lapsed on {one.until} (owner {one.owner})" for one in found.lapsed
    ]
    session.console.block(lines)


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


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("check", check, manifests)
