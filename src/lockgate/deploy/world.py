"""Where deployments happen, and what is there: the record and what runs, brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.deploy import state
from lockgate.deploy.choose import runner
from lockgate.deploy.model import HISTORY, WAITS, Instance, Past, State, Waits
from lockgate.deploy.ports import claim
from lockgate.deploy.ready import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.deploy.ready import Ask
    from lockgate.deploy.runner import Runner


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

    When both services of the record run, the current one stays: it was proven. When only the other one runs,
    it is the current one now. At the end there is no other one.
    """
    known = state.read(folder)
    other = known.other
    if other is None:
        return known
    if world.runners(other.runner).alive(other):
        if running(known, world):
            stop_instance(other, world)
        else:
            known = with_current(known, other)
    known = msgspec.structs.replace(known, other=None)
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


def with_current(known: State, instance: Instance, other: Instance | None = None) -> State:
    """Return the state in which `instance` is the current one, its image last in the history."""
    past = Past(digest=instance.digest, manifest=instance.manifest, since=instance.since)
    others = [one for one in known.history if one.digest != past.digest]
    history = (*others, past)[-HISTORY:]
    return State(current=instance, wanted=True, other=other, history=history)
