"""What a rule is: an id, a reason, a way out, and a function that finds what breaks it. Pure."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.config.resource import Resource
    from lockgate.config.workloads import Resources


class Broken(NamedTuple):
    """One place where a rule is broken."""

    resource: Resource
    where: str
    """Path of the field: `spec.template.spec.containers[0].image`."""
    text: str
    """What is wrong there, in words. Never a value of a Secret."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of ours."""

    id: str
    """What a waiver names: `image-pinned`."""
    reason: str
    """Why it exists; sentences."""
    hint: str
    """What to do; a fragment of YAML, or a sentence."""
    look: Callable[[Resources], Iterator[Broken]]


def rule(hint: str) -> Callable[[Callable[[Resources], Iterator[Broken]]], Rule]:
    """Make a rule of a function: its name with dashes is the id, its docstring the reason."""

    def made(look: Callable[[Resources], Iterator[Broken]]) -> Rule:
        name = look.__name__.replace("_", "-")
        return Rule(name, inspect.getdoc(look) or "", hint, look)

    return made
