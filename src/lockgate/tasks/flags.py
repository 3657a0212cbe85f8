"""Short flags that mean one thing everywhere."""

from __future__ import annotations

from typing import Any

from invoke.tasks import Task

_SHORT = {"component": "c", "env": "e", "plan": "p", "json": "j"}


class Fixed(Task):  # type: ignore[type-arg]
    """A task with the shared short flags and no others.

    Invoke would give every flag the first letter that is free, which is another one in each task.
    """

    def arg_opts(self, name: str, default: str, taken_names: set[str]) -> dict[str, Any]:
        """Return what Invoke is told of a parameter."""
        self.auto_shortflags = False
        found: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in _SHORT:
            found["names"] = [*found["names"], _SHORT[name]]
        return found
