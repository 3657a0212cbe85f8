"""What a client of an API server returns, and the time that it lives in."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]
"""An object as it is in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Time, as far as requests need it."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random


class Applied(NamedTuple):
    """What became of an object that was applied."""

    body: Body
    """The object as it is now, or would be."""
    created: bool
    """Whether it did not exist before."""


class Page(NamedTuple):
    """Some of the objects of a list."""

    items: list[Body]
    version: str
    """Resource version of the whole list, to watch from."""
    remaining: int
    """How many more there are, as far as the server says."""
