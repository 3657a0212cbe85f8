"""How far an object is, and what its conditions say. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Phase = Literal["current", "in progress", "failed", "terminating", "not found"]


class State(NamedTuple):
    """How far an object is."""

    phase: Phase
    message: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it is what it should be."""
        return self.phase == "current"


READY = State("current")


def status_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of an object; empty when it has none."""
    found = body.get("status")
    return found if isinstance(found, dict) else {}


def spec_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec of an object; empty when it has none."""
    found = body.get("spec")
    return found if isinstance(found, dict) else {}


def condition_of(body: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition by its type; empty when there is none."""
    listed = status_of(body).get("conditions")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("type") == kind:
            found: Mapping[str, Any] = one
            return found
    return {}


def words(found: Mapping[str, Any]) -> str:
    """Return reason and message of a condition."""
    parts = (found.get("reason"), found.get("message"))
    return ": ".join(str(part) for part in parts if part)
