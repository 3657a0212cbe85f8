"""Dependencies between Debian packages, as `Depends`, `Pre-Depends` and `Provides` write them (Policy 7.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

from lockgate.base.errors import UsageError
from lockgate.build.debversion import satisfies

_FORM = re.compile(
    r"\s*(?P<name>[a-z0-9][a-z0-9+.-]*)"
    r"(?::(?P<qualifier>[a-z0-9-]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>)\s*(?P<version>[^\s)]+)\s*\))?\s*"
)


class Relation(NamedTuple):
    """One alternative of a dependency: a name and, when `operator` is not empty, a version that it needs."""

    name: str
    qualifier: str = ""
    """Architecture qualifier: `any`, `native`, an architecture, or empty."""
    operator: str = ""
    version: str = ""

    def met_by(self, version: str) -> bool:
        """True when a package of this name with this version is enough."""
        return not self.operator or satisfies(version, self.operator, self.version)

    def met_by_provided(self, version: str) -> bool:
        """True when a virtual package is enough; `version` is empty where `Provides` names none.

        A dependency with a version is never met by a virtual package without one (Policy 7.5).
        """
        return not self.operator or (version != "" and self.met_by(version))

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


def parse(text: str, *, what: str) -> tuple[tuple[Relation, ...], ...]:
    """Parse a relationship field: every group must be met, by any one alternative in it.

    Args:
        text: the field's value; empty gives no groups.
        what: whose field it is, for an error.

    Raises:
        UsageError: it is not in the form of Policy 7.1.
    """
    return tuple(
        tuple(_one(alternative, what) for alternative in group.split("|"))
        for group in text.split(",")
        if group.strip()
    )


def _one(text: str, what: str) -> Relation:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{what}: `{text.strip()}` is not a dependency")
    return Relation(*(match[group] or "" for group in _FORM.groupindex))
