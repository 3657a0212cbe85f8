"""Keyless bundles: what makes one good, and every way in which it is not."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sign.keyless.conftest import RELEASE, STATEMENT, parsed
from tests.unit.sign.keyless.instance import (
    HOUR,
    ISSUER,
    NOW,
    PLAIN_RSA,
    SHA1,
    SUBJECT,
    Authority,
    Instance,
    Made,
    attribute,
    authority,
    b64,
    log_id,
    pae,
    raw,
    sign,
    signature_line,
    tlv,
)

from lockgate.base.errors import KeyRefused, LockgateError, SignatureInvalid
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.verify import verify_envelope, verify_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.sign.keyless.trusted_root import TrustedRoot

KINDS = ("dsse 0.0.1", "intoto 0.0.2", "hashedrekord 0.0.2")

DIGEST = hashlib.sha256(STATEMENT).digest()


def refused(made: Made, root: TrustedRoot, why: str = ".") -> None:
    """Check that a bundle proves nothing, for this reason."""
    with pytest.raises(SignatureInvalid, match=why) as caught:
        verify_envelope(made.data(), root, [RELEASE])
    assert caught.value.hint


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_good_bundle_is_believed(
    kind: str, stamped: bool, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """Every kind of entry, with the log's own time or with a timestamp or with both."""
    made = make(kind=kind, stamped=stamped)
    found = verify_envelope(made.data(), root, [RELEASE])
    assert (found.payload, found.signature, found.identity) == (STATEMENT, made.signature, RELEASE)


@pytest.mark.parametrize("kind", ["hashedrekord 0.0.1", "hashedrekord 0.0.2"])
def test_a_signed_file_is_believed(kind: str, make: Callable[..., Made], root: TrustedRoot) -> None:
    """A signature of a file by its digest; another file is another."""
    made = make(kind=kind, envelope=False)
    assert verify_message(made.data(), DIGEST, root, [RELEASE]) == RELEASE
    with pytest.raises(SignatureInvalid, match="another file"):
        verify_message(made.data(), hashlib.sha256(b"x").digest(), root, [RELEASE])
    del made.bundle["messageSignature"]["messageDigest"]
    with pytest.raises(SignatureInvalid, match="does not verify"):
        verify_message(made.data(), hashlib.sha256(b"x").digest(), root, [RELEASE])


def test_the_two_are_not_mixed(make: Callable[..., Made], root: TrustedRoot) -> None:
    """A statement is no signature of a file, and a signature of a file is no statement."""
    with pytest.raises(SignatureInvalid, match="holds a statement"):
        verify_message(make().data(), DIGEST, root, [RELEASE])
    refused(make(kind="hashedrekord 0.0.1", envelope=False), root, "DSSE envelope")


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_older_bundles_are_read(
    version: str, make: Callable[..., Made], root: TrustedRoot, instance: Instance
) -> None:
    """They hold a chain; what stands behind the signer's certificate is not looked at, and no root may be there."""
    made = make()
    single = made.material.pop("certificate")
    made.bundle["mediaType"] = f"application/vnd.dev.sigstore.bundle+json;version={version}"
    chain = [single, {"rawBytes": b64(raw(instance.fulcio.certificate))}]
    made.material["x509CertificateChain"] = {"certificates": chain}
    assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE
    chain.append({"rawBytes": b64(raw(instance.fulcio.root))})
    refused(made, root, "root certificate")
    chain.clear()
    refused(made, root, "as its version has it")


def test_a_statement_by_ed25519_is_read(make: Callable[..., Made], root: TrustedRoot) -> None:
    """The certified key may be of any kind that keys are."""
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        made = make(key=key)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            refused(
                made, root, "does not verify"
            )  # the instance signs with SHA-256, the curve has SHA-384
        else:
            assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE


