"""`tools/<module>/tool.yaml`: the programs of a Go module, and which of them may be taken from PATH."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lockgate.base.errors import UsageError
from lockgate.base.settings import nearest

FILE = "tool.yaml"

_STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}
_SEE = "`docs/tools.md` shows every field"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_BOUND = re.compile(r"(?:>=|<=|==|!=|<|>)[0-9]+(?:\.[0-9]+){0,2}")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program that is built from the module."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    package: str
    """Import path of its main package."""
    ask: tuple[str, ...] = ("--version",)
    """Arguments with which the program tells its version."""
    accept: str = ""
    """Versions that are taken from PATH, as `>=3.1,<4`. Empty: none, it is always built."""


@dataclass(frozen=True, kw_only=True)
class ToolFile:
    """The whole of `tool.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    binaries: dict[str, Program]
    """Programs by the name that they get."""
    variables: dict[str, str] = field(default_factory=dict)
    """What the linker sets: value by variable, as `import/path.name`."""


def load(data: bytes, *, what: str) -> ToolFile:
    """Check the bytes of a `tool.yaml`.

    Args:
        data: the bytes of the file.
        what: how to name it in an error.

    Raises:
        UsageError: it is not readable, or a field is unknown, missing or wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    from lockgate.base import strict_yaml

    content = strict_yaml.load(data, what=what)
    try:
        found: ToolFile = TypeAdapter(ToolFile).validate_python(content)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False), what) from None
    if not found.binaries:
        raise UsageError(f"{what}: `binaries` is empty", hint=_SEE)
    for name, program in found.binaries.items():
        if not _NAME.fullmatch(name):
            raise UsageError(f"{what}: {name!r} cannot be a program's name", hint=_SEE)
        for bound in program.accept.split(",") if program.accept else ():
            if not _BOUND.fullmatch(bound.strip()):
                raise UsageError(
                    f"{what}: binaries.{name}.accept: {bound.strip()!r} is no bound of versions",
                    hint='write bounds with commas between them: ">=3.1,<4"',
                )
    for variable, value in found.variables.items():
        # It becomes a part of one argument of the linker, which is split at spaces and quotes.
        if not re.fullmatch(r"[^\s='\"]+\.[^\s='\".]+", variable) or re.search(r"[\s'\"]", value):
            raise UsageError(f"{what}: variables.{variable} cannot be set by the linker", hint=_SEE)
    return found


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def _explain(errors: list[Any], what: str) -> UsageError:
    first = min(errors, key=lambda error: error["type"] not in _UNKNOWN)
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in _UNKNOWN:
        kind = Program if len(first["loc"]) > 1 else ToolFile
        known = [one.name for one in dataclasses.fields(kind)]
        hint = nearest(str(first["loc"][-1]), known) or "known here: " + ", ".join(known)
        return UsageError(f"{what}: `{where}` is not a field of a tool", hint=hint)
    return UsageError(f"{what}: `{where}`: {first['msg'].lower()}", hint=_SEE)


def accepted(version: tuple[int, ...], accept: str) -> bool:
    """True when a version lies within every bound; none does when there are no bounds."""
    return bool(accept) and all(_within(version, bound.strip()) for bound in accept.split(","))


def _within(version: tuple[int, ...], bound: str) -> bool:
    operator = bound.rstrip("0123456789.")
    limit = tuple(int(one) for one in bound.removeprefix(operator).split("."))
    longest = max(len(version), len(limit))
    left, right = (one + (0,) * (longest - len(one)) for one in (version, limit))
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
    }[operator]
