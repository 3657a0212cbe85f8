"""Artifacts: files with a Sigstore bundle beside them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.sign.keyless.conftest import RELEASE, parsed
from tests.unit.sign.keyless.instance import Instance, Made
from tests.unit.sign.world import make_signer

from lockgate.base.errors import KeyRefused, SignatureInvalid, SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, statement
from lockgate.sign.artifact import verify_artifact
from lockgate.sign.evidence import Trust
from lockgate.sign.public_key import MARK

if TYPE_CHECKING:
    from lockgate.sign.local import LocalSigner

FILE = b"a program"
DIGEST = Digest.of(FILE)
KEY = make_signer("release")
INSTANCE = Instance()
ROOT = parsed(INSTANCE.root())

KEYS = Trust(keys=(KEY.public_key(),), development_key_allowed=False)
IDENTITIES = Trust(keys=(), development_key_allowed=False, identities=(RELEASE,), root=ROOT)


def about(digest: str = DIGEST) -> bytes:
    """Return a statement about a file."""
    return statement.build(
        name="program", digest=digest, predicate_type="https://x/v1", predicate=b"{}"
    )


def signed(signer: LocalSigner, **changes: Any) -> bytes:
    """Return a bundle with a key's signature of the file, as `cosign sign-blob` writes it."""
    digest = base64.b64encode(hashlib.sha256(FILE).digest()).decode()
    content = {
        "mediaType": bundle.MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": signer.public_key().hint}},
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
            "signature": base64.b64encode(signer.sign(FILE)).decode(),
        },
    }
    return json.dumps(content | changes).encode()


def stated(signer: LocalSigner, payload: bytes) -> bytes:
    """Return a bundle with a key's statement about the file."""
    return bundle.build(payload, signer.sign(dsse.pae(payload)), signer.public_key().hint)


def test_a_key_signs_a_file() -> None:
    """By a signature of it, or by a statement about it; the answer says who it was."""
    for data in (signed(KEY), stated(KEY, about())):
        assert verify_artifact(data, DIGEST, KEYS) == KEY.public_key()


def test_an_identity_signs_a_file() -> None:
    """The same by a certificate."""
    for data in (
        Made(INSTANCE, FILE, kind="hashedrekord 0.0.2", envelope=False).data(),
        Made(INSTANCE, about()).data(),
    ):
        assert verify_artifact(data, DIGEST, IDENTITIES) == RELEASE


def test_another_file_is_refused() -> None:
    """Whoever signed, it was for one file."""
    other = Digest.of(b"another program")
    for data, trust in (
        (signed(KEY), KEYS),
        (Made(INSTANCE, FILE, kind="hashedrekord 0.0.1", envelope=False).data(), IDENTITIES),
    ):
        with pytest.raises(SignatureInvalid, match="another file"):
            verify_artifact(data, other, trust)
    for data, trust in ((stated(KEY, about()), KEYS), (Made(INSTANCE, about()).data(), IDENTITIES)):
        with pytest.raises(SubjectMismatch):
            verify_artifact(data, other, trust)


def test_a_digest_in_the_bundle_is_only_a_hint() -> None:
    """A bundle that names the right file and was signed for another is refused by its signature."""
    wrong = {
        "signature": base64.b64encode(KEY.sign(b"another program")).decode(),
    }
    with pytest.raises(SignatureInvalid, match="does not verify"):
        verify_artifact(signed(KEY, messageSignature=wrong), DIGEST, KEYS)


@pytest.mark.parametrize("payload", [b"{}", b'{"_type":1}', b"not json"])
def test_a_statement_that_is_none_is_refused(payload: bytes) -> None:
    """Signed or not."""
    with pytest.raises(SignatureInvalid):
        verify_artifact(stated(KEY, payload), DIGEST, KEYS)


def test_who_is_not_trusted_is_refused() -> None:
    """Another key, an identity where none is trusted, and an identity that nothing proves."""
    with pytest.raises(SignatureInvalid, match="not trusted here"):
        verify_artifact(signed(make_signer("stranger")), DIGEST, KEYS)
    made = Made(INSTANCE, about()).data()
    nothing = Trust(keys=(), development_key_allowed=False, identities=(RELEASE,))
    for trust in (KEYS, nothing):
        with pytest.raises(SignatureInvalid, match="no identity is trusted here") as caught:
            verify_artifact(made, DIGEST, trust)
        assert caught.value.hint


def test_a_development_key_is_refused() -> None:
    """Where it is not taken."""
    developer = make_signer("development", MARK)
    trust = Trust(keys=(developer.public_key(),), development_key_allowed=False)
    with pytest.raises(KeyRefused):
        verify_artifact(signed(developer), DIGEST, trust)


def test_a_digest_must_be_one() -> None:
    """Of sha256, in its only form."""
    with pytest.raises(UsageError):
        verify_artifact(signed(KEY), "sha512:" + "0" * 128, KEYS)


def test_what_a_log_says_adds_nothing_to_a_key() -> None:
    """`cosign sign-blob --key` may log its signature; the key is trusted without that."""
    entry = Made(INSTANCE, FILE, kind="hashedrekord 0.0.1", envelope=False).entry
    material = {"publicKey": {"hint": KEY.public_key().hint}, "tlogEntries": [entry]}
    found = verify_artifact(signed(KEY, verificationMaterial=material), DIGEST, KEYS)
    assert found == KEY.public_key()
