"""Verification at a registry through faults: the verdict of a quiet day, or an error that says what could not be seen.

What is hidden makes an image untrusted, what is broken makes an error; nothing makes an untrusted image pass.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.integration.faults import wrongs
from tests.integration.faults.conftest import SECONDS, impatient, within
from tests.integration.faults.proxy import faulty
from tests.unit.sign.world import NOW, make_signer, make_world

from lockgate.base.errors import DigestMismatch, LockgateError, RegistryError
from lockgate.oci import transfer
from lockgate.oci.connection import World
from lockgate.oci.readable import Elsewhere
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore
from lockgate.sign.requirement import default_requirement
from lockgate.sign.verify import verify

if TYPE_CHECKING:
    from tests.integration.faults.proxy import Asked, Fault, Script
    from tests.integration.registries import Running
    from tests.unit.sign import world

    from lockgate.sign.local import LocalSigner
    from lockgate.sign.model import Verification

PATIENT = World(sleep=lambda _: None)
BLOBS, MANIFESTS = "/blobs/sha256:", "/manifests/"


class Signed:
    """An image that was signed and pushed, and the key that is trusted."""

    def __init__(self, running: Running, made: world.World, signer: LocalSigner) -> None:
        self.running, self.made, self.signer = running, made, signer
        self.repository = f"signed/{uuid.uuid4().hex[:12]}"
        with self._registry(f"127.0.0.1:{running.port}", push=True) as target:
            source = LayoutStore(made.layout, "the store")
            work = transfer.plan(source, target, made.image.subject, "1.0")
            transfer.move(work, lambda *_: None)

    def _registry(self, host: str, world: World = PATIENT, *, push: bool = False) -> Registry:
        return Registry(world.endpoint(f"{host}/{self.repository}"), world, push=push)

    def verify(
        self, script: Script, *, layers: bool = True, world: World = PATIENT
    ) -> Verification:
        """Verify through a proxy."""

        def run() -> Verification:
            with (
                faulty(self.running.port, script) as proxy,
                self._registry(proxy.host, world) as source,
                Elsewhere(source, layers=layers) as place,
            ):
                return verify(
                    place,
                    self.made.image.subject,
                    default_requirement("prod", self.made.threshold),
                    (self.signer.public_key(),),
                    name="prod",
                    now=NOW,
                    development_key_allowed=False,
                )

        return within(SECONDS, run)


@pytest.fixture(scope="session")
def signed(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """An image that is trusted."""
    made, signer = make_world(tmp_path_factory.mktemp("signed")), make_signer("release")
    made.sign(signer)
    return Signed(running, made, signer)


@pytest.fixture(scope="session")
def unsigned(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """The same image without any evidence."""
    return Signed(running, make_world(tmp_path_factory.mktemp("unsigned")), make_signer("release"))


PASSING: dict[str, Fault] = {
    "429": wrongs.fails(429, retry_after="1"),
    "5xx": wrongs.in_turn(*map(wrongs.fails, (500, 502, 503, 504))),
    "reset": wrongs.resets,
    "cut": wrongs.cut(100),
    "long": wrongs.longer(10),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_changes_no_verdict(name: str, signed: Signed, unsigned: Signed) -> None:
    """With every request failing once, what is trusted is trusted, and what is not is not."""
    assert signed.verify(wrongs.once_each(PASSING[name])).met
    assert not unsigned.verify(wrongs.once_each(PASSING[name])).met


STAYING: dict[str, tuple[Fault, str, type[LockgateError]]] = {
    "500": (wrongs.fails(500), "", RegistryError),
    "500 of the list": (wrongs.fails(500), "/referrers/", RegistryError),
    "500 of a tag": (wrongs.fails(503), r"/manifests/sha256-.*\.(sig|att)", RegistryError),
    "403 of a tag": (wrongs.fails(403), r"/manifests/sha256-.*\.(sig|att)", RegistryError),
    "stalls": (wrongs.stalls, "/manifests/", RegistryError),
    "manifests flipped": (wrongs.flipped, MANIFESTS, DigestMismatch),
    "blobs flipped": (wrongs.flipped, BLOBS, DigestMismatch),
    "blobs cut": (wrongs.cut(7), BLOBS, RegistryError),
    "blobs are pages": (wrongs.serves(200, "text/html", b"hello"), BLOBS, LockgateError),
}


@pytest.mark.parametrize("name", STAYING)
def test_what_stays_is_an_error(name: str, signed: Signed) -> None:
    """What could not be looked at is neither a pass nor evidence that is missing."""
    fault, path, kind = STAYING[name]
    script = wrongs.always(fault, "GET|HEAD", path)
    world = impatient(PATIENT, script) if name == "stalls" else PATIENT
    with pytest.raises(kind) as raised:
        signed.verify(script, world=world)
    assert raised.value.hint


def hides(*paths: str) -> Script:
    """Answer 404 for what has one of these in its path, and an empty list for `/referrers/`."""

    def script(asked: Asked) -> Fault | None:
        if not any(one in asked.path for one in paths):
            return None
        return wrongs.lists_nothing if "/referrers/" in asked.path else wrongs.fails(404)

    return script


def test_one_form_is_enough(signed: Signed) -> None:
    """Hidden referrers leave the older tags, and hidden tags leave the referrers."""
    assert signed.verify(hides("/referrers/")).met
    assert signed.verify(hides(".sig", ".att")).met


def test_hidden_evidence_is_missing(signed: Signed) -> None:
    """With both forms hidden every requirement is unmet, and says that there is nothing."""
    found = signed.verify(hides("/referrers/", "/manifests/sha256-"))
    assert not found.met
    assert {one.error for one in found.results} == {"AttestationMissing"}


def test_a_list_of_another_image(signed: Signed, unsigned: Signed) -> None:
    """Evidence of one image that is listed for another proves nothing of that."""
    other = make_world(signed.made.layout.root.parent / "other", salt="other")
    subject = signed.made.image.subject.replace(":", "-")

    def script(asked: Asked) -> Fault | None:
        path = asked.path.replace(other.image.subject, signed.made.image.subject)
        path = path.replace(other.image.subject.replace(":", "-"), subject)
        if path == asked.path or f"/manifests/{other.image.subject}" in asked.path:
            return None
        return lambda exchange: exchange.answer(exchange.ask(path))

    place = Signed(signed.running, other, signed.signer)
    place.repository = signed.repository
    with (
        place._registry(f"127.0.0.1:{signed.running.port}", push=True) as target,
    ):
        source = LayoutStore(other.layout, "the store")
        transfer.move(transfer.plan(source, target, other.image.subject, ""), lambda *_: None)

    found = place.verify(script)

    assert not found.met
    assert {one.error for one in found.results} == {"SubjectMismatch"}
