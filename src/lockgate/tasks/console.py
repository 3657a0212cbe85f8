"""What people see: one calm line an event on stderr, records on stdout.

The stage's name stands in the first nine columns once, further lines of it are indented. Without a terminal
there is no colour and no bar; NO_COLOR, CI and `./inv -q` are respected.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 9
"""Columns of the stage's name."""

_GREEN, _YELLOW, _RED, _BOLD = "32", "33", "31", "1"


class Progress(Protocol):
    """Told by a download how far it is."""

    def __call__(self, done: int, total: int, name: str) -> None:
        """Report bytes done, bytes in total, and what is being moved."""


class Console:
    """Writes progress and results for people."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty() and "CI" not in os.environ
        self._colour = self._terminal and "NO_COLOR" not in os.environ
        self._quiet = bool(os.environ.get("LOCKGATE_QUIET"))
        self._stage = ""
        self._drawn = False
        self._turn = (
            threading.Lock()
        )  # platforms are built side by side, and each may say something

    def say(self, stage: str, text: str, *, started: float | None = None, tone: str = "") -> None:
        """Print one line of a stage; `started` (monotonic seconds) adds how long it took."""
        if self._quiet and tone != "bad":
            return
        head = "" if stage == self._stage else stage
        self._stage = stage
        took = f"  {time.monotonic() - started:.1f} s" if started is not None else ""
        room = 88 - WIDTH
        line = self._paint(f"{head:<{WIDTH}}", _BOLD) + self._tone(
            f"{_shown(text):<{room if took else 0}}", tone
        )
        self._write(line + took)

    def block(self, lines: list[str]) -> None:
        """Print lines that belong to the last stage, indented."""
        if not self._quiet:
            for line in lines:
                self._write(" " * WIDTH + _shown(line) if line else "")

    def problem(self, message: str, hint: str) -> None:
        """Print an error and its hint; never silenced."""
        self._stage = ""
        self._write(self._paint(_shown(message), _RED))
        if hint:
            self._write(f"  hint: {_shown(hint)}")

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Progress]:
        """Show a progress bar for downloads: on a terminal only, and only once something is downloaded."""
        bar = _Bar(self, label)
        try:
            yield bar
        finally:
            bar.close()

    @property
    def live(self) -> bool:
        """True when lines may be drawn over."""
        return self._terminal and not self._quiet

    def draw(self, text: str) -> None:
        """Draw over the current line of the terminal; an empty text wipes it."""
        with self._turn:
            self._wipe()
            self._drawn = bool(text)
            if text:
                sys.stderr.write(" " * WIDTH + printable(text))
                sys.stderr.flush()

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = False

    def _tone(self, text: str, tone: str) -> str:
        return self._paint(text, {"good": _GREEN, "warn": _YELLOW, "bad": _RED}.get(tone, ""))

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code and text.strip() else text

    def _write(self, line: str) -> None:
        with self._turn:
            self._wipe()
            print(_as_called(line.rstrip()), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text as one line that a terminal only shows: what could steer it is a question mark."""
    return "".join(char if char.isprintable() or char == "\t" else "?" for char in text)


def _shown(text: str) -> str:
    """Return the same of each line."""
    return text if text.isprintable() else "\n".join(printable(one) for one in text.split("\n"))


def _as_called(text: str) -> str:
    """Write commands in a text as they were called here: `./inv build` where the wrapper is in use."""
    called = os.environ.get("LOCKGATE_INV", "inv")
    return text if called == "inv" else re.sub(r"(?<![\w./])inv (?=[a-z])", f"{called} ", text)


class _Bar:
    """One line that fills; redrawn at most ten times a second."""

    def __init__(self, console: Console, label: str) -> None:
        self._console, self._label = console, label
        self._next = 0.0

    def __call__(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if not self._console.live or now < self._next:
            return
        self._next = now + 0.1
        filled = int(24 * done / total) if total else 24
        bar = "█" * filled + "░" * (24 - filled)
        self._console.draw(
            f"{self._label}  {bar}  {megabytes(done)} of {megabytes(total)}  {name[:24]}"
        )

    def close(self) -> None:
        if self._console.live and self._next:
            self._console.draw("")


def megabytes(size: int) -> str:
    """Return a size for people: `35.6 MB` (of 1,000,000 bytes)."""
    return f"{size / 1e6:.1f} MB"


def quantity(count: int, word: str) -> str:
    """Return `1 package` or `24 packages`."""
    return f"{count} {word}" + ("" if count == 1 else "s")
