"""`inv sign` with `key: keyless`, from the settings to what `inv verify` says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.sigstore_instance import ISSUER, WORKFLOW, Sigstore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.conftest import Mini

TOKEN = "SIGSTORE_ID_TOKEN"


@pytest.fixture
def sigstore() -> Iterator[Sigstore]:
    """An instance on loopback."""
    with Sigstore() as running:
        yield running


@pytest.fixture
def keyless(built_mini: Mini, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch) -> Mini:
    """A repository whose `dev` signs keyless with that instance, and trusts the workflow that has the token."""
    (built_mini.path / "sigstore.json").write_text(json.dumps(sigstore.config()))
    (built_mini.path / "root.json").write_text(json.dumps(sigstore.instance.root()))
    built_mini.settings(
        "  dev: {",
        "  dev: {key: 'keyless://sigstore.json', trusted_root: root.json,\n"
        f"        identities: [{{name: release, subject: '{WORKFLOW}', issuer: '{ISSUER}'}}],\n        ",
    )
    monkeypatch.setenv(TOKEN, sigstore.token())
    return built_mini


def test_what_is_signed_keyless_is_trusted(keyless: Mini, sigstore: Sigstore) -> None:
    """Signed for both components, said by whom, verified by the identity and without a key; then unchanged."""
    signed = keyless.inv("sign")
    verified = keyless.inv("verify")
    asked = len(sigstore.requests)
    again = keyless.inv("sign")

    assert signed.code == 0, signed.err
    assert signed.err.count(f"with identity {WORKFLOW}") == 2
    assert verified.code == 0, verified.out + verified.err
    assert verified.out.count(f"signature   ok        identity {WORKFLOW}") == 2
    assert again.code == 0
    assert again.err.count("unchanged") == 2
    assert again.err.count(f"identity {WORKFLOW}") == 2
    assert len(sigstore.requests) == asked


def test_the_plan_names_who_would_sign(keyless: Mini, sigstore: Sigstore) -> None:
    """Whom the token names, and nobody is asked."""
    answer = keyless.inv("sign", "-c", "web", "--plan")

    assert answer.code == 0, answer.err
    assert f"with identity {WORKFLOW}, as {ISSUER} has it" in answer.err
    assert sigstore.requests == []


def test_the_record_names_the_identity(keyless: Mini) -> None:
    """`--json` prints whom the certificate names."""
    answer = keyless.inv("sign", "-c", "web", "--json")

    assert json.loads(answer.out)["identity"] == WORKFLOW


def test_somebody_else_signs_and_is_not_trusted(
    keyless: Mini, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another workflow's token is another run; `verify` refuses it with exit 4 and says who it was."""
    # What the development key signed before is not trusted either; of whom a certificate names more is said.
    monkeypatch.setenv(TOKEN, sigstore.token("https://ci.example/other.yml@refs/heads/x"))

    assert keyless.inv("sign", "-c", "web").code == 0
    answer = keyless.inv("verify", "-c", "web")

    assert answer.code == 4
    assert "other.yml" in answer.out


def test_a_key_that_does_not_last_is_trusted_by_name_alone(keyless: Mini) -> None:
    """`key: keyless` without `identities` trusts nobody: exit 4, with the settings to add."""
    text = (keyless.path / "lockgate.yaml").read_text()
    cut = (
        text[: text.index("        identities")]
        + text[text.index("}]", text.index("identities")) + 3 :]
    )
    (keyless.path / "lockgate.yaml").write_text(cut)

    answer = keyless.inv("verify", "-c", "web")

    assert answer.code == 4
    assert "dev trusts no key" in answer.err
    assert "`identities`" in answer.err


def test_no_token_is_a_clear_refusal(keyless: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop without a token: exit 4, and how to get one."""
    monkeypatch.delenv(TOKEN)

    answer = keyless.inv("sign", "-c", "web")

    assert answer.code == 4
    assert "keyless signing needs an identity token, and there is none" in answer.err
    assert f"set `{TOKEN}`" in answer.err


def test_a_configuration_that_is_not_there(keyless: Mini) -> None:
    """`keyless://PATH` of no file: exit 4, its path and what it should be."""
    (keyless.path / "sigstore.json").unlink()

    answer = keyless.inv("sign", "-c", "web")

    assert answer.code == 4
    assert "sigstore.json cannot be read" in answer.err
    assert "`keyless` alone is the public instance" in answer.err