@pytest.mark.parametrize(
    "other",
    [
        Identity(SUBJECT.replace("v1", "v2"), ISSUER),
        Identity(SUBJECT, "https://accounts.example"),
        Identity(SUBJECT[:-1], ISSUER),
        Identity("", ""),
    ],
)
def test_only_who_is_trusted_is(
    other: Identity, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """Subject and issuer are compared whole; the refusal says who it was."""
    with pytest.raises(SignatureInvalid, match="not trusted here") as caught:
        verify_envelope(make().data(), root, [other])
    assert SUBJECT in caught.value.message
    with pytest.raises(SignatureInvalid, match="not trusted here"):
        verify_envelope(make().data(), root, [])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"names": []}, "for 0 subjects"),
        (
            {
                "names": [
                    x509.UniformResourceIdentifier(SUBJECT),
                    x509.UniformResourceIdentifier("https://x"),
                ]
            },
            "for 2 subjects",
        ),
        ({"names": [x509.DNSName("shop.example")]}, "of a kind"),
        ({"issuer": "", "old_issuer": ""}, "who knows its subject"),
        ({"issuer": "https://accounts.example"}, "who knows its subject"),
        ({"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]}, "for signing code"),
        ({"purposes": []}, "for signing code"),
        ({"usage": None}, "for signing code"),
        ({"ca": x509.BasicConstraints(ca=True, path_length=None)}, "for signing code"),
        ({"start": NOW + dt.timedelta(minutes=1)}, "not valid at"),
        ({"end": NOW - dt.timedelta(seconds=1)}, "not valid at"),
        ({"ct": None}, "no log of certificates"),
        ({"ct": ec.generate_private_key(ec.SECP256R1())}, "no log of certificates"),
        ({"logged": NOW - dt.timedelta(days=3650)}, "when its log was not trusted"),
        ({"by": authority("evil")}, "not issued by"),
        (
            {"more": x509.NameConstraints([x509.DNSName("shop.example")], None)},
            "critical extension that is not known",
        ),
        (
            {"more": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")},
            "critical extension that is not known",
        ),
    ],
)
def test_another_certificate_is_refused(
    changes: dict[str, Any], why: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """For nobody, for two, for something else, at another time, unlogged, or of another authority."""
    refused(make(certificate=changes), root, why)


@pytest.mark.parametrize(
    "names",
    [[x509.RFC822Name("release@shop.example")], [x509.UniformResourceIdentifier("https://shop/x")]],
)
def test_subjects_of_every_kind_are_read(
    names: list[Any], make: Callable[..., Made], root: TrustedRoot
) -> None:
    """A person's mail address, or a workflow's."""
    someone = Identity(names[0].value, ISSUER)
    made = make(certificate={"names": names, "old_issuer": ""})
    assert verify_envelope(made.data(), root, [someone]).identity == someone


def test_a_log_of_certificates_may_say_more(make: Callable[..., Made], root: TrustedRoot) -> None:
    """Extensions of its promise are signed with it."""
    made = make(certificate={"sct_extensions": b"\0\0\1\2\3"})
    assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE


def test_an_authority_that_is_itself_below_a_leaf_is_refused(
    make: Callable[..., Made], root: TrustedRoot, instance: Instance
) -> None:
    """Whoever has a certificate cannot issue one."""
    key = ec.generate_private_key(ec.SECP384R1())
    mine = instance.certificate(key)
    forged = type(instance.fulcio)(key, mine, instance.fulcio.root)
    made = make(certificate={"by": forged})
    refused(made, root, "not issued by")
    content = instance.root()
    chain = content["certificateAuthorities"][0]["certChain"]["certificates"]
    chain.insert(0, {"rawBytes": b64(raw(mine))})
    refused(made, parsed(content), "may not issue|not valid at|not issued")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"imprint": hashlib.sha256(b"another").digest()}, "of another signature"),
        ({"status": 2}, "refused to give"),
        ({"by": authority("evil")}, "not trusted here"),
        ({"key": ec.generate_private_key(ec.SECP384R1())}, "does not verify"),
        ({"named": b"another certificate"}, "names another certificate"),
        ({"message_digest": bytes(32)}, "changed after it was signed"),
        ({"time": b"20150101000000Z"}, "not trusted|not valid"),
        ({"time": b"20500101000000Z"}, "not valid at"),
        ({"time": b"2026"}, "not one"),
        ({"time": b"20261399000000Z"}, "not one"),
        ({"time": (NOW + HOUR).strftime("%Y%m%d%H%M%SZ").encode()}, "not valid at"),
        ({"kind": "1.2.3.4"}, "not a timestamp"),
        ({"data": "1.2.3.4"}, "not signed data"),
        ({"signers": 2}, "not one signer"),
        ({"signers": 0}, "not one signer"),
        ({"hash": SHA1}, "hash that is not known"),
        ({"algorithm": "1.2.3.4"}, "algorithm that is not known"),
        ({"algorithm": PLAIN_RSA}, "another algorithm than"),
        ({"ess": "2 with another hash"}, "hash that is not known"),
        ({"ess": ""}, "which certificate signed"),
        ({"more": attribute("1.2.840.113549.1.9.4", b"\x04\0")}, "stands twice"),
        ({"sid": "key", "by": authority("evil")}, "not trusted here"),
    ],
)
@pytest.mark.parametrize("kind", ["dsse 0.0.1", "hashedrekord 0.0.2"])
def test_another_timestamp_is_refused(
    kind: str, changes: dict[str, Any], why: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """A timestamp that is there must be good, also where the log has a time of its own."""
    refused(make(kind=kind, stamped=True, stamp=changes), root, why)


@pytest.mark.parametrize("form", [{"ess": "1"}, {"ess": "2 with its hash"}, {"sid": "key"}])
def test_timestamps_of_other_writers_are_read(
    form: dict[str, Any], make: Callable[..., Made], root: TrustedRoot
) -> None:
    """Both versions of the attribute, and both ways to name a signer."""
    made = make(kind="hashedrekord 0.0.2", stamp=form)
    assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE


STAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
SIGNING = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]
)


