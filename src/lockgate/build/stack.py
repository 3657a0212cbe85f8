"""A stack: which Debian packages make the base of an image, and what of them stays out.

`stacks/<name>/stack.yaml` is written by people, `stack.lock` beside it by `inv build.lock`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from lockgate.base.errors import UsageError
from lockgate.base.settings import nearest

FILE = "stack.yaml"

Architecture = Literal["amd64", "arm64"]

_STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}
_BUNDLED = Path(__file__).parent.parent / "bundled" / "stacks"
_SEE = "`stacks/python/stack.yaml` shows every field"


@dataclass(frozen=True, kw_only=True)
class Omit:
    """A package that something depends on and that is left out nevertheless."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    package: str
    """Name, as the dependency writes it; of a real or a virtual package."""
    reason: str
    """Why nothing in the image misses it."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The whole of `stack.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    suites: tuple[str, ...]
    """Codenames of Debian suites, the release first. One that ends in `-security` is read from the
    security mirror. The newest version of a package counts, wherever it is."""
    packages: tuple[str, ...]
    """Names of packages. What they depend on is added; what they only recommend is not."""
    python: str = ""
    """Version of the Python in the image, `3.13`: wheels are chosen for it. Empty: there is none."""
    architectures: tuple[Architecture, ...] = ("amd64", "arm64")
    """Debian architectures that are locked."""
    omit: tuple[Omit, ...] = ()
    """Dependencies that are left out, each with its reason."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths that stay out of the image. `*` matches any characters, `/` too; a pattern that
    matches a folder takes everything below it along."""
    keep: tuple[str, ...] = ()
    """Patterns of paths that stay although a pattern of `exclude` matches."""
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links that no package brings: path to target."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of the image; a component's own go before them."""
    user: int = 65532
    """User and group id that the image runs as."""


def folder(name: str, project: Path) -> Path:
    """Return the folder of a stack: the project's own, else one that Lockgate ships.

    Args:
        name: name of the stack.
        project: folder of `lockgate.yaml`.

    Raises:
        UsageError: there is no such stack.
    """
    places = (project / "stacks", _BUNDLED)
    for place in places:
        if name and "/" not in name and (place / name / FILE).is_file():
            return place / name
    known = sorted({path.parent.name for place in places for path in place.glob(f"*/{FILE}")})
    raise UsageError(
        f"{name!r} is not a stack",
        hint=nearest(name, known) or "there are: " + ", ".join(f"`{one}`" for one in known),
    )


def load(data: bytes, *, what: str) -> Stack:
    """Check the bytes of a `stack.yaml`.

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
        found: Stack = TypeAdapter(Stack).validate_python(content)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False), what) from None
    _check(found, what)
    return found


def _check(found: Stack, what: str) -> None:
    """What the types cannot say."""
    for name in ("suites", "packages", "architectures"):
        values = getattr(found, name)
        if not values or len(set(values)) != len(values):
            raise UsageError(f"{what}: `{name}` is empty or names something twice", hint=_SEE)
    if found.suites[0].endswith("-security"):
        raise UsageError(f"{what}: `suites` starts with the security suite", hint=_SEE)
    for one in found.omit:
        if not one.reason.strip():
            raise UsageError(f"{what}: omitting `{one.package}` has no reason", hint=_SEE)
    if not 0 < found.user < 1 << 31:
        raise UsageError(f"{what}: `user` is {found.user}, an image never runs as root", hint=_SEE)


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def _explain(errors: list[Any], what: str) -> UsageError:
    """Turn a checker's list into one line about one fault, with the nearest right word.

    An unknown field goes first: a field that is missing is often the same one, spelt right.
    """
    first = min(errors, key=lambda error: error["type"] not in _UNKNOWN)
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in _UNKNOWN:
        kind = Omit if "omit" in first["loc"][:-1] else Stack
        known = [one.name for one in dataclasses.fields(kind)]
        hint = nearest(str(first["loc"][-1]), known) or "known here: " + ", ".join(known)
        return UsageError(f"{what}: `{where}` is not a field of a stack", hint=hint)
    return UsageError(f"{what}: `{where}`: {first['msg'].lower()}", hint=_SEE)
