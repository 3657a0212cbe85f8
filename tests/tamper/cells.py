"""What a cell of the matrix is, and where in some bytes a mutation may fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.tamper.bench import Bench

    from lockgate.base.errors import LockgateError

Position: TypeAlias = Callable[[int], int]
"""Chooses one of so many places."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One mutation of one thing, looked at by one stage, and the error that must come of it."""

    stage: str
    """`sign`, `verify`, `elsewhere`, `use` or `unpack`."""
    thing: str
    """What is changed."""
    mutation: str
    """How."""
    error: type[LockgateError]
    act: Callable[[Bench, Position], None]
    """Changes the thing and runs the stage, which must refuse."""
    form: str = ""
    """`bundle` or `legacy`, for what is stored in both."""
    anywhere: bool = False
    """Whether the mutation falls on any bit, so that one place is not enough to look at."""

    @property
    def name(self) -> str:
        """For reports: `verify, sbom (bundle): a bit of the payload flipped`."""
        form = f" ({self.form})" if self.form else ""
        return f"{self.stage}, {self.thing}{form}: {self.mutation}"


def flipped(data: bytes, position: Position) -> bytes:
    """Return bytes of which one bit is another."""
    changed = bytearray(data)
    at = position(8 * len(data))
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)
