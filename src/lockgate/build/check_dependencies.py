"""The gates of `check` that look at what the component depends on: known vulnerabilities, licences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.base.settings import SEVERITIES
from lockgate.build.check_work import LINES, Outcome
from lockgate.build.requirements import locked_hashes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Severity
    from lockgate.build.model import Package


class Advisory(Protocol):
    """One known vulnerability of a locked package; `lockgate.scan.model.Finding` is one."""

    @property
    def id(self) -> str:
        """CVE-…, GHSA-… or PYSEC-…."""

    @property
    def severity(self) -> Severity:
        """As the database has it."""

    @property
    def package(self) -> str:
        """Name of the package."""

    @property
    def version(self) -> str:
        """The locked version."""

    @property
    def fixed(self) -> str:
        """First fixed version; empty when there is none."""


class LicenceVerdict(Protocol):
    """What the licence policy says; `lockgate.scan.licences.Verdict` is one."""

    @property
    def problems(self) -> Sequence[str]:
        """One line for each distribution that may not be used as it is."""

    @property
    def notes(self) -> Sequence[str]:
        """What is good to know and stops nothing."""


class Dependencies(NamedTuple):
    """The locked dependencies and the two judges of them."""

    lock: Path
    """A copy of the requirements file, under the name `requirements.txt`, alone in its folder."""
    packages: tuple[Package, ...]
    """Every distribution of the image, as `lockgate.build.distribution.packages` describes wheels."""
    audit: Callable[[Path], Sequence[Advisory]]
    """Looks the lock up in an advisory database. One that cannot, raises a ToolError."""
    licences: Callable[[Sequence[Package]], LicenceVerdict]
    """Compares with the approved licences."""

    def check(self) -> int:
        """Return how many distributions there are, once it is sure that they are those of the lock.

        Wheels of one distribution for several platforms count once.

        Raises:
            SubjectMismatch: a distribution is not of this lock.
            UsageError: the lock is not a lock.
        """
        allowed = locked_hashes(self.lock.read_bytes())
        for one in self.packages:
            if one.sha256 not in allowed:
                raise SubjectMismatch(
                    f"{one.name} {one.version} is not a distribution of the requirements file",
                    hint="run the check again: the lock has changed in the meantime",
                )
        if allowed and not self.packages:
            raise UsageError(
                "the requirements file names packages, and none of them is for the image's platforms",
                hint="check the markers in the lock",
            )
        return len({one.name for one in self.packages})


def audit_gate(dependencies: Dependencies) -> Outcome:
    """Most of an image is other people's code, and some of it is known to be broken.

    It is looked up before the image is made, because here the mending is one line in `requirements.in`. An audit
    that cannot be done is an error and never a pass.
    """
    count = dependencies.check()
    if not count:
        return Outcome(True, "the lock names no package, so there is nothing to look up")
    found = dependencies.audit(dependencies.lock)
    if found:
        worst_first = sorted(
            found, key=lambda one: (-SEVERITIES.index(one.severity), one.id, one.package)
        )
        lines = tuple(dict.fromkeys(_line(one) for one in worst_first))
        more = (f"… {len(lines) - LINES} more",) if len(lines) > LINES else ()
        return Outcome(
            False, _counted(len(lines), "advisory", "advisories"), (*lines[:LINES], *more)
        )
    return Outcome(True, f"{_counted(count, 'distribution', 'distributions')}, no advisory")


def _line(one: Advisory) -> str:
    fixed = f"fixed in {one.fixed}" if one.fixed else "no fixed version"
    return f"{one.severity} {one.id} {one.package} {one.version}: {fixed}"


def licences_gate(dependencies: Dependencies) -> Outcome:
    """A licence is a condition for shipping, and it can change between two versions of the same package.

    Every package is approved by name, so that someone has looked at each of them once, and again when it changes.
    """
    count = dependencies.check()
    verdict = dependencies.licences(dependencies.packages)
    if verdict.problems:
        return Outcome(
            False,
            f"{len(verdict.problems)} of {_counted(count, 'distribution', 'distributions')} not approved",
            (*verdict.problems, *verdict.notes),
        )
    if not count:
        return Outcome(
            True, "the lock names no package, so there is no licence", tuple(verdict.notes)
        )
    return Outcome(
        True, f"{_counted(count, 'distribution', 'distributions')} approved", tuple(verdict.notes)
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
