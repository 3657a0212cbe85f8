"""Time two commands in turn, A B A B …, so that a machine whose speed drifts drifts for both."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


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
    peak: int
    """Largest resident set of its processes, in bytes."""


class Figure(NamedTuple):
    """Wall-clock seconds of both commands, the median of their ratios, and their largest resident sets."""

    ours: list[float]
    peer: list[float]
    ours_peak: list[int]
    peer_peak: list[int]

    @property
    def ratio(self) -> float:
        """The median over the pairs of ours / peer."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def once(command: Command) -> float:
    """Run a command and return its wall-clock seconds; otherwise as `measured`."""
    return measured(command).seconds


def measured(command: Command) -> Took:
    """Run a command; return its wall-clock seconds and how much memory it needed.

    Raises:
        RuntimeError: it failed: a figure of a failed run says nothing.
    """
    command.before()
    environment = {**os.environ, "LOCKGATE_QUIET": "1", **(command.env or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started, peak = time.perf_counter(), 0
    for argv in (command.argv, *command.more):
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                argv, cwd=command.cwd, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            end = threading.Timer(_LONGEST, process.kill)
            end.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            finally:
                end.cancel()
            # What was waited for here, nobody else can wait for.
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = max(peak, usage.ru_maxrss * 1024)
            if process.returncode:
                errors.seek(0)
                said = errors.read()[-2000:]
                raise RuntimeError(f"{command.name}: exit {process.returncode}: {said!r}")
    return Took(time.perf_counter() - started, peak)


def pairs(ours: Command, peer: Command, runs: int) -> Figure:
    """Run both `runs` times in turn after one warm-up each."""
    once(ours), once(peer)
    figure = Figure([], [], [], [])
    for _ in range(runs):
        for command, seconds, peaks in (
            (ours, figure.ours, figure.ours_peak),
            (peer, figure.peer, figure.peer_peak),
        ):
            took = measured(command)
            seconds.append(took.seconds)
            peaks.append(took.peak)
    return figure


def memory(figure: Figure) -> str:
    """Return the largest resident sets of both."""
    return f"peak {max(figure.ours_peak) >> 20} MiB, peer {max(figure.peer_peak) >> 20} MiB"


def line(name: str, figure: Figure, goal: str) -> str:
    """Return one row: medians, the median ratio, and what the ratio should be."""
    ours, peer = statistics.median(figure.ours), statistics.median(figure.peer)
    spread = f"{min(figure.ours):.3f}-{max(figure.ours):.3f}"
    return f"{name:<46} {ours:7.3f} s ({spread})  peer {peer:7.3f} s  ratio {figure.ratio:5.2f}  {goal}"
