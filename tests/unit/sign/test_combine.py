"""Who must have signed, and how requirements combine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.sign.world import make_signer

from lockgate.base.errors import AttestationMissing, Stale
from lockgate.oci.digest import Digest
from lockgate.sign.combine import AllOf, AnyOf, Signers, met, proven, unmet
from lockgate.sign.evidence import Evidence, Findings

if TYPE_CHECKING:
    from lockgate.sign.model import Result

KIND = "https://example.org/v1"
KEYS = {name: make_signer(name).public_key() for name in ("one", "two", "three")}


class Always:
    """A requirement that knows its answer."""

    def __init__(self, name: str, holds: bool) -> None:
        self._name, self._holds = name, holds

    def check(self, findings: Findings) -> Result:
        """Return it."""
        if self._holds:
            return met(self._name, f"about {findings.subject}")
        return unmet(self._name, Stale(f"{self._name} is old"))


YES, NO, OLD = Always("yes", True), Always("no", False), Always("old", False)


def findings(*names: str, **predicates: Any) -> Findings:
    """Return evidence signed by these keys, with the predicates that are given for some of them."""
    return Findings(
        subject="it",
        evidence=tuple(
            Evidence(
                predicate_type=KIND,
                predicate=predicates.get(name, {}),
                key=KEYS[name],
                digest=Digest.of(name.encode()),
            )
            for name in names
        ),
        faults=(),
        now=0,
    )


def look(one: Evidence, _: Findings) -> str:
    """Take everything but what is marked as old."""
    if one.predicate.get("old"):
        raise Stale("it is old")
    return f"said by {one.key.name}"


def asked(found: Findings, *names: str, quorum: int = 1) -> Result:
    """Return whether so many of these keys have signed."""
    keys = frozenset(KEYS[name].fingerprint for name in names)
    return proven("thing", KIND, found, look, Signers(keys=keys, quorum=quorum))


def test_one_key_is_enough_by_default() -> None:
    """Any trusted key, and what it said."""
    assert asked(findings("one")).detail == "said by one"


def test_a_quorum_counts_keys() -> None:
    """Two of three keys, whichever they are; the line names them."""
    result = asked(findings("three", "one"), "one", "two", "three", quorum=2)
    assert result.met
    assert result.detail == (f"said by three; signed by {KEYS['three'].label}, {KEYS['one'].label}")


def test_a_key_counts_once() -> None:
    """The same key twice is one signer."""
    result = asked(findings("one", "one"), "one", "two", quorum=2)
    assert (result.met, result.error) == (False, "AttestationMissing")
    assert result.detail == f"signed by 1 of 2: {KEYS['one'].label}"


def test_other_keys_do_not_count() -> None:
    """A trusted key that is not asked for adds nothing."""
    assert not asked(findings("one", "three"), "one", "two", quorum=2).met
    result = asked(findings("three"), "one")
    assert (result.error, result.detail) == (
        "KeyRefused",
        "signed, but not with a required key",
    )


def test_evidence_that_does_not_hold_does_not_count() -> None:
    """A key whose statement is refused has not signed for the quorum, and the reason is told."""
    found = findings("one", "two", two={"old": True})
    result = asked(found, "one", "two", quorum=2)
    assert result.detail.endswith("; it is old")
    assert asked(findings("two", two={"old": True})).error == "Stale"
    assert asked(findings("two", "two", "one", two={"old": True})).met


def test_without_evidence_nothing_holds() -> None:
    """No statement of the type is an absence."""
    assert asked(findings()).error == "AttestationMissing"


def test_all_of_needs_all() -> None:
    """One unmet part refuses the whole, with its name and reason."""
    assert AllOf(parts=(YES, YES)).check(findings()).met
    result = AllOf(parts=(YES, NO, OLD)).check(findings())
    assert (result.met, result.name, result.detail) == (False, "all of: no", "no is old")


def test_any_of_needs_one() -> None:
    """One met part is enough; when none is met every reason is told."""
    result = AnyOf(parts=(NO, YES)).check(findings())
    assert (result.met, result.name) == (True, "any of: yes")
    result = AnyOf(parts=(NO, OLD)).check(findings())
    assert (result.met, result.error) == (False, "Stale")
    assert result.detail == "none holds: no: no is old; old: old is old"


@pytest.mark.parametrize("empty", [AllOf(parts=()), AnyOf(parts=())])
def test_the_empty_requirement_never_holds(empty: AllOf | AnyOf) -> None:
    """Nothing required is nothing proven, also inside another requirement."""
    for requirement in (
        empty,
        AllOf(parts=(empty,)),
        AnyOf(parts=(empty,)),
        AllOf(parts=(YES, empty)),
    ):
        result = requirement.check(findings())
        assert (result.met, result.error) == (False, AttestationMissing.__name__)
