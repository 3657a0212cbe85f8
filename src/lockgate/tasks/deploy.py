"""`inv deploy`, `deploy.status`, `deploy.logs`, `deploy.stop`, `deploy.rollback`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.deploy.model import Deployment
    from lockgate.tasks.session import Session


@task(default=True, help=helps("component", "env", "plan", "json"))
@reported
def deploy(
    context: Context, component: str = "", env: str = "", plan: bool = False, json: bool = False
) -> None:
    """Verify, run, wait until ready, ask a real question, print the URL. Example: inv deploy -e dev."""
    from lockgate.build.model import Image
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    session.settings.target(env)
    for name in session.components(component):
        image = session.record(name, "image", Image, made_by="build")
        if plan:
            session.console.say("deploy", deploying.plan(session, image, env))
            continue
        started = time.monotonic()
        done, evidence = deploying.run(session, image, env)
        session.keep(name, "deployment", done)
        _show(session, done, evidence, started)
        if json:
            session.emit(done)


def _show(session: Session, done: Deployment, evidence: str, started: float) -> None:
    from lockgate.oci.digest import Digest

    short = Digest(done.digest).short
    if done.change == "unchanged":
        session.console.say("deploy", f"{done.component}  unchanged  {short}  {done.url}")
        return
    session.console.say(
        "deploy",
        f"local  {evidence} · {done.runner} · ready in {done.ready_ms / 1000:.1f} s · smoke {done.smoke}",
        started=started,
        tone="good",
    )
    session.console.say(
        "deploy", f"{done.url}   stop: inv deploy.stop   logs: inv deploy.logs -c {done.component}"
    )


@task(help=helps("component", "json"))
@reported
def status(context: Context, component: str = "", json: bool = False) -> None:
    """Say what runs, from which digest, and what it can be rolled back to. Example: inv deploy.status."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    for name in session.components(component):
        found = deploying.status(session, name)
        if json:
            session.emit(found)
            continue
        digest = Digest(found.instance.digest).short if found.instance else "-"
        sys.stdout.write(f"{name:<12} {found.phase:<14} {digest:<22} {found.url or '-'}\n")
        for past in reversed(found.history[:-1]):
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(past.since))
            sys.stdout.write(f"{'':<12} {'before':<14} {Digest(past.digest).short:<22} {day}\n")


@task(help=helps("component", lines="how many lines from the end"))
@reported
def logs(context: Context, component: str = "", lines: int = 100) -> None:
    """Print what a component's service wrote, also after it ended. Example: inv deploy.logs -c app."""
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    name, _ = session.settings.component(component)
    sys.stdout.write(deploying.logs(session, name, lines))


@task(help=helps("component"))
@reported
def stop(context: Context, component: str = "") -> None:
    """End a component's service. Example: inv deploy.stop -c app."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    for name in session.components(component):
        ended = deploying.stop(session, name)
        what = f"stopped  {Digest(ended.digest).short}" if ended else "nothing runs"
        session.console.say("deploy", f"{name}  {what}")


@task(help=helps("component", "env", "json"))
@reported
def rollback(context: Context, component: str = "", env: str = "", json: bool = False) -> None:
    """Run the image before the current one, verified like any other. Example: inv deploy.rollback."""
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    name, _ = session.settings.component(component)
    started = time.monotonic()
    done, evidence = deploying.rollback(session, name, env)
    session.keep(name, "deployment", done)
    _show(session, done, evidence, started)
    if json:
        session.emit(done)


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("deploy", deploy, status, logs, stop, rollback)
