"""Keyless signing, as far as it gets without an instance: settings, tokens, and what is missing."""

from __future__ import annotations

import base64
import importlib.util
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import KeyRefused, RemoteError, ToolError, ToolMissing, UsageError
from lockgate.oci.layout import Layout
from lockgate.sign import writing
from lockgate.sign.keyless import signer
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.signer import TOKEN, KeylessSigner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ISSUER = "https://token.actions.githubusercontent.com"
SUBJECT = "repo:shop/app:ref:refs/heads/main"
CONFIG = {"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"}


def token(claims: object) -> str:
    """Return an identity token with these claims, signed by nobody."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"


def named(claims: object, config: bytes = b"{}") -> KeylessSigner:
    """Return a signer with such a token."""
    return KeylessSigner(config, environ={TOKEN: token(claims)})


def test_the_token_says_who_asks() -> None:
    """Issuer and subject; of an issuer who knows people by their mail address, that."""
    assert named({"iss": ISSUER, "sub": SUBJECT}).claimed() == Identity(SUBJECT, ISSUER)
    people = {"iss": "https://accounts.google.com", "sub": "1234", "email": "a@shop.example"}
    assert named(people).claimed() == Identity("a@shop.example", people["iss"])
    other = {"iss": "https://other.example", "sub": "1234", "email": "a@shop.example"}
    assert named(other).claimed() == Identity("1234", other["iss"])


def test_the_fingerprint_is_of_who_asks_and_where() -> None:
    """It is what a run is remembered by: another subject, issuer or instance is another; a new token is not."""
    same = [named({"iss": ISSUER, "sub": SUBJECT, "exp": when}) for when in (1, 2)]
    others = [
        named({"iss": ISSUER, "sub": "repo:shop/app:ref:refs/heads/dev"}),
        named({"iss": "https://other.example", "sub": SUBJECT}),
        named({"iss": ISSUER, "sub": SUBJECT}, config=b"{ }"),
    ]

    assert same[0].fingerprint == same[1].fingerprint
    assert len({one.fingerprint for one in (*same, *others)}) == 4
    assert all(len(one.fingerprint) == 64 for one in others)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.b",
        "a.!!!.c",
        "a.bm90IGpzb24.c",
        token([]),
        token({}),
        token({"iss": ISSUER}),
        token({"iss": ISSUER, "sub": 7}),
        token({"iss": "", "sub": SUBJECT}),
        token({"iss": [], "sub": SUBJECT}),
        token({"iss": ISSUER, "sub": SUBJECT}) + ".d",
        "ä.ä.ä",
    ],
)
def test_a_token_that_is_none_is_refused(text: str) -> None:
    """Nobody is guessed at, and the token itself is not in the message."""
    with pytest.raises(KeyRefused, match="the identity token is none") as caught:
        KeylessSigner(b"{}", environ={TOKEN: text}).claimed()

    assert TOKEN in caught.value.hint
    assert len(text) < 5 or text not in str(caught.value)


@given(st.text(max_size=60))
def test_any_token_is_an_identity_or_refused(text: str) -> None:
    """Whatever stands in the variable."""
    holder = KeylessSigner(b"{}", environ={TOKEN: text or "x"})
    with pytest.raises(KeyRefused):
        holder.claimed()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that is no CI system."""
    for name in (
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "BUILDKITE",
        "CIRCLECI",
        "GOOGLE_SERVICE_ACCOUNT_NAME",
        TOKEN,
    ):
        monkeypatch.delenv(name, raising=False)
    # Google's machines are known by a file of the kernel.
    monkeypatch.setattr("id._internal.oidc.ambient._GCP_PRODUCT_NAME_FILE", str(tmp_path / "none"))


