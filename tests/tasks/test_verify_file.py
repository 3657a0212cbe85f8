"""`inv verify.file`: Sigstore's own conformance cases, each by file and by digest, and what a person gets wrong.

The cases are files of sigstore/sigstore-conformance; `tests/assets/sigstore-conformance/README.md` says which. Its
runner tries each of 70 twice and counts 140; here each goes through the same command, in this process.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from invoke.program import Program
from tests.unit.sign.keyless.instance import ISSUER, SUBJECT, Instance, Made
from tests.unit.sign.world import make_signer

from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, statement
from lockgate.tasks import namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    Inv = Callable[..., "Answer"]

ASSETS = Path(__file__).parents[1] / "assets" / "sigstore-conformance"
PUBLIC_ROOT = ASSETS / "public_good_trusted_root.json"
CASES = sorted(one for one in (ASSETS / "bundle-verify").iterdir() if one.is_dir())

BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/"
    "workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
GITHUB = "https://token.actions.githubusercontent.com"
"""Who signed the cases that do not say otherwise (bundle-verify/README.md)."""

WHY = {
    "bundle-empty-certificate-chain": "bundle is not valid",
    "bundle-from-wrong-instance": "of a log that is not trusted here",
    "bundle-invalid-base64-signature": "base64",
    "bundle-malformed-json": "not readable as JSON",
    "bundle-negative-log-index": "no proof that it is in the log",
    "bundle-unknown-version": "version=99.9",
    "bundle-with-root-cert": "bundle is not valid",
    "checkpoint-bad-keyhint": "not signed by its log",
    "checkpoint-wrong-roothash": "another state of the log",
    "dsse-invalid-sig": "does not verify with key",
    "dsse-mismatch-envelope": "about something else",
    "dsse-mismatch-sig": "about something else",
    "inclusion-proof-corrupted-hash": "not in the log",
    "incorrect-public-key": "not in the log",
    "integrated-time-in-future": "not valid at 2026",
    "intoto-expired-certificate": "not valid at 2023",
    "intoto-log-entry-mismatch": "about something else",
    "intoto-missing-inclusion-proof": "no proof that it is in the log",
    "intoto-set-outside-signing-cert-validity": "not valid at 2023",
    "intoto-tsa-timestamp-outside-cert-validity": "not valid at 2023",
    "invalid-checkpoint-signature": "does not verify with key",
    "invalid-ct-key": "in no log of certificates",
    "invalid-inclusion-proof": "bundle is not valid",
    "managed-key-no-key": "a key that is not trusted here",
    "managed-key-wrong-key": "a key that is not trusted here",
    "message-digest-mismatch": "of another file",
    "rekor2-checkpoint-missing-log-signature": "a checkpoint is not one",
    "rekor2-checkpoint-missing-origin": "a checkpoint is not one",
    "rekor2-checkpoint-missing-root-hash": "a checkpoint is not one",
    "rekor2-checkpoint-missing-size": "a checkpoint is not one",
    "rekor2-checkpoint-no-matching-signature": "does not verify with key",
    "rekor2-dsse-invalid-sig": "does not verify with key",
    "rekor2-dsse-mismatch-envelope": "about something else",
    "rekor2-dsse-mismatch-sig": "about something else",
    "rekor2-no-inclusion-proof": "no proof that it is in the log",
    "rekor2-no-timestamp": "nobody who is trusted says when",
    "rekor2-timestamp-outside-trust-root-tsa-validity": "when its authority was not trusted",
    "rekor2-timestamp-outside-tsa-cert-validity": "not valid at 2025",
    "rekor2-timestamp-payload-mismatch": "of another signature",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert": "of an authority that is not trusted",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert": "of an authority that is not trusted",
    "rekor2-timestamp-with-incorrect-time": "base64",
    "set-invalid-signature": "does not verify with key",
    "signature-mismatch": "does not verify with key",
    "trust-root-tlog-missing-validity-start": "missing required field `start`",
    "wrong-hashedrekord-artifact": "about something else",
    "wrong-hashedrekord-cert-and-sig": "about something else",
    "wrong-hashedrekord-entry": "about something else",
    "wrong-material": "of another file",
}
"""What is said of each case that is refused: for another reason it would prove little.

