"""`inv deploy`, and what it brought where: to this machine, or to a cluster."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks import inventory
from lockgate.tasks.command import REGISTRY, Flags, helps, reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke.context import Context

    from lockgate.deploy.model import Deployment
    from lockgate.tasks.applying import Asked
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session

_TARGET = {"target": "`local` or `cluster`; without it the environment's"}
_ACT = {
    "prune": "delete from the cluster what the artifact no longer has",
    "prune_limit": "most objects that may be deleted; 0: the environment's `prune_limit`",
    "force": "delete and make anew what cannot be changed in place",
    "take_over": "take fields over from other managers, and objects from other inventories",
}
_FROM = {
    "artifact": "artifact to deploy to the cluster: name in the store, digest, host/name:tag or "
    "host/name@sha256:…; without it the environment's, made from its manifests",
    "identities": "file of age private keys; without it the one that LOCKGATE_AGE_IDENTITIES names",
    **REGISTRY,
}


@task(
    default=True,
    klass=Flags,
    iterable=["insecure"],
    help=helps("component", "env", "plan", "wait_timeout", "json", **_TARGET, **_ACT, **_FROM),
)
@reported
def deploy(
    context: Context,
    component: str = "",
    env: str = "",
    target: str = "",
    artifact: str = "",
    prune: bool = True,
    prune_limit: int = 0,
    force: bool = False,
    take_over: bool = False,
    wait_timeout: int = 300,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Verify, run or apply, wait until ready. Example: inv deploy -e dev --target local."""
    from lockgate.tasks import applying
    from lockgate.tasks.session import open_session

    session = open_session()
    cluster = applying.is_cluster(session, env, target)
    applying.check_words(component, artifact, cluster=cluster)
    if not cluster:
        _local(session, component, env, plan=plan, json=json)
        return
    asked = applying.Asked(prune, prune_limit, force, take_over, wait_timeout)
    # A wrong number, and a cluster that nobody knows, are said before anything is built, signed or pushed.
    applying.options(session.settings.target(env)[1], asked)
    if not plan:
        applying.access(session, env)
    elif not artifact and _lacks(session, env):
        return
    ways = _ways(session, authority, insecure)

    def demand(name: str) -> None:
        from lockgate.tasks import build, scan, sign

        build.build(context, component=name, env=env)
        scan.scan(context, component=name, env=env)
        sign.sign(context, component=name, env=env)

    _apply(ways, env, artifact, identities, asked, plan=plan, json=json, demand=demand)


def _lacks(session: Session, env: str) -> bool:
    """Say which components on demand would have to be made first; return whether there are any."""
    from lockgate.tasks import configuring

    needed = configuring.needed(session, env)
    for name in needed:
        session.console.say("deploy", f"{name}  would be built, scanned and signed before")
    if needed:
        session.console.block(["what the cluster would get is not known before that"])
    return bool(needed)


def _local(session: Session, component: str, env: str, *, plan: bool, json: bool) -> None:
    from lockgate.build.model import Image
    from lockgate.tasks import deploying

    for name in session.local_components(component):
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


def _ways(session: Session, authority: str, insecure: list[str] | None) -> Ways:
    from lockgate.tasks import places

    return places.Ways(session, authority, insecure or ())


def _apply(
    ways: Ways,
    env: str,
    artifact: str,
    identities: str,
    asked: Asked,
    *,
    plan: bool,
    json: bool,
    demand: Callable[[str], None] | None = None,
) -> None:
    from lockgate.tasks import applying, proving
    from lockgate.tasks.console import quantity

    session, started = ways.session, time.monotonic()
    env, _ = session.settings.target(env)
    if plan:
        shown = proving.preview(ways, env, artifact, identities)
        proving.say(session, shown)
        changes = applying.plan(ways, env, shown, asked)
        applying.Said(session, env).planned(changes)
        session.console.block(["nothing was changed"])
    else:
        proven = proving.prove(ways, env, artifact, identities, demand)
        proving.say(session, proven)
        changes = applying.run(ways, env, proven, asked)
        words = ("created", "configured", "recreated", "deleted", "skipped", "unchanged")
        counts = ", ".join(f"{changes.count(one)} {one}" for one in words if changes.count(one))  # type: ignore[arg-type]
        session.console.say("deploy", f"{changes.context}  {counts}", started=started, tone="good")
        if not asked.wait_timeout:
            left = "not waited for: `inv deploy.status` says what is ready"
            session.console.say("deploy", applying.of_environment(session, env, left))
        session.console.say("deploy", f"{quantity(len(changes.changes), 'object')} read back")
    if json:
        session.emit(changes)


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


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "env", "json", exit_code="end with exit code 1 when something would change", **_ACT, **_FROM
    ),
)
@reported
def diff(
    context: Context,
    env: str = "",
    artifact: str = "",
    prune: bool = True,
    prune_limit: int = 0,
    force: bool = False,
    take_over: bool = False,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    exit_code: bool = False,
    json: bool = False,
) -> None:
    """Say what a deployment to the cluster would change, field by field. Example: inv deploy.diff -e prod."""
    from invoke.exceptions import Exit

    from lockgate.tasks import applying, deploy_words, proving
    from lockgate.tasks.console import printable
    from lockgate.tasks.session import open_session

    ways = _ways(open_session(), authority, insecure)
    asked = applying.Asked(prune, prune_limit, force, take_over, wait_timeout=0, details=True)
    where, _ = ways.session.settings.target(env)
    shown = proving.preview(ways, where, artifact, identities)
    proving.say(ways.session, shown)
    changes = applying.plan(ways, where, shown, asked)
    if json:
        ways.session.emit(changes)
    elif not changes.is_empty:
        lines = [
            one for one in deploy_words.plan_lines(changes, details=True) if one[:9] != "unchanged"
        ]
        sys.stdout.write("".join(f"{printable(one)}\n" for one in lines))
    ways.session.console.say("deploy", "no difference" if changes.is_empty else "it differs")
    if exit_code and not changes.is_empty:
        raise Exit(code=1)