def stamped_by(
    other: Authority, make: Callable[..., Made], instance: Instance, **more: Any
) -> tuple[Made, TrustedRoot]:
    """Return a bundle with a timestamp of another authority, and a root that trusts it."""
    content = instance.root()
    chain = [{"rawBytes": b64(raw(one))} for one in (other.certificate, other.root)]
    content["timestampAuthorities"][0]["certChain"]["certificates"] = chain
    stamp = {"by": other, "key": other.key, "named": raw(other.certificate), **more}
    return make(kind="hashedrekord 0.0.2", stamp=stamp), parsed(content)


@pytest.mark.parametrize("algorithm", [PLAIN_RSA, "1.2.840.113549.1.1.11"])
def test_timestamps_by_rsa_are_read(
    algorithm: str, make: Callable[..., Made], instance: Instance
) -> None:
    """Many authorities have such a key."""
    other = authority("rsa", extension=STAMPING, key=rsa.generate_private_key(65537, 2048))
    made, root = stamped_by(other, make, instance, algorithm=algorithm)
    assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE


@pytest.mark.parametrize(
    ("extension", "critical"), [(SIGNING, True), (STAMPING, False), (None, True)]
)
def test_a_certificate_for_more_than_timestamps_is_refused(
    extension: x509.ExtendedKeyUsage | None,
    critical: bool,
    make: Callable[..., Made],
    instance: Instance,
) -> None:
    """RFC 3161: for timestamps and nothing else, and readers must not pass over that."""
    other = authority("more", extension=extension, critical=critical)
    made, root = stamped_by(other, make, instance)
    refused(made, root, "not one for timestamps")


