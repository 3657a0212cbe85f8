"""Identities."""

from __future__ import annotations

from lockgate.sign.keyless.identity import Identity

ONE = Identity("https://shop.example/release", "https://issuer.example", "release")


def test_is_who_an_issuer_knows() -> None:
    """Subject and issuer make the identity; a name is what people call it."""
    assert ONE.same(Identity(ONE.subject, ONE.issuer, "another name"))
    assert not ONE.same(Identity(ONE.subject, "https://other.example"))
    assert not ONE.same(Identity("https://shop.example/other", ONE.issuer))


def test_has_a_fingerprint_as_keys_have() -> None:
    """Other texts are others, also where one begins as the other ends."""
    assert len(ONE.fingerprint) == 64
    assert Identity("b", "a").fingerprint != Identity("", "ab").fingerprint
    assert ONE.fingerprint == Identity(ONE.subject, ONE.issuer).fingerprint


def test_is_shown_to_people() -> None:
    """With its name where it has one; there is no development identity."""
    assert ONE.label == "identity https://shop.example/release (release)"
    assert Identity("x", "y").label == "identity x"
    assert not ONE.development