@task(
    klass=Flags,
    help=helps(
        "component", "env", "json", exit_code="end with exit code 1 unless all is ready", **_TARGET
    ),
)
@reported
def status(
    context: Context,
    component: str = "",
    env: str = "",
    target: str = "",
    exit_code: bool = False,
    json: bool = False,
) -> None:
    """Say what runs, from which digest, and what it can be rolled back to. Example: inv deploy.status."""
    from invoke.exceptions import Exit

    from lockgate.tasks import applying
    from lockgate.tasks.session import open_session

    session = open_session()
    is_ready = (
        _cluster_status(session, env, json=json)
        if applying.is_cluster(session, env, target)
        else _local_status(session, component, json=json)
    )
    if exit_code and not is_ready:
        raise Exit(code=1)


def _local_status(session: Session, component: str, *, json: bool) -> bool:
    from lockgate.oci.digest import Digest
    from lockgate.tasks import deploying

    is_ready = True
    for name in session.local_components(component):
        found = deploying.status(session, name)
        is_ready = is_ready and found.phase == "running"
        if json:
            session.emit(found)
            continue
        digest = Digest(found.instance.digest).short if found.instance else "-"
        sys.stdout.write(f"{name:<12} {found.phase:<14} {digest:<22} {found.url or '-'}\n")
        for past in reversed(found.history[:-1]):
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(past.since))
            sys.stdout.write(f"{'':<12} {'before':<14} {Digest(past.digest).short:<22} {day}\n")
    return is_ready


def _cluster_status(session: Session, env: str, *, json: bool) -> bool:
    from lockgate.deploy.kube.status import status as look
    from lockgate.tasks import applying, deploy_words

    _, environment = session.settings.target(env)
    with applying.target(session, env) as there:
        found = look(there, applying.options(environment, applying.Asked()))
    if json:
        session.emit(found)
        return found.is_ready
    session.console.say("cluster", f"{found.inventory} (context {found.context})")
    session.console.block(deploy_words.status_lines(found))
    sys.stdout.write("".join(f"{one}\n" for one in deploy_words.object_lines(found)))
    return found.is_ready


@task(klass=Flags, help=helps("component", lines="how many lines from the end"))
@reported
def logs(context: Context, component: str = "", lines: int = 100) -> None:
    """Print what a component's service wrote, also after it ended. Example: inv deploy.logs -c app."""
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    name, _ = session.settings.component(component)
    sys.stdout.write(deploying.logs(session, name, lines))


@task(klass=Flags, help=helps("component"))
@reported
def stop(context: Context, component: str = "") -> None:
    """End a component's service on this machine. Example: inv deploy.stop -c app."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    for name in session.local_components(component):
        ended = deploying.stop(session, name)
        what = f"stopped  {Digest(ended.digest).short}" if ended else "nothing runs"
        session.console.say("deploy", f"{name}  {what}")


@task(
    klass=Flags,
    iterable=["insecure"],
    help=helps(
        "component", "env", "plan", "wait_timeout", "json", **_TARGET, **_ACT,
        **{name: text for name, text in _FROM.items() if name != "artifact"},
    ),
)  # fmt: skip
@reported
def rollback(
    context: Context,
    component: str = "",
    env: str = "",
    target: str = "",
    prune: bool = True,
    prune_limit: int = 0,
    force: bool = False,
    take_over: bool = False,
    wait_timeout: int = 300,
    identities: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Bring back what was there before, verified like anything else. Example: inv deploy.rollback."""
    from lockgate.tasks import applying, deploying
    from lockgate.tasks.session import open_session

    session = open_session()
    if applying.is_cluster(session, env, target):
        applying.check_words(component, "", cluster=True)
        ways = _ways(session, authority, insecure)
        asked = applying.Asked(prune, prune_limit, force, take_over, wait_timeout)
        before = applying.previous(session, env)
        _apply(ways, env, before, identities, asked, plan=plan, json=json)
        return
    name, _ = session.settings.component(component)
    started = time.monotonic()
    if plan:
        session.console.say("deploy", deploying.rollback_plan(session, name))
        return
    done, evidence = deploying.rollback(session, name, env)
    session.keep(name, "deployment", done)
    _show(session, done, evidence, started)
    if json:
        session.emit(done)


def collection() -> Collection:
    """Return the tasks of this module, and those on inventories."""
    return Collection("deploy", deploy, diff, status, logs, stop, rollback, *inventory.TASKS)
