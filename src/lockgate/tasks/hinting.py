"""Commands that a hint names, with the environment and the target of the command that it answers.

Who writes a hint knows neither: `inv deploy.history` of somebody who typed `inv deploy.rollback -e prod` would be
about the default environment.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from invoke.parser.context import ParserContext

_COMMAND = re.compile(r"(?<=`inv )[^`]+(?=`)")


def by_name(contexts: Iterable[ParserContext]) -> dict[str, ParserContext]:
    """Return what Invoke knows of each task, by its name and by its aliases."""
    return {name: one for one in contexts if one.name for name in (one.name, *one.aliases)}


def as_typed(words: str, *, env: str = "", target: str = "") -> str:
    """Return words in which each command in backticks is for an environment and a target.

    A flag is added behind each task that takes it and does not have it: `inv scan sign` becomes
    `inv scan -e prod sign -e prod`.

    Args:
        words: a sentence for people.
        env: the environment; empty to leave it open.
        target: the target, `local` or `cluster`; empty to leave it open.
    """
    added = {"--env": ("-e", env), "--target": ("--target", target)}
    wanted = {flag: pair for flag, pair in added.items() if pair[1]}
    if not wanted or "`inv " not in words:
        return words
    tasks = _tasks()

    def complete(found: re.Match[str]) -> str:
        return " ".join(_completed(found[0].split(" "), tasks, wanted))

    return _COMMAND.sub(complete, words)


def _completed(
    words: list[str],
    tasks: Mapping[str, frozenset[str]],
    wanted: Mapping[str, tuple[str, str]],
) -> list[str]:
    starts = [
        at
        for at, word in enumerate(words)
        if word in tasks and not (at and words[at - 1].startswith("-"))
    ]
    ends = [*starts[1:], len(words)]
    done = words[: starts[0]] if starts else words
    for start, end in zip(starts, ends, strict=False):  # without a task there is one end too many
        task, rest = words[start], words[start + 1 : end]
        there = {word.partition("=")[0] for word in rest}
        done.append(task)
        for flag, (short, value) in wanted.items():
            if flag in tasks[task] and not there & {flag, short}:
                done += [short, shlex.quote(value)]
        done += rest
    return done


def _tasks() -> dict[str, frozenset[str]]:
    """Return the long flags of every task, by each of its names."""
    from lockgate.tasks import namespace

    named = by_name(namespace().to_contexts())
    return {name: frozenset(one.flags) for name, one in named.items()}
