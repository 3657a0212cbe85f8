"""`inv push`, `inv pull` and `inv copy`: images with all their evidence, from one place to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

_SHARED = {
    "authority": "file with the certificates (PEM) that the registry's is signed by",
    "insecure": "host that is spoken to by plain HTTP; may be repeated",
}


@task(
    iterable=["insecure"],
    help=helps(
        "component",
        "plan",
        "json",
        reference="name in the store, instead of a component",
        to="registry and folder to push to: host/prefix",
        tag="tag in the registry; without it the commit that the image was built from",
        **_SHARED,
    ),
)
@reported
def push(
    context: Context,
    component: str = "",
    reference: str = "",
    to: str = "",
    authority: str = "",
    tag: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Push images with all their evidence. Example: inv push -c app --to registry.example/team."""
    from lockgate.tasks import moving
    from lockgate.tasks.session import open_session

    session = open_session()
    ways = moving.Ways(session, authority, insecure or ())
    for name in [reference] if reference else session.components(component):
        moving.run(ways, "push", name, moving.pushed_as(session, name, to, tag), plan, json)


@task(
    iterable=["insecure"],
    help=helps(
        "plan",
        "json",
        reference="host/name:tag, host/name@sha256:… or archive:PATH",
        name="name in the store; without it the last part of the image's own",
        **_SHARED,
    ),
)
@reported
def pull(
    context: Context,
    reference: str,
    name: str = "",
    authority: str = "",
    insecure: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Pull an image with all its evidence into the store. Example: inv pull registry.example/app:1.0."""
    from lockgate.tasks import moving
    from lockgate.tasks.session import open_session

    ways = moving.Ways(open_session(), authority, insecure or ())
    moving.run(ways, "pull", reference, moving.pulled_as(reference, name), plan, json)


@task(
    iterable=["insecure"],
    help=helps(
        "plan",
        "json",
        origin="name in the store, host/name:tag, host/name@sha256:… or archive:PATH",
        to="place of the same form to copy to",
        **_SHARED,
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
    from lockgate.tasks import moving
    from lockgate.tasks.session import open_session

    ways = moving.Ways(open_session(), authority, insecure or ())
    moving.run(ways, "copy", origin, to, plan, json)
