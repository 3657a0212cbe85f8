"""Where deployments happen, and what is there: the record and what runs, brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.deploy import state
from lockgate.deploy.model import HISTORY, WAITS, Instance, Past, State, Waits
from lockgate.deploy.ports import claim
from lockgate.deploy.ready import ask
from lockgate.deploy.runner import Runner, runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.deploy.ready import Ask


class World(NamedTuple):
    """Where a deployment happens, and with what."""

    run: Path
    """Folder of everything that runs: `.lockgate/run`."""
    runners: Callable[[str], Runner] = runner
    ask: Ask = ask
    """Sends a request: port, path, seconds; returns the status or raises OSError."""
    claim: Callable[[int], int] = claim
    """Returns a port that nobody uses, the given one unless it is 0; raises UsageError."""
    waits: Waits = WAITS
    step: Callable[[str], None] = lambda _: None
    """Told the name of every step that is done: for progress."""
    waiting: Callable[[], None] | None = None
    """Called once when another process is changing the same component."""

    @property
    def roots(self) -> Path:
        """Folder of what the runners prepared. Its name begins with a dot, as no component's does."""
        return self.run / ".rootfs"

    def folder(self, component: str) -> Path:
        """Return the component's folder."""
        return self.run / component.replace("/", "+")  # no component's name holds a plus


def recover(folder: Path, world: World) -> State:
    """Bring the record and what runs together after a deployment that did not end well.

    When both the old and the incoming service run, the old one stays: it was proven. When only the incoming
    one runs, it is the current one now. Otherwise there is nothing to end.
    """
    known = state.read(folder)
    incoming = known.incoming
    if incoming is None:
        return known
    if not world.runners(incoming.runner).alive(incoming):
        known = msgspec.structs.replace(known, incoming=None)
    elif running(known, world):
        stop_instance(incoming, world)
        known = msgspec.structs.replace(known, incoming=None)
    else:
        known = with_current(known, incoming)
    state.write(folder, known)
    return known


def running(known: State, world: World) -> Instance | None:
    """Return the current instance when it runs."""
    current = known.current if known.wanted else None
    if current and world.runners(current.runner).alive(current):
        return current
    return None


def stop_instance(instance: Instance, world: World) -> None:
    """End an instance with the runner that started it."""
    world.runners(instance.runner).stop(instance, world.waits.stop)


def with_current(known: State, instance: Instance) -> State:
    """Return the state in which `instance` runs, its image last in the history."""
    past = Past(digest=instance.digest, manifest=instance.manifest, since=instance.since)
    others = [one for one in known.history if one.digest != past.digest]
    history = (*others, past)[-HISTORY:]
    return State(current=instance, wanted=True, incoming=None, history=history)
