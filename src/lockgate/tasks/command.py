"""What every task is wrapped in. Imports next to nothing, since `inv --list` imports it too."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from invoke.exceptions import Exit
from invoke.tasks import Task

from lockgate.base.errors import LockgateError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

HELP = {
    "component": "component to work on; without it every one",
    "env": "environment of lockgate.yaml; without it the default one",
    "plan": "say what would happen, and do nothing",
    "why": "say what changed since the last time, with old and new value",
    "json": "print the record alone, on stdout",
    "wait_timeout": "seconds to wait until all is ready and what is deleted is gone; 0: none",
    "yes": "do not ask before something is removed",
    "authority": "file with the certificates (PEM) that the registry's is signed by",
    "insecure": "host that is spoken to by plain HTTP; may be repeated",
}
"""Help of the flags that are the same everywhere."""

REGISTRY = {name: HELP[name] for name in ("authority", "insecure")}
"""Help of the flags that say how a registry is reached."""


SHORT = {
    "env": "e",
    "component": "c",
    "plan": "p",
    "why": "w",
    "json": "j",
    "kustomize": "k",
    "file": "f",
}
"""Short forms of flags that mean the same in every task that has them."""


class Flags(Task):  # type: ignore[type-arg]
    """A task whose short flags are those above, and no others: `@task(klass=Flags)`.

    Invoke itself gives each flag the first letter that is free, which in each task is another one.
    """

    def arg_opts(self, name: str, default: str, taken_names: set[str]) -> dict[str, Any]:
        """Return what Invoke is told of a parameter."""
        self.auto_shortflags = False
        found: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in SHORT:
            found["names"] = [*found["names"], SHORT[name]]
        return found


def helps(*names: str, **more: str) -> dict[str, str]:
    """Return help texts for a task: shared ones by name, own ones by keyword."""
    return {name: HELP[name] for name in names} | more


def worded(flag: str) -> Callable[[F], F]:
    """Let a task take a word without a flag before it: `inv verify app` is `inv verify --reference app`.

    Invoke knows words that a task must have, and none that it may have; `lockgate.tasks.program` reads them.
    """

    def mark(body: F) -> F:
        body.lockgate_word = flag  # type: ignore[attr-defined]
        return body

    return mark


def reported(body: F) -> F:
    """Turn a task's errors into one line, a hint and the right exit code, without a traceback."""

    @functools.wraps(body)
    def task(*args: Any, **kwargs: Any) -> Any:
        try:
            done = body(*args, **kwargs)
            sys.stdout.flush()  # a reader that went away is to show here, and not when Python ends
        except LockgateError as error:
            _say(error.message, _for_this(error.hint, kwargs))
            raise Exit(code=error.exit_code) from None
        except KeyboardInterrupt:
            _say("stopped by Ctrl-C; what was finished is kept", "")
            raise Exit(code=130) from None
        except BrokenPipeError:
            # Python would complain once more about what is left in the buffer.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=141) from None
        return done

    return task  # type: ignore[return-value]


def _for_this(hint: str, typed: dict[str, Any]) -> str:
    """Return a hint whose commands are for the environment and the target that were typed."""
    from lockgate.tasks.hinting import as_typed

    return as_typed(hint, env=typed.get("env") or "", target=typed.get("target") or "")


def _say(message: str, hint: str) -> None:
    from lockgate.tasks.console import Console

    Console().problem(message, hint)
