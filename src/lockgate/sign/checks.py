"""Predicates of the check stage: that the gates before the build were passed, and the licences approved.

    tests       in-toto, spec/predicates/test-result.md: every gate but the licences
    licences    the same fields under a type of our own: no standard type says what a licence policy decided

Both hold no time: the same sources give the same record, and that the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.build.check import Checks, Gate
    from lockgate.build.model import Image

TESTS = "https://in-toto.io/attestation/test-result/v0.1"
LICENCES = "urn:lockgate:attestation:licences:v1"

CHECKS_FIELD = "urn:lockgate:checks"
"""Field with what each gate said, in one line each."""

_LICENCE_GATE = "licences"


def predicates(checks: Checks, image: Image) -> dict[str, bytes]:
    """Return the two predicates by their type.

    Args:
        checks: what the check stage found, passed or not.
        image: the image; it must be built from what was checked.

    Raises:
        SubjectMismatch: the image was built from other sources, or is another component.
        UsageError: the record has no gate, or none for licences: nothing was checked.
    """
    if (checks.subject, checks.component) != (image.source.content, image.component):
        raise SubjectMismatch(
            f"the checks are about {checks.component} {Digest(checks.subject).short}, the image was built "
            f"from {image.component} {Digest(image.source.content).short}",
            hint="run `inv check build` again",
        )
    licences = [one for one in checks.gates if one.name == _LICENCE_GATE]
    others = [one for one in checks.gates if one.name != _LICENCE_GATE]
    if not licences or not others:
        raise UsageError("the record of the checks has no gate", hint="run `inv check` again")
    return {TESTS: _result(others, checks, image), LICENCES: _result(licences, checks, image)}


def _result(gates: Sequence[Gate], checks: Checks, image: Image) -> bytes:
    passed = [one.name for one in gates if one.passed]
    failed = [one.name for one in gates if not one.passed and one.blocks]
    warned = [one.name for one in gates if not one.passed and not one.blocks]
    return encode(
        {
            "result": "FAILED" if failed else "WARNED" if warned else "PASSED",
            "configuration": [
                {"name": "tree", "digest": {"sha256": Digest(checks.subject).hex}},
                {"name": "checked", "digest": {"sha256": Digest(checks.checked).hex}},
                {"name": "requirements", "digest": {"sha256": Digest(image.requirements).hex}},
            ],
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
            CHECKS_FIELD: {one.name: one.reason for one in gates},
        }
    )
