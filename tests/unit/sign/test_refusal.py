"""Which of several refusals is named: `lockgate.sign.refusal`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    SignatureInvalid,
    Stale,
    SubjectMismatch,
)
from lockgate.sign.refusal import Refusal, most_telling

ORDER = [
    SubjectMismatch("about another image"),
    SignatureInvalid("changed"),
    KeyRefused("a development key"),
    Stale("too old"),
    AttestationMissing("a blob is not there"),
    SignatureInvalid("signed by somebody", stranger="https://ci.example/other"),
    SignatureInvalid("signed by a key", stranger=SignatureInvalid.NOBODY),
]
"""From the most telling one to the least."""


def test_without_refusals_none_is_named() -> None:
    """That nothing is there is another thing, and said otherwise."""
    assert most_telling(()) is None


@given(st.lists(st.sampled_from(ORDER), min_size=1), st.randoms(use_true_random=False))
def test_the_most_telling_one_is_named(some: list[SignatureInvalid], random: object) -> None:
    """Whatever their order and their digests are."""
    digests = [f"sha256:{random.random()}" for _ in some]  # type: ignore[attr-defined]
    found = most_telling([Refusal(*one) for one in zip(some, digests, strict=True)])
    assert found is min(some, key=ORDER.index)


@given(st.permutations(["sha256:1", "sha256:2", "sha256:3"]))
def test_of_one_kind_the_digest_decides(digests: list[str]) -> None:
    """So that two machines name the same one."""
    found = most_telling([Refusal(SignatureInvalid(one), one) for one in digests])
    assert found is not None
    assert found.message == "sha256:1"
