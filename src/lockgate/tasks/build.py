"""`inv build`, `build.lock`, `build.compare`: source to image index."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.build.model import Image
    from lockgate.build.plan import Plan
    from lockgate.tasks.session import Session


@task(default=True, help=helps("component", "env", "plan", "why", "json"))
@reported
def build(
    context: Context,
    component: str = "",
    env: str = "",
    plan: bool = False,
    why: bool = False,
    json: bool = False,
) -> None:
    """Build components into image indexes in the store. Example: inv build -c app --why."""
    from lockgate.tasks import building
    from lockgate.tasks.session import open_session

    session = open_session()
    _, environment = session.settings.target(env)
    for name in session.components(component):
        wanted = building.make_plan(session, name)
        building.refuse_dirty(wanted, environment, env or session.settings.environment)
        if why or plan:
            _explain(session, wanted)
        if plan:
            continue
        image = _build(session, wanted, relock_allowed=environment.dirty)
        if json:
            session.emit(image)


def _explain(session: Session, plan: Plan) -> None:
    changes = session.cache.why("build", plan.component, plan.inputs)
    session.console.say("build", f"{plan.component}  " + ("would run" if changes else "unchanged"))
    session.console.block(
        [f"{one.reason:<8} {_short(one.old) or '-'} → {_short(one.new)}" for one in changes]
    )


def _short(value: str) -> str:
    from lockgate.oci.digest import Digest

    return Digest(value).short if value.startswith("sha256:") else value[:60]


def _build(session: Session, plan: Plan, *, relock_allowed: bool) -> Image:
    from lockgate.oci.digest import Digest
    from lockgate.tasks import building

    started = time.monotonic()
    kept = building.cached(session, plan)
    if kept is not None:
        session.console.say("build", f"{plan.component}  unchanged  {Digest(kept.subject).short}")
        return kept
    reasons = [one.reason for one in session.cache.why("build", plan.component, plan.inputs)]
    because = "first build" if reasons == ["FIRST"] else ", ".join(reasons).lower() + " changed"
    session.console.say("build", f"{plan.component}  {because}")
    image = building.run(session, plan, relock_allowed=relock_allowed)
    session.console.say(
        "build", f"{' '.join(plan.platforms)} → {Digest(image.subject).short}", started=started
    )
    return image


@task(help={"stack": "stack to lock; without it every one that a component uses"})
@reported
def lock(context: Context, stack: str = "") -> None:
    """Resolve a stack's packages anew and write its lock. Example: inv build.lock --stack python."""
    from lockgate.tasks import locking
    from lockgate.tasks.session import open_session

    session = open_session()
    for name in [stack] if stack else sorted(locking.stacks_in_use(session)):
        locking.relock(session, name)


@task(help=helps("component"))
@reported
def compare(context: Context, component: str = "") -> None:
    """Build again from scratch and name the first file that differs. Example: inv build.compare."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import building
    from lockgate.tasks.console import quantity
    from lockgate.tasks.session import open_session

    session = open_session()
    for name in session.components(component):
        started = time.monotonic()
        wanted = building.make_plan(session, name)
        image = _build(session, wanted, relock_allowed=False)
        files = building.compare(session, wanted, image)
        session.console.say(
            "compare",
            f"{name}  {Digest(image.subject).short} twice, {quantity(files, 'file')} equal",
            started=started,
            tone="good",
        )


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("build", build, lock, compare)