@pytest.mark.parametrize("cut", [1, 7, 30, 100])
def test_a_timestamp_that_is_cut_off_is_refused(
    cut: int, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """Whatever is left of it."""
    made = make(stamped=True)
    (stamp,) = made.material["timestampVerificationData"]["rfc3161Timestamps"]
    stamp["signedTimestamp"] = b64(base64.b64decode(stamp["signedTimestamp"])[:-cut])
    refused(made, root, "cannot be read")


@pytest.mark.parametrize(
    "answer",
    [tlv(0x30), tlv(0x30, tlv(0x30), tlv(0x30)), tlv(0x30, tlv(0x30, b"\2\1\0")), tlv(0x04)],
)
def test_an_answer_without_a_token_is_refused(
    answer: bytes, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """An authority that gave nothing has said nothing."""
    made = make(stamped=True)
    (stamp,) = made.material["timestampVerificationData"]["rfc3161Timestamps"]
    stamp["signedTimestamp"] = b64(answer)
    refused(made, root)


def test_a_certified_key_of_another_kind_is_refused(
    make: Callable[..., Made], root: TrustedRoot
) -> None:
    """An algorithm that is not known here is said to be so, and not tried."""
    refused(make(key=ec.generate_private_key(ec.SECP521R1())), root, "of a kind that is not known")


def test_an_issuer_that_is_no_text_is_refused(make: Callable[..., Made], root: TrustedRoot) -> None:
    """What cannot be read cannot be compared."""
    for field in ("issuer", "old_issuer"):
        refused(make(certificate={field: "\udcff"}), root, "not a text|text that is none")


def test_a_subject_of_the_instances_own_kind_is_read(
    make: Callable[..., Made], root: TrustedRoot
) -> None:
    """A user's name is neither an address nor a mail address."""
    kind = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
    names = [x509.OtherName(kind, tlv(0x0C, b"someone!example"))]
    someone = Identity("someone!example", ISSUER)
    found = verify_envelope(make(certificate={"names": names}).data(), root, [someone])
    assert found.identity == someone


def test_a_time_that_is_none_is_refused(make: Callable[..., Made], root: TrustedRoot) -> None:
    """A number of seconds for which there is no date."""
    made = make()
    made.entry["integratedTime"] = str(2**62)
    made.entry["inclusionPromise"]["signedEntryTimestamp"] = made.instance.promise(made.entry)
    refused(made, root, "a time that is none")


def test_a_digest_of_another_algorithm_is_refused(
    make: Callable[..., Made], root: TrustedRoot
) -> None:
    """Only sha256 is compared."""
    made = make(kind="hashedrekord 0.0.1", envelope=False)
    made.bundle["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512"
    with pytest.raises(SignatureInvalid, match="SHA2_512"):
        verify_message(made.data(), DIGEST, root, [RELEASE])


def test_a_fraction_of_a_second_is_read(make: Callable[..., Made], root: TrustedRoot) -> None:
    """Authorities may be more exact than a second."""
    made = make(stamped=True, stamp={"time": b"20261120100000.123456789Z"})
    assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE


def test_without_a_time_nothing_is_proven(make: Callable[..., Made], root: TrustedRoot) -> None:
    """A certificate lives for minutes: without a time that someone signed, it proves nothing."""
    made = make(kind="hashedrekord 0.0.2")
    del made.material["timestampVerificationData"]
    refused(made, root, "nobody who is trusted says when")
    made = make()
    del made.entry["inclusionPromise"]
    refused(made, root, "nobody who is trusted says when")


def test_a_timestamp_twice_is_refused(make: Callable[..., Made], root: TrustedRoot) -> None:
    """Two are no more than one, and a thousand cost."""
    made = make(stamped=True)
    stamps = made.material["timestampVerificationData"]["rfc3161Timestamps"]
    stamps.append(stamps[0])
    refused(made, root, "one twice")


def first_byte(text: str) -> str:
    """Return base64 of which the first byte is another."""
    data = base64.b64decode(text)
    return b64(bytes([data[0] ^ 1]) + data[1:])


ENTRY: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another log": (lambda one: one["logId"].update(keyId=b64(bytes(32))), "not trusted"),
    "the other log": (lambda one: one["logId"].update(keyId=""), "base64"),
    "no proof": (lambda one: one.pop("inclusionProof"), "no proof"),
    "another body": (
        lambda one: one.update(canonicalizedBody=b64(b"{}")),
        "leads to another root",
    ),
    "another kind": (lambda one: one["kindVersion"].update(version="0.0.2"), "is said to be"),
    "another time": (lambda one: one.update(integratedTime="1795000000"), "does not verify"),
    "no time": (lambda one: one.update(integratedTime="0"), "does not verify"),
    "another number": (lambda one: one.update(logIndex="7"), "does not verify"),
    "a negative number": (lambda one: one.update(logIndex="-7"), "where a number belongs"),
    "a number that is none": (lambda one: one.update(logIndex="٧"), "where a number belongs"),
    "a number without end": (lambda one: one.update(logIndex="9" * 30), "where a number belongs"),
    "another promise": (
        lambda one: one["inclusionPromise"].update(
            signedEntryTimestamp=b64(sign(ec.generate_private_key(ec.SECP256R1()), b""))
        ),
        "does not verify",
    ),
}


@pytest.mark.parametrize("name", list(ENTRY))
def test_another_entry_is_refused(name: str, make: Callable[..., Made], root: TrustedRoot) -> None:
    """Each field of the entry is either signed by the log, or leads to something that is."""
    change, why = ENTRY[name]
    made = make()
    change(made.entry)
    refused(made, root, why)


PROOF: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a hash changed": (
        lambda one: one["hashes"].__setitem__(0, first_byte(one["hashes"][0])),
        "another root",
    ),
    "a hash less": (lambda one: one["hashes"].pop(), "another root"),
    "a hash more": (lambda one: one["hashes"].append(b64(bytes(32))), "too long|another root"),
    "a hash of another length": (lambda one: one["hashes"].append(b64(bytes(31))), "not one"),
    "another place": (lambda one: one.update(logIndex="0"), "another root"),
    "a place outside": (lambda one: one.update(logIndex=one["treeSize"]), "not one"),
    "another size": (lambda one: one.update(treeSize=str(int(one["treeSize"]) * 2)), "root|state"),
    "another root": (lambda one: one.update(rootHash=b64(bytes(32))), "another root"),
}


