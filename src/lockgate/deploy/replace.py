"""Put a new instance where nothing or an old one runs, such that a failure leaves the old one running."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.base.errors import LockgateError, NotReady
from lockgate.deploy import state
from lockgate.deploy.ready import smoke_test, wait_ready
from lockgate.deploy.runner import Launch, Started
from lockgate.deploy.world import World, stop_instance, with_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.deploy.model import Instance, State
    from lockgate.oci.layout import Layout

_TRIAL_LOG = "trial.log"
_TAIL = 10
"""Lines of a log that an error shows."""


class Proof(NamedTuple):
    """An instance that runs where it belongs, and how it proved itself."""

    instance: Instance
    ready_ms: int
    """Milliseconds until it was ready."""
    smoke: int
    """Status of its answer to the smoke test."""


class Work(NamedTuple):
    """One deployment that has begun."""

    world: World
    folder: Path
    lock: int
    layout: Layout
    known: State
    """What was known before."""
    running: Instance | None

    def launch(self, instance: Instance) -> Launch:
        """Return what a runner needs to start an instance of this component."""
        return Launch(instance, self.folder, self.lock, self.layout, self.world.roots)

    @contextlib.contextmanager
    def start(self, instance: Instance) -> Iterator[Started]:
        """Start an instance; an error that it causes shows the end of its log."""
        how = self.world.runners(instance.runner)
        with how.start(self.launch(instance)) as started:
            try:
                yield started
            except NotReady as error:
                lines = how.tail(started.instance, self.folder, _TAIL)
                error.hint = f"its last lines were:\n{lines}" if lines else "it printed nothing"
                raise

    def prove(self, started: Started) -> tuple[int, int]:
        """Wait until it is ready and send the smoke test; return milliseconds and status."""
        world = self.world
        ready = wait_ready(started, world.ask, world.waits)
        return ready, smoke_test(started, world.ask, world.waits)

    def write_next(self, instance: Instance) -> None:
        """Record what is about to be the current one."""
        state.write(self.folder, msgspec.structs.replace(self.known, other=instance))

    def write_current(self, instance: Instance, other: Instance | None = None) -> None:
        """Record what is the current one from now on, and what is still to end."""
        state.write(self.folder, with_current(self.known, instance, other))


def begin(work: Work, instance: Instance) -> Proof:
    """Start where nothing is in the way; what runs on another port ends after it.

    Raises:
        NotReady: it did not get ready or failed the smoke test; nothing was changed.
        ToolError: it could not be started.
    """
    with work.start(instance) as started:
        work.write_next(started.instance)
        work.world.step("started")
        proof = work.prove(started)
        work.world.step("proved")
        started.keep()
        work.world.step("kept")
    if work.running:
        work.write_current(started.instance, work.running)
        work.world.step("stopping")
        stop_instance(work.running, work.world)
        work.world.step("stopped")
    work.write_current(started.instance)
    work.world.step("done")
    return Proof(started.instance, *proof)


def replace(work: Work, old: Instance, instance: Instance) -> Proof:
    """Prove the new image on a side port, then put it in the place of the old one.

    Raises:
        NotReady: it did not get ready or failed the smoke test; the old one runs.
        ToolError: it could not be started; the old one runs.
    """
    state.remove(work.folder / _TRIAL_LOG)
    trial = msgspec.structs.replace(instance, port=work.world.claim(0), log=_TRIAL_LOG)
    with work.start(trial) as started:
        work.world.step("started")
        work.prove(started)
        work.world.step("proved")
    # If the disk is full by now, it is to show before anything is stopped.
    work.write_next(instance)
    work.world.step("stopping")
    try:
        stop_instance(old, work.world)
        work.world.step("stopped")
        with work.start(instance) as started:
            work.write_next(started.instance)
            work.world.step("restarted")
            try:
                # It has proven itself; should this process be killed now, it stays and is found.
                started.keep()
                work.world.step("kept")
                proof = work.prove(started)
            except BaseException:
                stop_instance(started.instance, work.world)
                raise
    except BaseException as error:
        _restore(work, old, error)
        raise
    work.write_current(started.instance)
    work.world.step("done")
    return Proof(started.instance, *proof)


def _restore(work: Work, old: Instance, reason: BaseException) -> None:
    """Start the old image again, and add to the error how that went."""
    try:
        stop_instance(old, work.world)  # it may have been told to, and be about to end
    except LockgateError:
        return  # it runs, and the error is that it cannot be ended
    again = msgspec.structs.replace(old, process=None, container="")
    outcome = "the previous image runs again"
    try:
        with work.start(again) as started:
            known = msgspec.structs.replace(work.known, current=started.instance)
            state.write(work.folder, known)
            started.keep()
            wait_ready(started, work.world.ask, work.world.waits)
    except LockgateError as error:
        outcome = f"the previous image does not start again either: {error.message}"
    if isinstance(reason, LockgateError):
        reason.message += f"; {outcome}"
        reason.args = (reason.message,)
