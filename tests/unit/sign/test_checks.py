"""Predicates of the check stage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.sign.world import make_checks

from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import checks

if TYPE_CHECKING:
    from tests.unit.sign.world import World


def found(world: World, **changes: str) -> dict[str, Any]:
    """Return the parsed predicates."""
    made = checks.predicates(make_checks(world.image, **changes), world.image)
    return {kind: json.loads(data) for kind, data in made.items()}


def test_the_tests_have_the_fields_of_in_toto(world: World) -> None:
    """test-result.md: result and configuration, and the gates by what became of them."""
    tests = found(world)[checks.TESTS]
    assert tests["result"] == "PASSED"
    assert tests["passedTests"] == ["format", "lint", "tests", "security", "audit"]
    assert (tests["warnedTests"], tests["failedTests"]) == ([], [])
    assert all(one["digest"]["sha256"] for one in tests["configuration"])
    assert tests["configuration"][0] == {
        "name": "tree",
        "digest": {"sha256": Digest(world.image.source.content).hex},
    }


def test_the_licences_are_a_statement_of_their_own(world: World) -> None:
    """Whoever asks for the licence decision need not look into the tests."""
    licences = found(world)[checks.LICENCES]
    assert (licences["result"], licences["passedTests"]) == ("PASSED", ["licences"])
    assert licences[checks.CHECKS_FIELD] == {"licences": "what licences said"}


def test_a_failed_gate_is_said(world: World) -> None:
    """What did not pass is attested as what it is; each statement speaks for its own gates."""
    made = found(world, failed="tests")
    assert (made[checks.TESTS]["result"], made[checks.TESTS]["failedTests"]) == (
        "FAILED",
        ["tests"],
    )
    assert made[checks.LICENCES]["result"] == "PASSED"
    assert found(world, failed="licences")[checks.LICENCES]["result"] == "FAILED"


def test_a_gate_that_was_not_done_is_a_warning(world: World) -> None:
    """A component without tests does not pass as one with tests."""
    tests = found(world, idle="tests")[checks.TESTS]
    assert (tests["result"], tests["warnedTests"]) == ("WARNED", ["tests"])
    assert "tests" not in tests["passedTests"]


def test_the_same_checks_give_the_same_bytes(world: World) -> None:
    """There is no time in it."""
    record = make_checks(world.image)
    assert checks.predicates(record, world.image) == checks.predicates(record, world.image)


@pytest.mark.parametrize("change", [{"subject": Digest.of(b"other")}, {"component": "worker"}])
def test_checks_of_something_else_are_refused(change: dict[str, str], world: World) -> None:
    """The record must be about the sources that the image was built from."""
    record = msgspec.structs.replace(make_checks(world.image), **change)
    with pytest.raises(SubjectMismatch) as caught:
        checks.predicates(record, world.image)
    assert caught.value.hint == "run `inv check build` again"


@pytest.mark.parametrize("names", [(), ("licences",), ("tests", "lint")])
def test_a_record_without_gates_is_refused(names: tuple[str, ...], world: World) -> None:
    """Nothing checked is nothing to attest."""
    record = make_checks(world.image)
    gates = tuple(one for one in record.gates if one.name in names)
    with pytest.raises(UsageError, match="no gate"):
        checks.predicates(msgspec.structs.replace(record, gates=gates), world.image)
