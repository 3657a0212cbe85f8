"""Versions as tags have them, and constraints on them (Semantic Versioning 2.0.0). Pure.

Constraints are those that Flux and Argo CD know: `*`, `1.x`, `~1.2`, `^1.2.3`, `>=1.0 <2.0`, `1.2 - 1.4`,
alternatives with `||`. A version with a prerelease is met only by a constraint that names a prerelease.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRE = r"(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(r"v?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+))?(?:\.(?P<patch>[0-9]+))?" + _PRE)
_PART = re.compile(
    r"(?P<sign>>=|=>|<=|=<|!=|==|=|>|<|~>|~|\^)?\s*v?(?P<major>[0-9]+|[xX*])"
    r"(?:\.(?P<minor>[0-9]+|[xX*]))?(?:\.(?P<patch>[0-9]+|[xX*]))?" + _PRE
)
_LONGEST = 128
"""Characters of a tag (distribution specification); digits without end would be no number to Python."""
_MOST = 1000
"""Characters of a constraint."""
_RANGE = re.compile(r"(\S+)\s+-\s+(\S+)")


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version; ordered by precedence (section 11 of the specification)."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    """Identifiers of a prerelease; empty for a release."""

    @property
    def _rank(self) -> tuple[object, ...]:
        # A release comes after its prereleases; numbers before words.
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre)
        return (self.major, self.minor, self.patch, not self.pre, parts)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self._rank < other._rank


def parse(text: str) -> Version | None:
    """Return the version that a tag is; None when it is none."""
    found = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    major, minor, patch = (int(found[part] or 0) for part in ("major", "minor", "patch"))
    return Version(
        major, minor, patch, tuple((found["pre"] or "").split(".")) if found["pre"] else ()
    )


class _Bound(NamedTuple):
    sign: str
    """`>=`, `>`, `<`, `<=`, `=` or `!=`."""
    version: Version

    def holds(self, other: Version) -> bool:
        return {
            ">=": other >= self.version,
            ">": other > self.version,
            "<": other < self.version,
            "<=": other <= self.version,
            "=": other == self.version,
            "!=": other != self.version,
        }[self.sign]


def select(tags: Iterable[str], constraint: str) -> tuple[str, ...]:
    """Return the tags that are versions and meet a constraint, newest first.

    Raises:
        UsageError: the text is no constraint.
    """
    if len(constraint) > _MOST:
        raise UsageError(
            f"{constraint[:20]!r}… is no constraint on versions: it has {len(constraint)} characters",
            hint="write it as `>=1.2 <2`, `~1.2` or `*`",
        )
    alternatives = [_all(one, constraint) for one in constraint.split("||")]
    found = [(version, tag) for tag in tags if (version := parse(tag)) is not None]
    met = [pair for pair in found if any(_meets(pair[0], bounds) for bounds in alternatives)]
    return tuple(tag for _, tag in sorted(met, reverse=True))


def _meets(version: Version, bounds: list[_Bound]) -> bool:
    if version.pre and not any(one.version.pre for one in bounds):
        return False
    return all(one.holds(version) for one in bounds)


def _all(text: str, whole: str) -> list[_Bound]:
    """Return the bounds of one alternative."""
    text = _RANGE.sub(r">=\1 <=\2", text.strip()).replace(",", " ")
    found: list[_Bound] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (match.end() < len(text) and not text[match.end()].isspace()):
            raise UsageError(
                f"{whole!r} is no constraint on versions",
                hint="write it as `>=1.2 <2`, `~1.2` or `*`",
            )
        found += _bounds(match)
        at = match.end()
        while at < len(text) and text[at].isspace():
            at += 1
    if not found and text:
        return [_Bound(">=", Version(0, 0, 0))]
    if not text:
        raise UsageError("a constraint on versions is empty", hint="write `*` for any release")
    return found


def _bounds(match: re.Match[str]) -> list[_Bound]:
    """Return the bounds of one comparison: wildcards and missing parts make a range."""
    parts = [match[name] for name in ("major", "minor", "patch")]
    given = [int(one) for one in parts if one is not None and one.isdigit()]
    exact = len(given) == 3
    pre = tuple(match["pre"].split(".")) if match["pre"] else ()
    major, minor, patch = [*given, 0, 0, 0][:3]
    low = Version(major, minor, patch, pre)
    sign = {"=>": ">=", "=<": "<=", "==": "=", None: "=", "~>": "~"}.get(
        match["sign"], match["sign"]
    )
    if not given:
        return [_Bound(">=", Version(0, 0, 0))]
    above = _next(given)
    if sign == "^":
        first = next((at for at, one in enumerate(given) if one), len(given) - 1)
        return [_Bound(">=", low), _Bound("<", _next(given[: first + 1]))]
    if sign == "~":
        return [_Bound(">=", low), _Bound("<", _next(given[:2]))]
    if exact:
        return [_Bound(sign, low)]
    return {
        "=": [_Bound(">=", low), _Bound("<", above)],
        ">": [_Bound(">=", above)],
        "<=": [_Bound("<", above)],
        ">=": [_Bound(">=", low)],
        "<": [_Bound("<", low)],
        "!=": [_Bound("!=", low)],
    }[sign]


def _next(given: list[int]) -> Version:
    """Return the first version behind all that begin with these numbers."""
    major, minor, patch = [*given[:-1], given[-1] + 1, 0, 0][:3]
    return Version(major, minor, patch)
