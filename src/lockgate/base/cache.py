"""The stage cache: a stage whose inputs did not change gives the record that it gave before.

Inputs are named by the reason that a person would give (COMMIT, CONFIG, STACK …), so that the cache can
say why it does not apply, with the old and the new value.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lockgate.base.canonical import Record, decode, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

R = TypeVar("R", bound=Record)

KEPT = 32
"""Records that one stage of one component keeps; the oldest go first."""


class Change(NamedTuple):
    """One reason why a stage runs."""

    reason: str
    """Name of the input: COMMIT, CONFIG, STACK …; FIRST when the stage never ran."""
    old: str
    new: str


class StageCache:
    """Records of finished stages in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, stage: str, name: str, inputs: Mapping[str, str], kind: type[R]) -> R | None:
        """Return the record that `stage` gave for these inputs, or None."""
        path = self._path(stage, name, inputs)
        try:
            return decode(path.read_bytes(), kind)
        except (OSError, UsageError):
            # Absent, unreadable, or written by another version of the record: the stage runs again.
            return None

    def keep(self, stage: str, name: str, inputs: Mapping[str, str], record: Record) -> None:
        """Remember a record and make its inputs the ones to compare with next time."""
        path = self._path(stage, name, inputs)
        atomic_write(path, encode(record))
        self.mark(stage, name, inputs)
        others = [one for one in path.parent.glob("*.json") if one != path]
        for old in sorted(others, key=_written)[: -KEPT + 1]:
            old.unlink(missing_ok=True)

    def mark(self, stage: str, name: str, inputs: Mapping[str, str]) -> None:
        """Make these inputs the ones that `why` compares with."""
        data = encode(dict(inputs))
        last = self._last(stage, name)
        if not last.exists() or last.read_bytes() != data:
            atomic_write(last, data)

    def why(self, stage: str, name: str, inputs: Mapping[str, str]) -> tuple[Change, ...]:
        """Return what differs from the last inputs, by reason; empty when nothing does."""
        try:
            old = decode(self._last(stage, name).read_bytes(), dict[str, str])
        except (OSError, UsageError):
            return (Change("FIRST", "", "never run here"),)
        reasons = sorted(old.keys() | inputs.keys())
        return tuple(
            Change(reason, old.get(reason, ""), inputs.get(reason, ""))
            for reason in reasons
            if old.get(reason, "") != inputs.get(reason, "")
        )

    def _path(self, stage: str, name: str, inputs: Mapping[str, str]) -> Path:
        key = hashlib.sha256(encode(dict(inputs))).hexdigest()
        return self._folder / stage / name / f"{key}.json"

    def _last(self, stage: str, name: str) -> Path:
        return self._folder / stage / name / "last"


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0  # another run has just removed it
