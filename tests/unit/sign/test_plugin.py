"""Keys behind a plug-in, with a distribution that brings one."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import KeyRefused, UsageError
from lockgate.sign.keys import load, public_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.sign.keys import Signer

VAULT = """\
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from lockgate.base.errors import UsageError
from lockgate.sign import pem
from lockgate.sign.local import LocalSigner
from lockgate.sign.public_key import PublicKey

_KEY = ec.generate_private_key(ec.SECP384R1())
_PKCS8 = _KEY.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
ASKED = []


class Held:
    def __init__(self, name):
        self._name = name
        self._inner = LocalSigner(pem.Pem("PRIVATE KEY", _PKCS8, ""), what=name, name=name, password=None)

    def public_key(self):
        ASKED.append("public_key")
        if self._name == "no-key":
            return "a text"
        if self._name == "sealed":
            raise ConnectionError("vault is sealed")
        return PublicKey(self._inner.public_key().spki, self._name, self._name == "development")

    def sign(self, data):
        if self._name == "text":
            return "a text"
        if self._name == "down":
            raise TimeoutError("no answer")
        return self._inner.sign(b"other" if self._name == "wrong" else data)


def open_key(spec):
    name = spec.removeprefix("vault://")
    if name == "nobody":
        raise KeyError(name)
    if name == "typo":
        raise UsageError("there is no such key", hint="look into the vault")
    return Held(name)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call to install a distribution with one entry point."""

    def install(distribution: str = "acme-vault", value: str = "acme_vault:open_key") -> None:
        site = tmp_path / distribution
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[lockgate.signers]\nvault = {value}\n")
        (site / "acme_vault.py").write_text(VAULT)
        monkeypatch.syspath_prepend(site)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "acme_vault", raising=False)

    return install


def vault(name: str, tmp_path: Path) -> Signer:
    """Return the signer of a key in the vault."""
    return load(f"vault://{name}", root=tmp_path, environ={}, ask=None)


def test_a_plugin_signs(install: Callable[..., None], tmp_path: Path) -> None:
    """The entry point's name is the scheme; its function gets the whole setting."""
    install()
    signer = vault("release", tmp_path)
    signer.public_key().verify(signer.sign(b"data"), b"data")
    assert (signer.public_key().name, signer.development) == ("release", False)
    assert signer.fingerprint == signer.public_key().fingerprint


def test_a_plugin_gives_a_public_key(install: Callable[..., None], tmp_path: Path) -> None:
    """What signs can be trusted under the same name."""
    install()
    (found,) = public_keys(["vault://release"], root=tmp_path)
    assert found.spki == vault("release", tmp_path).public_key().spki


def test_the_service_is_asked_once(install: Callable[..., None], tmp_path: Path) -> None:
    """A public half is fetched once, however often it is needed."""
    install()
    signer = vault("release", tmp_path)
    assert signer.fingerprint == signer.fingerprint
    assert importlib.import_module("acme_vault").ASKED == ["public_key"]


def test_a_plugin_can_hold_a_development_key(install: Callable[..., None], tmp_path: Path) -> None:
    """Its public key says so."""
    install()
    assert vault("development", tmp_path).development


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("wrong", "does not verify"),
        ("text", "a str as a signature"),
        ("down", "TimeoutError: no answer"),
        ("no-key", "a str as its public key"),
        ("sealed", "ConnectionError: vault is sealed"),
        ("nobody", "KeyError"),
    ],
)
def test_a_plugin_that_fails_signs_nothing(
    name: str, why: str, install: Callable[..., None], tmp_path: Path
) -> None:
    """Whatever it raises or returns, it is one error with the key's name; nothing is taken on trust."""
    install()
    with pytest.raises(KeyRefused, match=why) as caught:
        vault(name, tmp_path).sign(b"data")
    assert f"vault://{name}" in caught.value.message
    assert caught.value.hint


def test_a_plugins_own_errors_of_the_tree_pass(
    install: Callable[..., None], tmp_path: Path
) -> None:
    """A plug-in that knows what is wrong says it better than we could."""
    install()
    with pytest.raises(UsageError, match="no such key"):
        vault("typo", tmp_path)


@pytest.mark.parametrize("value", ["acme_vault:absent", "absent_module:open_key"])
def test_a_broken_plugin_is_named(value: str, install: Callable[..., None], tmp_path: Path) -> None:
    """An entry point that leads nowhere is an error of the key."""
    install(value=value)
    with pytest.raises(KeyRefused, match="failed"):
        vault("release", tmp_path)


def test_two_plugins_for_one_scheme_are_refused(
    install: Callable[..., None], tmp_path: Path
) -> None:
    """Which of them signs must not depend on the order of a path."""
    install()
    install("other-vault", "other_vault:open_key")
    with pytest.raises(KeyRefused, match="several plug-ins"):
        vault("release", tmp_path)


@pytest.mark.parametrize("spec", ["gcpkms://projects/p", "https://keys.example/cosign.pub"])
def test_an_unknown_scheme_is_refused(
    spec: str, install: Callable[..., None], tmp_path: Path
) -> None:
    """It is not taken for a path, and what is known is listed."""
    install()
    with pytest.raises(KeyRefused, match="no plug-in here") as caught:
        load(spec, root=tmp_path, environ={}, ask=None)
    assert caught.value.hint.endswith("known: `env://`, `k8s://`, `vault://`")
    with pytest.raises(KeyRefused, match="no plug-in here"):
        public_keys([spec], root=tmp_path)
