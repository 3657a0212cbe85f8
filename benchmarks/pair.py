"""Time two commands in turn, A B A B …, so that a machine whose speed drifts drifts for both."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class Command(NamedTuple):
    """A whole process to time."""

    name: str
    argv: Sequence[str]
    cwd: Path
    before: Callable[[], None] = lambda: None
    """Runs before each start, outside the time."""
    env: Mapping[str, str] | None = None


class Figure(NamedTuple):
    """Wall-clock seconds of both commands and the median of their ratios."""

    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """The median over the pairs of ours / peer."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def once(command: Command) -> float:
    """Run a command and return its wall-clock seconds.

    Raises:
        RuntimeError: it failed: a figure of a failed run says nothing.
    """
    command.before()
    environment = {**os.environ, "LOCKGATE_QUIET": "1", **(command.env or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    done = subprocess.run(
        command.argv,
        cwd=command.cwd,
        env=environment,
        capture_output=True,
        timeout=600,
        check=False,
    )
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command.name}: exit {done.returncode}: {done.stderr[-2000:]!r}")
    return took


def pairs(ours: Command, peer: Command, runs: int) -> Figure:
    """Run both `runs` times in turn after one warm-up each."""
    once(ours), once(peer)
    figure = Figure([], [])
    for _ in range(runs):
        figure.ours.append(once(ours))
        figure.peer.append(once(peer))
    return figure


def line(name: str, figure: Figure, goal: str) -> str:
    """Return one row: medians, the median ratio, and what the ratio should be."""
    ours, peer = statistics.median(figure.ours), statistics.median(figure.peer)
    spread = f"{min(figure.ours):.3f}-{max(figure.ours):.3f}"
    return f"{name:<46} {ours:7.3f} s ({spread})  peer {peer:7.3f} s  ratio {figure.ratio:5.2f}  {goal}"
