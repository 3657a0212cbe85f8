"""Keyless signing with the real `sigstore` package against a Sigstore on loopback, read by it and by us."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.verify import Verifier, policy
from tests.integration.sigstore_instance import ISSUER, WORKFLOW, Refused, Sigstore
from tests.unit.sign.world import NOW, make_world

from lockgate.base.errors import (
    KeyRefused,
    LockgateError,
    RemoteError,
    SignatureInvalid,
    ToolError,
)
from lockgate.oci.digest import Digest
from lockgate.sign import attest, predicate, referrers, statement
from lockgate.sign.artifact import verify_artifact
from lockgate.sign.evidence import Trust
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.signer import TOKEN, KeylessSigner
from lockgate.sign.keyless.trusted_root import TrustedRoot
from lockgate.sign.requirement import default_requirement
from lockgate.sign.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RELEASE = Identity(WORKFLOW, ISSUER, "release")
SUBJECT = "sha256:" + "1" * 64
STATEMENT = statement.build(
    name="app",
    digest=SUBJECT,
    predicate_type="https://example.com/v1",
    predicate=b'{"size":7}',
    annotations={"commit": "1"},
)


@pytest.fixture
def sigstore() -> Iterator[Sigstore]:
    """An instance on loopback."""
    with Sigstore() as running:
        yield running


def holder(
    sigstore: Sigstore, token: str = "", *, patience: float = 60, **config: Any
) -> KeylessSigner:
    """Return a signer with a token of the instance, or another one."""
    content = json.dumps(sigstore.config(**config)).encode()
    return KeylessSigner(content, environ={TOKEN: token or sigstore.token()}, patience=patience)


def trusted(sigstore: Sigstore) -> TrustedRoot:
    """Return the instance's root."""
    return TrustedRoot.parse(json.dumps(sigstore.instance.root()).encode())


