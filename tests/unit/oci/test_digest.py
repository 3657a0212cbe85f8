"""Digests: one form, checked on the way in, and bytes checked against them."""

from __future__ import annotations

import copy
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.oci.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.binary())
def test_the_digest_is_sha256(data: bytes) -> None:
    """`of` is sha256 of exactly these bytes, and has the form that the constructor takes."""
    found = Digest.of(data)
    assert found == "sha256:" + hashlib.sha256(data).hexdigest()
    assert Digest(found) == found


@given(st.binary(), st.binary())
def test_check_returns_the_right_bytes_and_refuses_others(right: bytes, other: bytes) -> None:
    """Only bytes with this digest come back."""
    digest = Digest.of(right)
    assert digest.check(right, "blob") is right
    if other != right:
        with pytest.raises(DigestMismatch, match=r"^blob should be sha256:") as caught:
            digest.check(other, "blob")
        assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY + "\n",
        " " + EMPTY,
        EMPTY.upper(),
        EMPTY.replace("e3", "E3"),
        EMPTY.replace("sha256", "sha512"),
        EMPTY.replace(":", "-"),
        EMPTY[7:],
        EMPTY[:-1] + "g",
        EMPTY[:-1] + "٣",
        "../" + EMPTY,
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    """No other algorithm, length, case or surrounding; the text is shown and the form is told."""
    with pytest.raises(UsageError, match="is not a digest") as caught:
        Digest(text)
    assert repr(text) in caught.value.message
    assert "64 hexadecimal digits" in caught.value.hint


@given(st.text())
def test_no_text_is_taken_by_accident(text: str) -> None:
    """The constructor gives back the very text or refuses it."""
    try:
        found = Digest(text)
    except UsageError:
        return
    assert found == text
    assert len(found) == 71


def test_hex_and_short_are_parts_of_it() -> None:
    """`hex` is the name of the blob's file; `short` is for people."""
    digest = Digest(EMPTY)
    assert digest.hex == EMPTY.removeprefix("sha256:")
    assert digest.short == "sha256:e3b0c442…b855"


def test_a_short_digest_is_not_a_digest() -> None:
    """What is meant for people cannot be looked up."""
    with pytest.raises(UsageError):
        Digest(Digest(EMPTY).short)


def test_a_digest_survives_copies() -> None:
    """Copied and pickled digests are digests."""
    digest = Digest(EMPTY)
    for other in (copy.deepcopy(digest), pickle.loads(pickle.dumps(digest))):  # noqa: S301 - own bytes
        assert isinstance(other, Digest)
        assert other == digest
