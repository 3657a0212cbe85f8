"""Process 1 of the node: starts the parts, says when each is ready, reaps, and ends when one of them ends.

A part that ends is never started again in silence: the node ends with it, and its last lines are in the
container's log. Each event is one line of JSON on stdout.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from lockgate.deploy.node.inside.ask import Asker, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.deploy.node.inside.plan import Change, Part, Plan

LINES = 25
"""Lines of a part's log that an event of its failure has."""

GRACE = 8.0
"""Seconds that the parts have to end."""

_TICK = 0.05
_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class _FailedError(Exception):
    """A part failed; the event was printed."""


class _AskedToEndError(Exception):
    """SIGTERM or SIGINT arrived."""


def say(part: str, state: str, **more: Any) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps({"part": part, "state": state, **more}) + "\n")
    sys.stdout.flush()


class Supervisor:
    """Runs a plan until a part ends, or the engine asks to stop."""

    def __init__(self, plan: Plan, *, path: str, logs: Path) -> None:
        self._plan = plan
        self._logs = logs
        self._environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
        self._asker = Asker(plan)
        self._running: dict[int, Part] = {}
        """By process id, in the order of their start."""
        self._since: dict[str, float] = {}
        self._ready: set[str] = set()
        self._changed = False

    def run(self) -> int:
        """Return the exit code: 0 when it was asked to end, 1 when a part ended by itself."""
        # Blocked, so that none is lost between two looks; the parts get an empty mask again.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        begun = time.monotonic()
        try:
            while len(self._ready) < len(self._plan.parts):
                self._start_what_can()
                self._look()
                self._wait(_TICK)
            self._settle_conditions()
            say("node", "ready", seconds=round(time.monotonic() - begun, 2))
            while True:
                self._wait(None)
        except _AskedToEndError:
            self._end()
            return 0
        except _FailedError:
            self._end()
            return 1

    def _start_what_can(self) -> None:
        for part in self._plan.parts:
            if part.name not in self._since and self._ready.issuperset(part.after):
                self._start(part)

    def _start(self, part: Part) -> None:
        log = str(self._logs / f"{part.name}.log")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            pid = os.posix_spawnp(
                part.argv[0],
                part.argv,
                self._environment,
                file_actions=actions,
                setsigmask=(),
                setsigdef=_WATCHED,
            )
        except OSError as error:
            self._failed(part.name, f"cannot be started: {error.strerror}")
        self._running[pid] = part
        self._since[part.name] = time.monotonic()

    def _look(self) -> None:
        """Ask the parts that are not ready yet."""
        for part in list(self._running.values()):
            if part.name in self._ready:
                continue
            took = time.monotonic() - self._since[part.name]
            if part.ready and all(map(self._asker.holds, part.ready)):
                self._is_ready(part.name)
            elif took > self._plan.seconds:
                self._failed(part.name, f"is not ready after {self._plan.seconds} s")

    def _is_ready(self, name: str) -> None:
        self._ready.add(name)
        say(name, "ready", seconds=round(time.monotonic() - self._since[name], 2))
        if name == self._plan.api_part and not self._changed:
            self._changed = True
            until = time.monotonic() + self._plan.seconds
            for change in self._plan.changes:
                while not self._taken(change, name, until):
                    self._wait(_TICK)

    def _taken(self, change: Change, name: str, until: float) -> bool:
        """Make a change; a server that has only just begun to answer may have to be asked again."""
        try:
            self._asker.change(change)
        except RefusedError as error:
            if not error.passing or time.monotonic() > until:
                self._failed(name, str(error))
            return False
        return True

    def _settle_conditions(self) -> None:
        until = time.monotonic() + self._plan.seconds
        for question in self._plan.conditions:
            while not self._asker.holds(question):
                if time.monotonic() > until:
                    what = f"{question.url} is not {question.condition}"
                    self._failed(question.part, f"{what} after {self._plan.seconds} s")
                self._wait(_TICK)

    def _wait(self, seconds: float | None) -> None:
        """Wait for a signal, at most so long; reap whatever ended."""
        if seconds is None:
            number = signal.sigwaitinfo(_WATCHED).si_signo
        else:
            found = signal.sigtimedwait(_WATCHED, seconds)
            number = found.si_signo if found else 0
        if number in (signal.SIGTERM, signal.SIGINT):
            raise _AskedToEndError
        # Several children may stand behind one signal. Those that are no part are orphans of containers.
        while (ended := _reap()) is not None:
            pid, code = ended
            part = self._running.pop(pid, None)
            if part is None:
                continue
            if not part.ready and code == 0:
                self._is_ready(part.name)
            else:
                self._failed(part.name, _how(code))

    def _failed(self, name: str, why: str) -> None:
        say(name, "failed", why=why, log=tail(self._logs / f"{name}.log"))
        raise _FailedError

    def _end(self) -> None:
        """End the parts, the last one first; the kernel ends whatever is left with this process."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in reversed(self._running):
                os.kill(pid, number)  # not reaped yet, so it is still this one
            until = time.monotonic() + GRACE
            while self._running and time.monotonic() < until:
                ended = _reap()
                if ended is None:
                    signal.sigtimedwait((signal.SIGCHLD,), _TICK)
                else:
                    self._running.pop(ended[0], None)


def _reap() -> tuple[int, int] | None:
    """Return a child that ended and its exit code, negative for a signal."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _how(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def tail(log: Path) -> list[str]:
    """Return the last lines of a part's log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line[:2000] for line in text.splitlines()[-LINES:]]