Three have an inclusion proof without a checkpoint, as bundles 0.1 may, which is refused before what they are about: an
empty chain, a root in the chain, a wrong proof. Those have tests of their own in `unit/sign/keyless/test_keyless.py`. The
timestamp whose base64 is broken has one below."""

FILE = b"a program"


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def inv(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inv:
    """Call with arguments to run `inv`, in a folder that is no repository."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        program = Program(namespace=namespace(), binary_names=["inv"])
        try:
            program.run(["inv", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        return Answer(code, *capsys.readouterr())

    return run


# --- the suite


def test_the_assets_are_those_that_are_listed() -> None:
    """Every file has the digest in `SHA256SUMS`, and there is no other: 70 cases, byte for byte as they were taken."""
    listed = {
        name: digest
        for digest, name in (
            line.split("  ", 1) for line in (ASSETS / "SHA256SUMS").read_text().splitlines()
        )
    }
    own = {"README.md", "LICENSE", "SHA256SUMS"}
    found = {
        name: hashlib.sha256(one.read_bytes()).hexdigest()
        for one in ASSETS.rglob("*")
        if one.is_file() and (name := str(one.relative_to(ASSETS))) not in own
    }

    assert found == listed
    assert len(CASES) == 70
    assert "Apache License" in (ASSETS / "LICENSE").read_text()


def text(case: Path, name: str, default: str) -> str:
    """Return what a case says, or what the suite says for all."""
    path = case / name
    return path.read_text().strip() if path.exists() else default


@pytest.mark.parametrize("named_by", ["file", "digest"])
@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_a_conformance_case(case: Path, named_by: str, inv: Inv) -> None:
    """A bundle whose case ends in `_fail` is refused with exit 4 and a hint; every other one is taken."""
    own, key = case / "trusted_root.json", case / "key.pub"
    file = case / "artifact" if (case / "artifact").exists() else case.parent / "a.txt"
    if key.exists():
        who = ["--key", str(key)]
    else:
        root = own if own.exists() else PUBLIC_ROOT
        who = [
            *("--identity", text(case, "identity", BEACON)),
            *("--issuer", text(case, "issuer", GITHUB)),
            *("--trusted-root", str(root)),
        ]
    subject = str(file) if named_by == "file" else Digest.of(file.read_bytes())

    answer = inv("verify.file", subject, "--bundle", str(case / "bundle.sigstore.json"), *who)

    if case.name.endswith("_fail"):
        assert (answer.code, answer.out) == (4, "")
        assert WHY[case.name.removesuffix("_fail")] in answer.err
        assert "  hint: " in answer.err
    else:
        assert (answer.code, answer.err.count("hint")) == (0, 0)
        assert answer.out.startswith("signature   ok        ")


def test_a_timestamp_of_the_wrong_time_is_refused_for_that(inv: Inv, tmp_path: Path) -> None:
    """One case breaks its base64 into lines, which alone is refused; written as it should be, its time still is."""
    case = ASSETS / "bundle-verify" / "rekor2-timestamp-with-incorrect-time_fail"
    content = json.loads((case / "bundle.sigstore.json").read_bytes())
    stamps = content["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps[0]["signedTimestamp"] = "".join(stamps[0]["signedTimestamp"].split())
    (tmp_path / "mended.json").write_text(json.dumps(content))
    who = ("--identity", text(case, "identity", BEACON), "--issuer", text(case, "issuer", GITHUB))
    root = ("--trusted-root", str(case / "trusted_root.json"))

    answer = inv("verify.file", str(case.parent / "a.txt"), "--bundle", "mended.json", *who, *root)

    assert (answer.code, answer.out) == (4, "")
    assert "a certificate was not valid at 2025-0" in answer.err


# --- what a person asks


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A file with a bundle beside it, signed by an identity, and the trusted root in `root.json`."""
    instance = Instance()
    place = tmp_path / "tool"
    place.write_bytes(FILE)
    made = Made(instance, FILE, kind="hashedrekord 0.0.1", envelope=False)
    (tmp_path / "tool.sigstore.json").write_bytes(made.data())
    (tmp_path / "root.json").write_text(json.dumps(instance.root()))
    return place


IDENTITY = ("--identity", SUBJECT, "--issuer", ISSUER, "--trusted-root", "root.json")


def test_the_bundle_beside_the_file_is_taken(signed: Path, inv: Inv) -> None:
    """Without `--bundle` it is FILE.sigstore.json; who signed is said, and who knows them."""
    answer = inv("verify.file", "tool", *IDENTITY)

    assert answer.out == f"signature   ok        identity {SUBJECT}, as {ISSUER} has it\n"
    assert answer.err == f"verify   tool  {Digest.of(FILE).short}\n"


def test_the_record_alone_is_printed(signed: Path, inv: Inv) -> None:
    """`--json` prints digest, signer and issuer."""
    answer = inv("verify.file", "tool", *IDENTITY, "--json")

    assert json.loads(answer.out) == {
        "subject": Digest.of(FILE),
        "signer": f"identity {SUBJECT}",
        "issuer": ISSUER,
        "fingerprint": hashlib.sha256(f"{ISSUER}\0{SUBJECT}".encode()).hexdigest(),
    }


def test_a_statement_by_a_key_is_taken(inv: Inv, tmp_path: Path) -> None:
    """A bundle that holds a statement about the file, signed with a key from the environment or a path."""
    signer = make_signer("maker")
    (tmp_path / "tool").write_bytes(FILE)
    (tmp_path / "maker.pub").write_bytes(signer.public_key().pem())
    payload = statement.build(
        name="tool", digest=Digest.of(FILE), predicate_type="https://x/v1", predicate=b"{}"
    )
    made = bundle.build(payload, signer.sign(dsse.pae(payload)), signer.public_key().hint)
    (tmp_path / "tool.sigstore.json").write_bytes(made)

    answer = inv("verify.file", "tool", "--key", "maker.pub")

    assert answer.out == f"signature   ok        key {signer.public_key().short} (maker)\n"


def test_a_changed_file_is_refused(signed: Path, inv: Inv) -> None:
    """One more byte: exit 4, and nothing on stdout."""
    signed.write_bytes(FILE + b"x")

    answer = inv("verify.file", "tool", *IDENTITY)

    assert (answer.code, answer.out) == (4, "")
    assert "a bundle is of another file" in answer.err


def test_another_identity_is_refused(signed: Path, inv: Inv) -> None:
    """The right workflow as another issuer has it is somebody else."""
    answer = inv("verify.file", "tool", *IDENTITY[:3], "https://other.example", *IDENTITY[4:])

    assert (answer.code, answer.out) == (4, "")
    assert "who is not trusted here" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "either a key or an identity"),
        ((*IDENTITY, "--key", "k.pub"), 2, "either a key or an identity"),
        (("--identity", SUBJECT), 2, "an issuer who says so"),
        (("--issuer", ISSUER), 2, "an issuer who says so"),
        (IDENTITY[:4], 2, "without a trusted root"),
        ((*IDENTITY[:5], "gone.json"), 2, "gone.json cannot be read: No such file"),
        ((*IDENTITY[:5], "tool"), 4, "tool is not readable as JSON"),
        (("--key", "gone.pub"), 4, "gone.pub cannot be read"),
        (("--key", "tool"), 4, "public key tool holds no key in PEM form"),
        ((*IDENTITY, "--bundle", "gone"), 2, "gone cannot be read: No such file"),
        ((*IDENTITY, "--bundle", "."), 2, ". cannot be read: Is a directory"),
        ((*IDENTITY, "--bundle", "tool"), 4, "bundle is not readable as JSON"),
    ],
)
def test_what_is_missing_is_named(
    arguments: tuple[str, ...], code: int, message: str, signed: Path, inv: Inv
) -> None:
    """Whoever leaves it open who must have signed is told what to add, and nothing is taken for good."""
    answer = inv("verify.file", "tool", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert "  hint: " in answer.err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone", "gone cannot be read: No such file"),
        ("sha256:abc", "'sha256:abc' is not a digest"),
        ("sha256:" + "0" * 64, "a digest does not say where the bundle of its file is"),
    ],
)
def test_a_file_that_is_none_is_named(file: str, message: str, signed: Path, inv: Inv) -> None:
    """No such file, no digest, and a digest without a bundle: exit 2."""
    answer = inv("verify.file", file, *IDENTITY)

    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
