"""`lockgate.build.check_dependencies`: the audit and the licences of locked packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from lockgate.base.errors import SubjectMismatch, ToolMissing, UsageError
from lockgate.build.check_dependencies import Dependencies, audit_gate, licences_gate
from lockgate.build.model import Package

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lockgate.base.settings import Severity
    from lockgate.build.check_dependencies import Advisory

KNOWN = "a" * 64


class Found(NamedTuple):
    """An advisory."""

    id: str = "CVE-2026-1"
    severity: Severity = "HIGH"
    package: str = "jinja2"
    version: str = "3.1.4"
    fixed: str = "3.1.6"


class Says(NamedTuple):
    """A licence verdict."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


NOTHING = Says()


def package(name: str, digest: str = KNOWN) -> Package:
    """Return a distribution with the digest of its wheel."""
    return Package(
        kind="pypi",
        name=name,
        version="1",
        architecture="",
        source="",
        licences=(),
        sha256=digest,
        purl="",
    )


def dependencies(
    folder: Path,
    *packages: Package,
    advisories: Sequence[Advisory] = (),
    says: Says = NOTHING,
    lock: str = f"jinja2==3.1.4 --hash=sha256:{KNOWN}\n",
) -> Dependencies:
    """Return dependencies whose judges know one answer."""
    (folder / "requirements.txt").write_text(lock)
    return Dependencies(
        folder / "requirements.txt", packages, lambda _: tuple(advisories), lambda _: says
    )


def test_advisories_fail_the_audit(tmp_path: Path) -> None:
    """Each is one line with the version that mends it; one that two scans name stands once, sorted."""
    found = [Found(), Found(id="CVE-2025-9", severity="MEDIUM", fixed=""), Found()]
    outcome = audit_gate(dependencies(tmp_path, package("jinja2"), advisories=found))
    assert not outcome.passed
    assert outcome.reason == "2 advisories"
    assert outcome.detail == (
        "HIGH CVE-2026-1 jinja2 3.1.4: fixed in 3.1.6",
        "MEDIUM CVE-2025-9 jinja2 3.1.4: no fixed version",
    )


def test_the_worst_advisories_stand_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    """A record keeps a bounded number of lines, and says how many it left out."""
    found = [Found(id=f"CVE-2026-{number:03}", severity="LOW") for number in range(40)]
    found += [
        Found(id="CVE-2026-900", severity="MEDIUM"),
        Found(id="CVE-2026-901", severity="CRITICAL"),
    ]
    outcome = audit_gate(dependencies(tmp_path, package("jinja2"), advisories=found))
    assert [line.split()[0] for line in outcome.detail[:3]] == ["CRITICAL", "MEDIUM", "LOW"]
    assert outcome.detail[-1] == "… 12 more"


def test_no_advisory_is_a_pass_that_says_how_much_was_looked_up(tmp_path: Path) -> None:
    """Wheels of one distribution for two platforms count once."""
    outcome = audit_gate(dependencies(tmp_path, package("jinja2"), package("jinja2")))
    assert outcome.passed
    assert outcome.reason == "1 distribution, no advisory"


def test_the_audit_is_given_the_lock(tmp_path: Path) -> None:
    """Under the name by which scanners know a requirements file."""
    given: list[Path] = []
    some = dependencies(tmp_path, package("jinja2"))

    def audit(path: Path) -> tuple[Advisory, ...]:
        given.append(path)
        return ()

    audit_gate(some._replace(audit=audit))
    assert given == [tmp_path / "requirements.txt"]


def test_an_audit_that_cannot_be_done_is_no_pass(tmp_path: Path) -> None:
    """The scanner's error comes through as it is."""

    def broken(_: Path) -> tuple[Advisory, ...]:
        raise ToolMissing("`trivy` is not installed", hint="`inv doctor`")

    some = dependencies(tmp_path, package("jinja2"))._replace(audit=broken)
    with pytest.raises(ToolMissing):
        audit_gate(some)


def test_an_empty_lock_has_nothing_to_look_up(tmp_path: Path) -> None:
    """It is said, and the scanner, for which an empty file is an error, is not asked."""

    def never(_: Path) -> tuple[Advisory, ...]:
        raise AssertionError

    some = dependencies(tmp_path, lock="# nothing\n")._replace(audit=never)
    assert audit_gate(some) == (
        True,
        "the lock names no package, so there is nothing to look up",
        (),
        True,
    )
    assert licences_gate(some).reason == "the lock names no package, so there is no licence"


@pytest.mark.parametrize("gate", [audit_gate, licences_gate])
def test_packages_of_another_lock_are_refused(
    tmp_path: Path, gate: Callable[[Dependencies], object]
) -> None:
    """Both gates speak of the packages of this lock, by digest."""
    with pytest.raises(SubjectMismatch):
        gate(dependencies(tmp_path, package("jinja2"), package("other", "b" * 64)))


@pytest.mark.parametrize("gate", [audit_gate, licences_gate])
def test_no_packages_for_a_lock_that_names_some_is_refused(
    tmp_path: Path, gate: Callable[[Dependencies], object]
) -> None:
    """Empty is not success."""
    with pytest.raises(UsageError):
        gate(dependencies(tmp_path))


def test_a_lock_without_hashes_is_refused(tmp_path: Path) -> None:
    """What is looked up would not be what is installed."""
    with pytest.raises(UsageError, match="has no hash"):
        audit_gate(dependencies(tmp_path, package("jinja2"), lock="jinja2==3.1.4\n"))


def test_licences_report_every_problem_and_the_notes(tmp_path: Path) -> None:
    """What must be mended comes before what is good to know."""
    says = Says(("one", "two"), ("note",))
    outcome = licences_gate(dependencies(tmp_path, package("jinja2"), says=says))
    assert not outcome.passed
    assert outcome.detail == ("one", "two", "note")


def test_notes_alone_are_a_pass(tmp_path: Path) -> None:
    """An approval that nothing needs stops nothing."""
    outcome = licences_gate(dependencies(tmp_path, package("jinja2"), says=Says((), ("note",))))
    assert outcome == (True, "1 distribution approved", ("note",), True)