@pytest.mark.parametrize(("log", "tsa"), [(1, False), (1, True), (2, True)])
def test_both_verifiers_take_what_is_signed(log: int, tsa: bool, sigstore: Sigstore) -> None:
    """A statement signed by the package is a bundle v0.3 that `sigstore` and Lockgate read alike, in both logs."""
    made = holder(sigstore, log=log, tsa=tsa).bundle(STATEMENT)

    trust = Trust(
        keys=(), development_key_allowed=False, identities=(RELEASE,), root=trusted(sigstore)
    )
    assert verify_artifact(made, SUBJECT, trust) == RELEASE
    config = ClientTrustConfig.from_json(json.dumps(sigstore.config()))
    verifier = Verifier(trusted_root=config.trusted_root)
    read = Bundle.from_json(made)
    _, payload = verifier.verify_dsse(read, policy.Identity(identity=WORKFLOW, issuer=ISSUER))
    assert payload == STATEMENT
    with pytest.raises(VerificationError):
        verifier.verify_dsse(read, policy.Identity(identity=WORKFLOW + "x", issuer=ISSUER))
    assert json.loads(made)["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert len(sigstore.requests) == 2 + tsa


def test_one_certificate_serves_every_statement(sigstore: Sigstore) -> None:
    """The identity is certified once; each statement is stamped and logged."""
    signer = holder(sigstore)
    first, second = signer.bundle(STATEMENT), signer.bundle(STATEMENT)

    assert first != second
    assert signer.identity == Identity(WORKFLOW, ISSUER)
    assert sigstore.requests.count("/api/v2/signingCert") == 1
    assert sigstore.requests.count("/api/v2/log/entries") == 2


def test_an_image_is_attested_and_verified(sigstore: Sigstore, tmp_path: Path) -> None:
    """The five statements as referrers, no older form, and `verify` trusts the identity and nobody else."""
    world = make_world(tmp_path)

    signed = world.sign(holder(sigstore))

    assert [one.predicate_type for one in signed.statements] == list(predicate.ORDER[:5])
    assert signed.identity == WORKFLOW
    assert all(one.new and one.manifest and not one.layer for one in signed.statements)
    assert len(referrers.listed(world.layout, world.image.subject)) == 5
    assert not [name for name in world.layout.tags() if name.endswith((".sig", ".att"))]
    assert attest.present(signed, world.layout)

    def met(*identities: Identity) -> bool:
        return verify(
            world.layout,
            world.image.subject,
            default_requirement("prod", world.threshold),
            (),
            name="prod",
            now=NOW,
            development_key_allowed=False,
            identities=identities,
            trusted_root=trusted(sigstore),
        ).met

    assert met(RELEASE)
    assert not met(Identity(WORKFLOW, "https://other.example"))
    assert not met(Identity("https://ci.example/shop/other", ISSUER))


# --- what goes wrong


def refusal(status: int, words: str) -> Callable[[], Any]:
    """Return an answer that is none."""

    def refuse() -> Any:
        raise Refused(status, words)

    return refuse


CERTIFICATE, LOG, STAMP = "/api/v2/signingCert", "/api/v2/log/entries", "/api/v1/timestamp"


def other_certificate(sigstore: Sigstore) -> Any:
    """Return somebody else's certificate, for a key that is not the one asked for."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    instance = sigstore.instance
    made = instance.certificate(ec.generate_private_key(ec.SECP256R1()))
    chain = [
        one.public_bytes(Encoding.PEM).decode()
        for one in (made, instance.fulcio.certificate, instance.fulcio.root)
    ]
    return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}


@pytest.mark.parametrize(
    ("path", "answer", "error", "message"),
    [
        (CERTIFICATE, refusal(401, "no"), KeyRefused, r"refuses the identity token \(HTTP 401\)"),
        (CERTIFICATE, refusal(500, "no"), RemoteError, r"refuses \(HTTP 500\)"),
        (CERTIFICATE, dict, ToolError, "FulcioClientError"),
        (CERTIFICATE, lambda: b"<html>", SignatureInvalid, "proves nothing: JSONDecodeError"),
        (LOG, refusal(503, "later"), RemoteError, r"refuses \(HTTP 503\): RekorClientError"),
        (LOG, refusal(400, "no"), RemoteError, r"refuses \(HTTP 400\)"),
        (LOG, dict, ToolError, "`sigstore` failed"),
        (LOG, lambda: b"<html>", SignatureInvalid, "proves nothing: JSONDecodeError"),
        # The package goes on without a timestamp; nobody then says when it was signed.
        (
            STAMP,
            refusal(500, "no"),
            SignatureInvalid,
            "must contain an inclusion promise or signed",
        ),
        (STAMP, lambda: b"x", SignatureInvalid, "must contain an inclusion promise or signed"),
    ],
)
def test_a_service_that_refuses_is_an_error(
    path: str,
    answer: Callable[[], Any],
    error: type[LockgateError],
    message: str,
    sigstore: Sigstore,
) -> None:
    """Each service in turn: the kind of error says whose fault it is, and there is a hint."""
    sigstore.spoil = lambda asked, real: answer() if asked == path else real
    with pytest.raises(error, match=message) as caught:
        holder(sigstore).bundle(STATEMENT)

    assert caught.value.hint
    if isinstance(caught.value, RemoteError):
        assert caught.value.retryable == ("400" not in message)


@pytest.mark.parametrize("what", ["certificate", "entry", "timestamp", "promise"])
def test_what_proves_nothing_is_not_stored(what: str, sigstore: Sigstore, tmp_path: Path) -> None:
    """A service that answers with something else than it was asked for: nothing reaches the store."""
    known = sigstore.instance.entry(
        {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {}}, tiles=True
    )
    lies: dict[str, tuple[str, Callable[[], Any]]] = {
        "certificate": (CERTIFICATE, lambda: other_certificate(sigstore)),
        "entry": (LOG, lambda: known),
        "timestamp": (STAMP, lambda: sigstore.instance.timestamp(b"another signature")),
        "promise": (
            LOG,
            lambda: {**known, "canonicalizedBody": "e30="},
        ),
    }
    path, answer = lies[what]
    sigstore.spoil = lambda asked, real: answer() if asked == path else real
    world = make_world(tmp_path)

    with pytest.raises(SignatureInvalid) as caught:
        world.sign(holder(sigstore))

    assert caught.value.hint
    assert not referrers.listed(world.layout, world.image.subject)


def test_a_token_of_another_issuer_is_refused(sigstore: Sigstore) -> None:
    """The authority does not know who signed the token: exit 4, and the token is not in the message."""
    with Sigstore() as other:
        token = other.token()
    with pytest.raises(KeyRefused, match=r"refuses the identity token \(HTTP 401\)") as caught:
        holder(sigstore, token).bundle(STATEMENT)
    assert token not in caught.value.message + caught.value.hint


def test_an_instance_that_is_gone_is_an_error() -> None:
    """Nobody listens: exit 5, and again may help."""
    with Sigstore() as gone:
        signer = holder(gone)
    with pytest.raises(RemoteError, match="is out of reach") as caught:
        signer.bundle(STATEMENT)
    assert (caught.value.exit_code, caught.value.retryable) == (5, True)


def test_an_instance_that_is_silent_is_given_up(sigstore: Sigstore) -> None:
    """The package would wait for ever; the run does not."""
    asked, go_on = threading.Event(), threading.Event()

    def silent(_: str, real: Any) -> Any:
        asked.set()
        go_on.wait(120)
        return real

    sigstore.spoil = silent
    with pytest.raises(RemoteError, match="did not answer within 1 s"):
        holder(sigstore, patience=1).bundle(STATEMENT)
    # On a busy machine the package gets to ask only after that second.
    assert asked.wait(60)
    go_on.set()


def test_statements_are_about_the_image(sigstore: Sigstore) -> None:
    """What was signed is what was given, byte for byte."""
    made = json.loads(holder(sigstore).bundle(STATEMENT))
    import base64

    payload = base64.b64decode(made["dsseEnvelope"]["payload"])
    assert Digest.of(payload) == Digest.of(STATEMENT)
