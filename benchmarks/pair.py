"""Time two commands in turn, A B A B …, so that a machine whose speed drifts drifts for both."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LONGEST = 1200
"""Seconds after which a command is ended."""


class Command(NamedTuple):
    """One whole process to time, or several in a row where a peer needs several."""

    name: str
    argv: Sequence[str]
    cwd: Path
    before: Callable[[], None] = lambda: None
    """Runs before each start, outside the time."""
    env: Mapping[str, str] | None = None
    more: Sequence[Sequence[str]] = ()
    """Command lines that follow the first; their time counts."""


class Took(NamedTuple):
    """What one run of a command took."""

    seconds: float
    processor: float
    """Seconds of processor time, which a busy machine changes less."""
    peak: int
    """Largest resident set of its processes, in bytes."""


class Figure(NamedTuple):
    """Wall-clock seconds of both commands, the median of their ratios, and their largest resident sets."""

    ours: list[float]
    peer: list[float]
    ours_more: list[Took]
    peer_more: list[Took]
    """What else was measured of the same runs; empty for what ran in this process."""

    @property
    def ratio(self) -> float:
        """The median over the pairs of ours / peer."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def once(command: Command) -> float:
    """Run a command and return its wall-clock seconds; otherwise as `measured`."""
    return measured(command).seconds


def middle(command: Command, runs: int) -> float:
    """Run a command that has no peer some times; return the median of its seconds."""
    return statistics.median(once(command) for _ in range(runs))


def measured(command: Command) -> Took:
    """Run a command; return its wall-clock seconds and how much memory it needed.

    Raises:
        RuntimeError: it failed: a figure of a failed run says nothing.
    """
    command.before()
    environment = {**os.environ, "LOCKGATE_QUIET": "1", **(command.env or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started, processor, peak = time.perf_counter(), 0.0, 0
    for argv in (command.argv, *command.more):
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                argv, cwd=command.cwd, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            watch = _Watch(process.pid)
            watch.start()
            end = threading.Timer(_LONGEST, process.kill)
            end.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            finally:
                end.cancel()
                watch.stop()
            # What was waited for here, nobody else can wait for.
            process.returncode = os.waitstatus_to_exitcode(status)
            processor += usage.ru_utime + usage.ru_stime
            peak = max(peak, watch.peak)
            if process.returncode:
                errors.seek(0)
                said = errors.read()[-2000:]
                raise RuntimeError(f"{command.name}: exit {process.returncode}: {said!r}")
    return Took(time.perf_counter() - started, processor, peak)


class _Watch(threading.Thread):
    """Looks at a process's memory now and then. What `wait4` says of it is at least what this process has."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self.peak = 0

    def run(self) -> None:
        """Note the largest resident set until told to stop."""
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError), self._status.open(encoding="ascii") as file:
                for one in file:
                    if one.startswith("VmHWM:"):
                        self.peak = max(self.peak, int(one.split()[1]) * 1024)

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join()


def pairs(ours: Command, peer: Command, runs: int) -> Figure:
    """Run both `runs` times in turn after one warm-up each."""
    once(ours), once(peer)
    figure = Figure([], [], [], [])
    for _ in range(runs):
        for command, seconds, more in (
            (ours, figure.ours, figure.ours_more),
            (peer, figure.peer, figure.peer_more),
        ):
            took = measured(command)
            seconds.append(took.seconds)
            more.append(took)
    return figure


def cost(figure: Figure) -> str:
    """Return what both needed beside time: processor and memory."""
    ours, peer = figure.ours_more, figure.peer_more
    ratio = statistics.median(a.processor / b.processor for a, b in zip(ours, peer, strict=True))
    seconds = [statistics.median(one.processor for one in each) for each in (ours, peer)]
    peaks = [max(one.peak for one in each) >> 20 for each in (ours, peer)]
    return (
        f"  processor {seconds[0]:.3f} s, peer {seconds[1]:.3f} s, ratio {ratio:.2f}; "
        f"peak memory {peaks[0]} MiB, peer {peaks[1]} MiB"
    )


def line(name: str, figure: Figure, goal: str = "") -> str:
    """Return one row: medians, the median ratio, and what the ratio should be where an aim was set."""
    ours, peer = statistics.median(figure.ours), statistics.median(figure.peer)
    spread = f"{min(figure.ours):.3f}-{max(figure.ours):.3f}"
    return f"{name:<46} {ours:7.3f} s ({spread})  peer {peer:7.3f} s  ratio {figure.ratio:5.2f}  {goal}".rstrip()
