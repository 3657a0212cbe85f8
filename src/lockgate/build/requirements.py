"""Locks: requirements files with a hash for every requirement, and what they name for one image."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.markers import Marker

RELOCK = "write the lock with `uv pip compile --generate-hashes`"
"""The hint of every error about a lock."""

_OPTION = re.compile(r"\s+--(?=[a-z])")
_HASH = re.compile(r"hash=sha256:([0-9a-f]{64})")
_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


class Locked(NamedTuple):
    """One requirement of a lock."""

    text: str
    """`name==version`, with its marker when it has one."""
    hashes: tuple[str, ...]


def locked_hashes(requirements: bytes) -> frozenset[str]:
    """Return every sha256 that a requirements file allows.

    Raises:
        UsageError: a requirement has no hash, or the file names an index or another file.
    """
    return frozenset(one for locked in parse(requirements) for one in locked.hashes)


def parse(requirements: bytes) -> list[Locked]:
    """Return the requirements of a lock, in its order.

    Raises:
        UsageError: as `locked_hashes`.
    """
    try:
        text = requirements.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the requirements file is not UTF-8 text", hint=RELOCK) from None
    found = []
    for line in _logical_lines(text):
        if line.startswith("-"):
            raise UsageError(
                f"the requirements file holds the option `{line.split()[0]}`",
                hint="a lock names packages and hashes only; the index comes from pip's settings",
            )
        requirement, *options = _OPTION.split(line)
        hashes = []
        for option in options:
            match = _HASH.fullmatch(option)
            if match is None:
                raise UsageError(
                    f"the requirement `{requirement}` has the option `--{option}`", hint=RELOCK
                )
            hashes.append(match[1])
        if not hashes:
            raise UsageError(f"the requirement `{requirement}` has no hash", hint=RELOCK)
        found.append(Locked(requirement, tuple(hashes)))
    return found


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines as pip reads them: continuations joined, no comments.

    A comment ends a continuation and cannot be continued, so nothing hides behind one.
    """
    joined = ""
    for raw in [*text.splitlines(), ""]:
        comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not comment:
            joined += raw[:-1] + " "
            continue
        line = re.sub(r"(^|\s)#.*", "", joined + raw)
        joined = ""
        if line.strip():
            yield line.strip()


def applying(locked: Iterable[Locked], python: str, platform: str) -> dict[str, Locked]:
    """Return the requirements that the image needs, without their markers, by distribution.

    pip would ask the markers about the Python that runs it and leave out what the image needs.

    Raises:
        UsageError: a requirement is not `name==version`, its marker depends on more than is known, or two
            apply to one distribution.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Locked] = {}
    for one in locked:
        try:
            requirement = Requirement(one.text)
        except InvalidRequirement:
            raise UsageError(f"`{one.text}` is not `name==version`", hint=RELOCK) from None
        pins = [pin for pin in requirement.specifier if pin.operator in ("==", "===")]
        if requirement.url or len(pins) != 1 or pins[0].version.endswith(".*"):
            raise UsageError(f"`{one.text}` is not `name==version`", hint=RELOCK)
        marker, requirement.marker = requirement.marker, None
        if marker is not None and not _holds(marker, python, platform):
            continue
        name = canonicalize_name(requirement.name)
        if name in found:
            raise UsageError(f"the lock names {name} twice for {platform}", hint=RELOCK)
        found[name] = Locked(str(requirement), one.hashes)
    return found


def _holds(marker: Marker, python: str, platform: str) -> bool:
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    answers = set()
    # Of the image's Python two numbers are known, of the kernel nothing: the rest must not matter.
    for full, kernel in ((f"{python}.0", ""), (f"{python}.999", "999")):
        target = {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": machine(platform),
            "platform_python_implementation": "CPython",
            "platform_release": kernel,
            "platform_system": "Linux",
            "platform_version": kernel,
            "python_full_version": full,
            "python_version": python,
            "sys_platform": "linux",
            "extra": "",
        }
        with contextlib.suppress(UndefinedComparison, UndefinedEnvironmentName, ValueError):
            answers.add(marker.evaluate(target))
    if len(answers) != 1:
        raise UsageError(
            f"whether `{marker}` holds in the image is not known",
            hint="write the marker with `python_version`, or leave it out of the lock",
        )
    return answers.pop()


def machine(platform: str) -> str:
    """Return the machine of a platform as Python and wheels name it.

    Raises:
        UsageError: neither linux/amd64 nor linux/arm64.
    """
    try:
        return _MACHINES[platform]
    except KeyError:
        raise UsageError(
            f"no wheels are known for {platform}", hint="use linux/amd64 or linux/arm64"
        ) from None
