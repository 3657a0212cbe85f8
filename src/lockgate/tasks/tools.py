"""`inv tools`, `tools.clean`: programs written in Go, compiled from pinned sources and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context


@task(
    default=True,
    iterable=["name"],
    help=helps(
        "plan",
        "json",
        name="tool to have at hand, a Go module's name for all of its own, or `all`; several with commas",
    ),
)
@reported
def tools(
    context: Context,
    name: list[str] | None = None,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Build the tools that are named; list all without a name. Example: inv tools -n cosign,kubectl."""
    from lockgate.tasks import tooling
    from lockgate.tasks.session import open_session

    session = open_session()
    names = [one.strip() for given in name or () for one in given.split(",") if one.strip()]
    wanted = tooling.wanted(session, names)
    if plan:
        tooling.plan(session, wanted)
        return
    found = tooling.build(session, wanted) if names else tooling.look(wanted)
    tooling.show(found, json=json)


@task(help=helps("yes"))
@reported
def clean(context: Context, yes: bool = False) -> None:
    """Empty the caches of Go's compiler; finished tools stay. Example: inv tools.clean --yes."""
    from lockgate.tasks import tooling
    from lockgate.tasks.session import open_session

    tooling.clean(open_session(), yes=yes)


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("tools", tools, clean)
