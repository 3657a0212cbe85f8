"""Lockgate reads what cosign signs: signatures and attestations, in both forms, with every kind of key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.cosign.conftest import FORMS, LEGACY, Cosign, Registry
from tests.integration.cosign.keys import KINDS, Pair, pair
from tests.unit.sign.world import NOW, World, make_world

from lockgate.oci.digest import Digest
from lockgate.sign.combine import AllOf, Signers
from lockgate.sign.public_key import PublicKey
from lockgate.sign.requirement import Attested, Sbom, Scanned, Signature
from lockgate.sign.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.sign.combine import Requirement
    from lockgate.sign.model import Verification


class Shop:
    """A registry with one image, keys, and what Lockgate says of it after cosign worked on it."""

    def __init__(self, cosign: Cosign, registry: Registry, folder: Path) -> None:
        self._cosign, self._registry, self._folder = cosign, registry, folder
        self.world: World = make_world(folder, salt=str(folder))
        self.repository = Digest.of(str(folder).encode()).hex[:12]
        name = registry.push(self.world.layout, self.repository)
        self.image = f"{name}@{self.world.image.subject}"

    def pair(self, kind: str, name: str = "release") -> Pair:
        """Return a new key pair whose password cosign is given."""
        return pair(kind, self._folder, name)

    def sign(self, keys: Pair, form: str, *more: str) -> None:
        """Sign by cosign."""
        self._cosign.sign(self.image, str(keys.private), form, *more)

    def attest(self, keys: Pair, form: str, kind: str, content: object) -> None:
        """Attest by cosign."""
        path = self._folder / "predicate.json"
        path.write_text(json.dumps(content))
        self._cosign.attest(self.image, str(keys.private), form, kind, str(path))

    def check(self, requirement: Requirement, *keys: Pair) -> Verification:
        """Return what Lockgate says of what is in the registry now."""
        root = self._folder / f"pulled-{len(list(self._folder.iterdir()))}"
        layout = self._registry.pull(self.repository, root)
        return verify(
            layout,
            self.world.image.subject,
            requirement,
            [PublicKey.parse(one.public.read_bytes(), name=one.public.stem) for one in keys],
            name="prod",
            now=NOW,
            development_key_allowed=False,
        )


@pytest.fixture
def shop(cosign: Cosign, registry: Registry, tmp_path: Path) -> Shop:
    """An image that nobody signed."""
    return Shop(cosign, registry, tmp_path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_we_verify_a_signature_of_cosign(kind: str, form: str, shop: Shop) -> None:
    """With its annotations; another key's is refused."""
    keys, other = shop.pair(kind), shop.pair(kind, "other")
    assert not shop.check(Signature(), keys).met
    shop.sign(keys, form, "-a", "environment=prod")
    assert shop.check(Signature(annotations={"environment": "prod"}), keys).met
    refused = shop.check(Signature(annotations={"environment": "dev"}), keys)
    assert refused.results[0].error == "SubjectMismatch"
    assert shop.check(Signature(), other).results[0].error == "SignatureInvalid"


SBOM = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "expat"}]}
SCAN = {
    "invocation": {},
    "scanner": {
        "uri": "pkg:github/aquasecurity/trivy@0.76.0",
        "version": "0.76.0",
        "db": {},
        "result": {},
    },
    "metadata": {
        "scanStartedOn": "2026-11-18T08:00:00Z",
        "scanFinishedOn": "2026-11-18T08:00:01Z",
    },
}
REVIEW = "https://example.org/review/v1"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_we_verify_attestations_of_cosign(kind: str, form: str, shop: Shop) -> None:
    """An SBOM, a scan and a type of one's own, all from `cosign attest`."""
    keys, other = shop.pair(kind), shop.pair(kind, "other")
    shop.attest(keys, form, "cyclonedx", SBOM)
    shop.attest(keys, form, "vuln", SCAN)
    shop.attest(keys, form, REVIEW, {"by": "two people"})
    wanted = AllOf(parts=(Sbom(), Scanned(), Attested(predicate_type=REVIEW)))
    found = shop.check(wanted, keys)
    assert [one.detail for one in found.results][:2] == [
        "CycloneDX, 1 component",
        "trivy 0.76.0, scanned 2026-11-18T08:00:01Z",
    ]
    assert found.met
    refused = shop.check(wanted, other)
    assert {one.error for one in refused.results} == {"SignatureInvalid"}


@pytest.mark.parametrize("form", FORMS)
def test_a_quorum_of_cosigns_signers(form: str, shop: Shop) -> None:
    """Two of three keys, in one form or mixed with ours."""
    pairs = [shop.pair("P-256", name) for name in ("one", "two", "three")]
    two = Signature(by=Signers(quorum=2))
    shop.sign(pairs[0], form)
    assert shop.check(two, *pairs).results[0].error == "AttestationMissing"
    shop.sign(pairs[1], LEGACY)
    assert shop.check(two, *pairs).met


@pytest.mark.parametrize("form", FORMS)
def test_we_add_to_what_cosign_wrote(
    form: str, shop: Shop, registry: Registry, cosign: Cosign, tmp_path: Path
) -> None:
    """What cosign signed stays when we sign, and cosign verifies both afterwards."""
    theirs, ours = shop.pair("P-256", "theirs"), shop.pair("P-256", "ours")
    shop.sign(theirs, form)
    shop.attest(theirs, form, REVIEW, {})
    layout = registry.pull(shop.repository, tmp_path / "work")
    for name, entry in layout.tags().items():
        shop.world.layout.tag({name: entry})
    for blob in (tmp_path / "work" / "blobs" / "sha256").iterdir():
        shop.world.layout.put(blob.read_bytes(), "")
    shop.world.sign(ours.signer)
    image = f"{registry.push(shop.world.layout, 'added-' + form)}@{shop.world.image.subject}"
    for keys in (theirs, ours):
        cosign.verify(image, str(keys.public), form)
    cosign.verify_attestation(image, str(theirs.public), form, REVIEW)
    cosign.verify_attestation(image, str(ours.public), form, "vuln")