@pytest.mark.parametrize("name", list(PROOF))
@pytest.mark.parametrize("kind", ["dsse 0.0.1", "hashedrekord 0.0.2"])
def test_another_proof_is_refused(
    kind: str, name: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """The proof must lead from this entry to this root."""
    change, why = PROOF[name]
    made = make(kind=kind)
    change(made.entry["inclusionProof"])
    refused(made, root, why)


CHECKPOINT: dict[str, tuple[Callable[[str], str], str]] = {
    "without a signature": (lambda text: text.partition("\n\n")[0] + "\n\n", "line is missing"),
    "without an origin": (lambda text: text.partition("\n")[2], "how large|line is missing"),
    "without a size": (
        lambda text: "\n".join(text.split("\n")[:1] + text.split("\n")[2:]),
        "line is missing|how large",
    ),
    "without a root": (
        lambda text: "\n".join(text.split("\n")[:2] + text.split("\n")[3:]),
        "line is missing",
    ),
    "without an end": (lambda text: text[:-1], "line is missing"),
    "of another origin": (lambda text: text.replace(".example", ".evil"), "does not verify"),
    "signed by another name": (
        lambda text: text.replace("\u2014 rekor", "\u2014 other"),
        "not signed by its log",
    ),
    "of another size": (lambda text: text.replace("\n", "\n1", 1), "another state"),
    "with a size that is none": (lambda text: text.replace("\n", "\n0", 1), "how large"),
    "with a root that is short": (
        lambda text: text.replace(text.split("\n")[2], "AAAA"),
        "does not hold a root",
    ),
    "with a root that is none": (
        lambda text: text.replace(text.split("\n")[2], "####"),
        "base64",
    ),
    "with a line that is none": (lambda text: text + "signed\n", "no signature"),
    "with a signature cut off": (lambda text: text + "\u2014 x AAAA\n", "cut off"),
    "with more above the signature": (
        lambda text: text.replace("\n\n", "\nTimestamp: 1\n\n"),
        "does not verify",
    ),
}


@pytest.mark.parametrize("name", list(CHECKPOINT))
def test_another_checkpoint_is_refused(
    name: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """The log itself must have signed for this very size and root."""
    change, why = CHECKPOINT[name]
    made = make()
    place = made.entry["inclusionProof"]["checkpoint"]
    changed = change(place["envelope"])
    assert changed != place["envelope"]
    place["envelope"] = changed
    refused(made, root, why)


@pytest.mark.parametrize("kind", ["dsse 0.0.1", "hashedrekord 0.0.2"])
def test_witnesses_are_passed_over(kind: str, make: Callable[..., Made], root: TrustedRoot) -> None:
    """Lines by keys that are not known say nothing, in front and behind; the log's own line must be there."""
    made = make(kind=kind)
    place = made.entry["inclusionProof"]["checkpoint"]
    note, _, own = place["envelope"].partition("\n\n")
    name = own.split(" ")[1]
    stranger = ec.generate_private_key(ec.SECP256R1())
    lines = [signature_line(stranger, one, note) for one in ("witness.example/a", name)]
    for changed in (lines[0] + own, own + "".join(lines), lines[1] + own + lines[0]):
        place["envelope"] = f"{note}\n\n{changed}"
        assert verify_envelope(made.data(), root, [RELEASE]).identity == RELEASE
    place["envelope"] = f"{note}\n\n{''.join(lines)}"
    refused(made, root, "not signed by its log")


def test_a_bad_line_of_the_log_is_not_made_good_by_another(
    make: Callable[..., Made], root: TrustedRoot, instance: Instance
) -> None:
    """Of the log's own lines each must verify."""
    made = make()
    place = made.entry["inclusionProof"]["checkpoint"]
    bad = signature_line(ec.generate_private_key(ec.SECP256R1()), "rekor.example", "x")
    _, name, text = bad.rstrip("\n").split(" ")
    data = log_id(instance.rekor)[:4] + base64.b64decode(text)[4:]
    place["envelope"] += f"\u2014 {name} {b64(data)}\n"
    refused(made, root, "does not verify")


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_another_signature_is_refused(
    kind: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """An entry that is good in itself, of the same statement and certificate, does not vouch for this signature."""
    made = make(kind=kind)
    again = sign(made.key, pae(STATEMENT))
    made.bundle["dsseEnvelope"]["signatures"][0]["sig"] = b64(again)
    if kind == "hashedrekord 0.0.2":
        stamp = made.instance.timestamp(again)
        made.material["timestampVerificationData"]["rfc3161Timestamps"] = [
            {"signedTimestamp": b64(stamp)}
        ]
    refused(made, root, "about something else")


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_another_statement_or_certificate_is_refused(
    kind: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """What is logged must be what is in the bundle, in each of its parts."""
    other = make(b'{"other":1}', kind=kind)
    same = make(kind=kind)
    for foreign in (other, same):
        made = make(kind=kind, logged=foreign.body(kind, True))
        refused(made, root, "about something else")


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("dsse 0.0.1", {"spec": {}}, "not valid"),
        ("dsse 0.0.1", {"spec": 7}, "not valid"),
        ("intoto 0.0.2", {"spec": {"content": {}}}, "not valid"),
        ("dsse 0.0.1", {"kind": "rpm"}, "not read here"),
        ("hashedrekord 0.0.2", {"apiVersion": "0.0.3"}, "not read here"),
    ],
)
def test_a_body_that_is_not_understood_is_refused(
    kind: str, body: dict[str, Any], why: str, make: Callable[..., Made], root: TrustedRoot
) -> None:
    """A kind of entry that is not known proves nothing, however well it is logged."""
    refused(make(kind=kind, logged=body), root, why)


def test_a_file_logged_as_a_statement_is_refused(
    make: Callable[..., Made], root: TrustedRoot
) -> None:
    """An entry of one kind of signature does not vouch for the other."""
    made = make(kind="dsse 0.0.1", envelope=False)
    with pytest.raises(SignatureInvalid, match="about something else"):
        verify_message(made.data(), DIGEST, root, [RELEASE])
    refused(make(kind="hashedrekord 0.0.1"), root, "about something else")


BUNDLE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (
        lambda one: one.update(mediaType=one["mediaType"].replace("v0.3", "v0.9")),
        "is of type",
    ),
    "the form of an older version": (
        lambda one: one.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        "as its version has it",
    ),
    "no entry": (lambda one: one["verificationMaterial"].update(tlogEntries=[]), "a log entry"),
    "two entries": (
        lambda one: one["verificationMaterial"]["tlogEntries"].append(
            one["verificationMaterial"]["tlogEntries"][0]
        ),
        "2 log entries",
    ),
    "a key beside it": (
        lambda one: one["verificationMaterial"].update(publicKey={"hint": "x"}),
        "one key",
    ),
    "two signatures": (
        lambda one: one.update(messageSignature={"signature": "AAAA"}),
        "hold one signature",
    ),
    "no signature": (lambda one: one.pop("dsseEnvelope"), "hold one signature"),
    "a field that is not known": (lambda one: one.update(more=1), "unknown field"),
    "a certificate that is none": (
        lambda one: one["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
        "cannot be read",
    ),
    "another payload": (
        lambda one: one["dsseEnvelope"].update(payload=b64(b"{}")),
        "does not verify",
    ),
    "another payload type": (
        lambda one: one["dsseEnvelope"].update(payloadType="text/plain"),
        "payload is",
    ),
}


@pytest.mark.parametrize("name", list(BUNDLE))
def test_another_bundle_is_refused(name: str, make: Callable[..., Made], root: TrustedRoot) -> None:
    """What is not the form of its version is not looked at further."""
    change, why = BUNDLE[name]
    made = make()
    change(made.bundle)
    refused(made, root, why)


ROOT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no log": lambda one: one.update(tlogs=[]),
    "no authority": lambda one: one.update(certificateAuthorities=[]),
    "no log of certificates": lambda one: one.update(ctlogs=[]),
    "no timestamp authority": lambda one: one.update(timestampAuthorities=[]),
    "a log that has ended": lambda one: one["tlogs"][1]["publicKey"]["validFor"].update(
        end="2026-11-20T09:59:59Z"
    ),
    "a log that has not begun": lambda one: one["tlogs"][1]["publicKey"]["validFor"].update(
        start="2026-11-20T10:00:01Z"
    ),
    "an authority that has ended": lambda one: one["certificateAuthorities"][0]["validFor"].update(
        end="2026-11-20T09:59:59Z"
    ),
    "timestamps that have ended": lambda one: one["timestampAuthorities"][0]["validFor"].update(
        end="2026-11-20T09:59:59Z"
    ),
    "a log of certificates that has ended": lambda one: one["ctlogs"][0]["publicKey"][
        "validFor"
    ].update(end="2026-11-20T09:59:59Z"),
    "a log with another key": lambda one: one["tlogs"][1]["publicKey"].update(
        rawBytes=one["ctlogs"][0]["publicKey"]["rawBytes"]
    ),
}


@pytest.mark.parametrize("name", list(ROOT))
def test_what_is_not_in_the_root_is_not_trusted(
    name: str, make: Callable[..., Made], instance: Instance
) -> None:
    """Each part of the root is needed, and only for its time."""
    content = instance.root()
    ROOT[name](content)
    refused(make(kind="hashedrekord 0.0.2"), parsed(content))


def test_ends_of_a_time_belong_to_it(make: Callable[..., Made], instance: Instance) -> None:
    """The closed interval: a time that is exactly the beginning or the end is within."""
    content = instance.root()
    exactly = {"start": "2026-11-20T10:00:00Z", "end": "2026-11-20T10:00:00.000Z"}
    for one in (*content["certificateAuthorities"], *content["timestampAuthorities"]):
        one["validFor"] = exactly
    for one in (*content["tlogs"], *content["ctlogs"]):
        one["publicKey"]["validFor"] = exactly
    made = make(kind="hashedrekord 0.0.2")
    assert verify_envelope(made.data(), parsed(content), [RELEASE]).identity == RELEASE


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(mediaType="text/plain"),
        lambda one: one.pop("mediaType"),
        lambda one: one["tlogs"][0]["publicKey"]["validFor"].pop("start"),
        lambda one: one["tlogs"][0]["publicKey"].pop("validFor"),
        lambda one: one["tlogs"][0]["publicKey"].update(rawBytes="###"),
        lambda one: one["tlogs"][0]["publicKey"]["validFor"].update(start="yesterday"),
        lambda one: one["tlogs"][0]["publicKey"]["validFor"].update(start="2026-11-20T10:00:00"),
        lambda one: one["certificateAuthorities"][0]["certChain"].update(certificates=[]),
        lambda one: one["certificateAuthorities"][0]["certChain"]["certificates"][0].update(
            rawBytes="AAAA"
        ),
    ],
)
def test_a_root_that_lacks_something_is_refused(
    change: Callable[[dict[str, Any]], object], instance: Instance
) -> None:
    """A bound that is missing is not an open one, and half a root is none."""
    content = instance.root()
    change(content)
    with pytest.raises(KeyRefused) as caught:
        parsed(content)
    assert caught.value.hint


