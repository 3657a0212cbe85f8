"""`inv push`, `inv pull` and `inv copy`: images with all their evidence, from one place to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.tasks import task

from lockgate.tasks.command import REGISTRY, helps, reported

if TYPE_CHECKING:
    from invoke.context import Context


@task(
    iterable=["insecure"],
    help=helps(
        "component",
        "env",
        "plan",
        "json",
        reference="name in the store, instead of a component",
        to="registry and folder to push to, host/prefix; without it the environment's",
        tag="tag in the registry; without it the environment and the commit, or with --to the commit",
        **REGISTRY,
    ),
)
@reported
def push(
    context: Context,
    component: str = "",
    reference: str = "",
    to: str = "",
    env: str = "",
    authority: str = "",
    tag: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Push what an environment trusts, with all its evidence. Example: inv push -e prod."""
    from lockgate.tasks import moving, places
    from lockgate.tasks.session import open_session

    session = open_session()
    ways = places.Ways(session, authority, insecure or ())
    session.settings.target(env)
    names = [reference] if reference else session.components(component)
    # Everything is looked at before anything is pushed.
    wanted = [moving.pushed_as(session, name, to, tag, env) for name in names]
    let = [moving.let_through(session, name, env) for name in names]
    for origin, place in zip(let, wanted, strict=True):
        moving.run(ways, "push", origin, place, plan, json)


@task(
    iterable=["insecure"],
    help=helps(
        "env",
        "plan",
        "json",
        reference="host/name:tag, host/name@sha256:…, archive:PATH, or name:tag in the environment's registry",
        name="name in the store; without it the last part of the image's own",
        **REGISTRY,
    ),
)
@reported
def pull(
    context: Context,
    reference: str,
    name: str = "",
    env: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Pull an image with all its evidence into the store. Example: inv pull registry.example/app:1.0."""
    from lockgate.tasks import moving, places
    from lockgate.tasks.session import open_session

    ways = places.Ways(open_session(), authority, insecure or ())
    found = places.within(ways, env, reference)
    moving.run(ways, "pull", found, moving.pulled_as(found, name), plan, json)


@task(
    iterable=["insecure"],
    help=helps(
        "plan",
        "json",
        origin="name in the store, host/name:tag, host/name@sha256:… or archive:PATH",
        to="place of the same form to copy to",
        **REGISTRY,
    ),
)
@reported
def copy(
    context: Context,
    origin: str,
    to: str,
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Copy an image with all its evidence. Example: inv copy app archive:app.tar."""
    from lockgate.tasks import moving, places
    from lockgate.tasks.session import open_session

    ways = places.Ways(open_session(), authority, insecure or ())
    moving.run(ways, "copy", origin, to, plan, json)
