"""What the node of a cluster is made of, by the settings and by what the machine has; and how its start is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lockgate.base.errors import CommandFailed, ToolRefused
from lockgate.base.files import exclusive
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.build.gotools import Tool
    from lockgate.build.layer import Entry
    from lockgate.deploy.engine import Engine
    from lockgate.deploy.node.image import Recipe
    from lockgate.deploy.node.model import Event, NodeImage
    from lockgate.tasks.session import Session

STACK = "node"


class Told:
    """Shows what the node says: on a terminal as it comes, and at the end in one line."""

    def __init__(self, session: Session) -> None:
        self._console = session.console
        self._parts: list[str] = []

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.part == "container":
            found = f"container  cgroups {event.cgroups}, iptables {event.iptables}"
            self._console.say("cluster", f"{found}, address {event.address}")
        elif event.part != "node" and event.state == "ready":
            self._parts.append(f"{event.part} {event.seconds:.1f} s")
            if self._console.live:
                self._console.draw(" · ".join(self._parts)[-90:])
        elif event.state == "ready":
            self._console.draw("") if self._console.live else None
            self._console.say("cluster", " · ".join(self._parts))


def programs(session: Session) -> list[Tool]:
    """Return the programs of a node; what lies on PATH may be anything, so those are compiled here."""
    from lockgate.build import gotools
    from lockgate.deploy.node.model import DNS, PROGRAMS

    chosen = gotools.choose(gotools.catalogue(session.root), [*PROGRAMS, DNS])
    return [one._replace(accept="") for one in chosen]


def image(session: Session, engine: Engine) -> tuple[NodeImage, str]:
    """Return the image of a node and the engine's id of it; built and loaded unless it is there.

    It lies in the user's cache, since every repository has the same one.

    Raises:
        LockgateError: from building its programs or its stack, or from the engine.
    """
    from lockgate.base.cache import StageCache
    from lockgate.deploy.node.image import cached, make
    from lockgate.oci.digest import Digest
    from lockgate.oci.layout import Layout

    console, place = session.console, user_cache() / "node"
    recipe = _recipe(session)
    with exclusive(
        place / "lock",
        waiting=lambda: console.say(
            "cluster", "another run makes the node's image; waiting for it"
        ),
    ):
        layout, cache = Layout.create(place / "store"), StageCache(place / "cache")
        started = time.monotonic()
        made = cached(recipe, layout=layout, cache=cache)
        done = "unchanged" if made else "built"
        made = made or make(recipe, layout=layout, cache=cache)
        console.say("cluster", f"image  {Digest(made.manifest).short}  {done}", started=started)
        try:
            return made, engine.image(layout, made.manifest, place)
        except CommandFailed:
            started = time.monotonic()
            engine.prepare(layout, made.manifest, place)
            engine.prune(place, lambda: [made.manifest])
            console.say("cluster", f"loaded into {engine.name}", started=started)
            return made, engine.image(layout, made.manifest, place)


def _recipe(session: Session) -> Recipe:
    from lockgate.build import gotools, stack
    from lockgate.build.stack_lock import open_stack
    from lockgate.deploy.node.image import Recipe
    from lockgate.tasks import tooling

    platform = gotools.this_platform()
    if not platform.startswith("linux/"):
        raise ToolRefused(
            f"a node is made on Linux, and this is {platform}",
            hint="use kind or k3d: `provider` under `cluster` in `lockgate.yaml`",
        )
    started = time.monotonic()
    chosen = programs(session)
    absent = [one for one in chosen if gotools.look(one, user_cache()).path is None]
    reports = tooling.reports(session.console, "cluster")
    found = gotools.build(chosen, user_cache(), reports=reports)
    if absent:
        session.console.say("cluster", f"programs  {len(absent)} compiled", started=started)
    locked = open_stack(stack.folder(STACK, session.root))
    return Recipe(
        platform=platform,
        locked=locked,
        base=lambda: _base(session, platform),
        programs={one.tool.name: one.path for one in found if one.path},
        versions={one.tool.name: one.version for one in found},
    )


def _base(session: Session, platform: str) -> Iterable[Entry]:
    """Return the files of the stack, downloading missing packages."""
    from lockgate.build import debs, stack
    from lockgate.build.base import Base
    from lockgate.build.stack_lock import open_stack
    from lockgate.tasks.locking import mirrors

    lock = open_stack(stack.folder(STACK, session.root)).lock
    with session.console.bar(f"stack {STACK} {platform}") as progress:
        found = debs.fetch(lock, platform, mirrors(session), user_cache() / "debs", progress)
    return Base(lock, platform, found).entries()