def test_a_log_with_a_key_of_another_kind_is_only_useless(
    make: Callable[..., Made], instance: Instance
) -> None:
    """One old RSA key in the root does not spoil the rest of it; what needs it is refused."""
    content = instance.root()
    content["tlogs"][0]["publicKey"]["rawBytes"] = b64(b"RSA")
    assert verify_envelope(make(kind="hashedrekord 0.0.2").data(), parsed(content), [RELEASE])
    refused(make(), parsed(content), "kind that is not known")


def fields(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of every text in a document."""
    if isinstance(content, dict):
        return [each for key, one in content.items() for each in fields(one, (*path, key))]
    if isinstance(content, list):
        return [each for at, one in enumerate(content) for each in fields(one, (*path, at))]
    return [path] if isinstance(content, str) else []


@pytest.fixture(scope="module")
def good(make: Callable[..., Made]) -> dict[str, dict[str, Any]]:
    """One bundle of each kind, the same in every example."""
    return {kind: make(kind=kind, stamped=True).bundle for kind in KINDS}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.sampled_from(KINDS), st.data())
def test_any_changed_bit_is_refused(
    good: dict[str, dict[str, Any]], root: TrustedRoot, kind: str, data: st.DataObject
) -> None:
    """Whichever field of a bundle changes in whichever bit, it proves nothing any more.

    Two things are signed by nobody and are read by nobody: parts of a timestamp around what is signed, and an entry's
    number where the log has signed for none. A change there may pass, and then changes nothing.
    """
    bundle = copy.deepcopy(good[kind])
    path = data.draw(st.sampled_from(fields(bundle)))
    place: Any = bundle
    for step in path[:-1]:
        place = place[step]
    before: str = place[path[-1]]
    changed = bytearray(before.encode())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    place[path[-1]] = changed.decode("utf-8", "replace")
    unread = path[-1] == "signedTimestamp" or (
        path[-2:] == (0, "logIndex") and kind == "hashedrekord 0.0.2"
    )
    found = None
    try:
        found = verify_envelope(json.dumps(bundle).encode(), root, [RELEASE])
    except LockgateError:
        return
    assert unread
    assert found == verify_envelope(json.dumps(good[kind]).encode(), root, [RELEASE])


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_one_error(content: bytes) -> None:
    """Whatever is given as a bundle, it is a refusal and no crash."""
    with pytest.raises(SignatureInvalid):
        verify_envelope(content, parsed(EMPTY), [RELEASE])


EMPTY = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
