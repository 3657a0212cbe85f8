"""The verification cases of Sigstore's conformance suite: every bundle that a client must take or refuse.

The suite is a repository of its own, sigstore/sigstore-conformance (Apache-2.0), of which no part is kept here.
`LOCKGATE_TEST_SIGSTORE_CONFORMANCE` names a checkout of it. Cases without a trusted root of their own need that of
the public instance, which `LOCKGATE_TEST_TRUSTED_ROOT` names; the Python package `sigstore` brings one along.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import LockgateError
from lockgate.oci.digest import Digest
from lockgate.sign.artifact import verify_artifact
from lockgate.sign.evidence import Trust
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.trusted_root import TrustedRoot
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from lockgate.sign.keyless.identity import Identity as Signer

SUITE = "LOCKGATE_TEST_SIGSTORE_CONFORMANCE"
ROOT = "LOCKGATE_TEST_TRUSTED_ROOT"

WORKFLOW = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/"
    "workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"
"""Who signed the cases that do not say otherwise (test/assets/bundle-verify/README.md of the suite)."""

FEWEST = 70
"""Cases of the suite in November 2026. It tries each by file and by digest, and counts 140; what is verified here is
a digest in either case."""

NOTHING = (
    f"no bundle of another writer is checked: name a checkout of the conformance suite in {SUITE}"
)


def _suite() -> Path:
    return Path(os.environ[SUITE]) / "test" / "assets" / "bundle-verify"


CASES = (
    sorted(one.name for one in _suite().iterdir() if one.is_dir()) if SUITE in os.environ else []
)


@pytest.fixture(scope="module")
def public_root() -> bytes:
    """The trusted root of the public instance."""
    named = os.environ.get(ROOT)
    if named:
        return Path(named).read_bytes()
    package = importlib.util.find_spec("sigstore")
    if package is None or not package.submodule_search_locations:
        pytest.skip(
            f"the cases without a trusted root of their own are not checked: name one in {ROOT}, or install `sigstore`"
        )
    store = Path(package.submodule_search_locations[0]) / "_store"
    (found,) = (
        one for one in store.glob("*/trusted_root.json") if "sigstore.dev" in one.parent.name
    )
    return found.read_bytes()


def text(case: Path, name: str, default: str) -> str:
    """Return what a case says, or what the suite says for all."""
    path = case / name
    return path.read_text().strip() if path.exists() else default


def verified(case: Path, digest: str, public_root: bytes) -> PublicKey | Signer:
    """Verify a case as its files ask."""
    own, key = case / "trusted_root.json", case / "key.pub"
    root = TrustedRoot.parse(own.read_bytes() if own.exists() else public_root)
    someone = Identity(text(case, "identity", WORKFLOW), text(case, "issuer", ISSUER))
    trust = Trust(
        keys=(PublicKey.parse(key.read_bytes(), name="key"),) if key.exists() else (),
        identities=() if key.exists() else (someone,),
        root=root,
        development_key_allowed=False,
    )
    return verify_artifact((case / "bundle.sigstore.json").read_bytes(), digest, trust)


def test_the_suite_is_whole() -> None:
    """A checkout that lost its cases does not pass for one."""
    if SUITE not in os.environ:
        pytest.skip(NOTHING)
    assert len(CASES) >= FEWEST


@pytest.mark.parametrize(
    "name", CASES or [pytest.param("", marks=pytest.mark.skip(reason=NOTHING))]
)
def test_a_case(name: str, public_root: bytes) -> None:
    """A bundle whose case ends in `_fail` is refused, every other one is taken."""
    case = _suite() / name
    file = case / "artifact" if (case / "artifact").exists() else case.parent / "a.txt"
    digest = Digest.of(file.read_bytes())
    if name.endswith("_fail"):
        with pytest.raises(LockgateError) as caught:
            verified(case, digest, public_root)
        assert caught.value.exit_code == 4
        assert caught.value.hint
    else:
        assert verified(case, digest, public_root).label