@pytest.mark.usefixtures("nowhere")
def test_no_token_is_refused() -> None:
    """Neither a variable nor a CI system that gives one: exit 4, and both ways are named."""
    holder = KeylessSigner(json.dumps(CONFIG).encode(), environ={})
    for call in (holder.claimed, lambda: holder.bundle(b"{}")):
        with pytest.raises(KeyRefused, match="identity token, and there is none") as caught:
            call()
        assert caught.value.exit_code == 4
        assert "id-token: write" in caught.value.hint
        assert TOKEN in caught.value.hint


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "sigstore", "exp": 1, "iat": 0},
        {"aud": "other", "exp": 4102444800, "iat": 0},
        {"exp": 4102444800, "iat": 0},
    ],
)
def test_a_token_that_cannot_be_used_is_refused(claims: dict[str, Any]) -> None:
    """One that has ended, or is for somebody else than Sigstore: exit 4 before anybody is asked."""
    with pytest.raises(KeyRefused, match="the identity token cannot be used"):
        named({"iss": ISSUER, "sub": SUBJECT, **claims}).bundle(b"{}")


def test_the_package_is_asked_for_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 6, with the command that installs it; who asks is known without it."""
    real: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "sigstore" else real(name, *a)
    )
    holder = named({"iss": ISSUER, "sub": SUBJECT})

    with pytest.raises(ToolMissing, match="the package `sigstore`") as caught:
        holder.bundle(b"{}")
    with pytest.raises(ToolMissing):
        KeylessSigner(b"", environ={}).claimed()

    assert "-m pip install 'sigstore>=4'" in caught.value.hint
    assert holder.claimed().subject == SUBJECT


def test_a_configuration_that_is_none_is_an_error() -> None:
    """What the package cannot read: exit 6, nothing is signed."""
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "sigstore", "exp": 4102444800, "iat": 0}
    with pytest.raises(ToolError, match="`sigstore` failed"):
        named(claims, config=json.dumps(CONFIG).encode()).bundle(b"{}")


def test_patience_ends() -> None:
    """An instance that does not answer: exit 5, and again may help."""
    never = threading.Event()
    with pytest.raises(RemoteError, match="did not answer within 0 s") as caught:
        signer._within(0.01, never.wait)
    never.set()

    assert caught.value.retryable


# --- settings


def test_keyless_stands_for_a_key(tmp_path: Path) -> None:
    """`keyless` is the public instance, `keyless://PATH` another; nothing else is taken for one of them."""
    (tmp_path / "sigstore.json").write_text(json.dumps(CONFIG))

    for spec in ("keyless", "keyless://sigstore.json"):
        assert signer.matches(spec)
        assert not signer.load(spec, root=tmp_path, environ={}).development
    assert not any(signer.matches(one) for one in ("", "keyless.key", "keys/keyless", "vault://k"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "not readable as JSON"),
        ("[]", "is no client trust configuration"),
        (
            '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
            "is no client",
        ),
        (" " * (signer.MAX_BYTES + 1), "is no client trust configuration"),
    ],
)
def test_a_configuration_is_a_file_of_its_type(
    content: str | None, message: str, tmp_path: Path
) -> None:
    """Anything else is refused where it is named, and not when it is used."""
    if content is not None:
        (tmp_path / "sigstore.json").write_text(content)
    with pytest.raises(KeyRefused, match=message) as caught:
        signer.load("keyless://sigstore.json", root=tmp_path, environ={})
    assert "`keyless` alone is the public instance" in caught.value.hint


def test_there_is_no_legacy_form(tmp_path: Path) -> None:
    """Asked for the older form alone, nothing is signed: exit 2. With both, bundles are what can be written."""
    layout = Layout.create(tmp_path / "store")
    holder = named({"iss": ISSUER, "sub": SUBJECT})
    with pytest.raises(UsageError, match="no legacy form"):
        writing.open_writer(layout, "sha256:" + "0" * 64, holder, ["legacy"])
    with pytest.raises(UsageError, match="no format"):
        writing.open_writer(layout, "sha256:" + "0" * 64, holder, ["bundle", "other"])
    writer = writing.open_writer(layout, "sha256:" + "0" * 64, holder, writing.FORMATS)
    assert isinstance(writer, writing.KeylessWriter)
