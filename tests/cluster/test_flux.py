"""The real source controller of Flux takes what `inv config.push` pushed, by digest and by tag, and checks its signature.

It runs on an API server of its own; the tarballs that it stores are fetched from it as Flux's other controllers do.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.apiserver import ROOT, ApiServer, running
from tests.cluster.definitions import define
from tests.cluster.published import TAG, Published, publish, wrong_digest
from tests.integration.registries import command, serve
from tests.machine import free_port
from tests.service import Service, built, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.registries import Running

ASSETS = ROOT / "tests" / "assets" / "flux"
KIND = "ocirepositories.source.toolkit.fluxcd.io"
SECONDS = 300.0
"""How long the controller may take for one object. It takes less than one; its first start on a busy machine, more."""


class Flux:
    """The source controller, and the API server that it works for."""

    def __init__(self, server: ApiServer, controller: Service) -> None:
        self._server, self._controller = server, controller

    def take(self, name: str, spec: dict[str, Any], *, ready: str = "True") -> dict[str, Any]:
        """Have an `OCIRepository`; return its status once its condition Ready is as expected.

        A first failure is tried again by the controller, and Ready is Unknown in between; so what is waited for is
        the expected value, and another one fails the test at the end. It writes its conditions first and the rest of
        the status, the artifact in it, in a second request: only both together are its answer.
        """
        body = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "OCIRepository",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"interval": "1h", "insecure": True, "timeout": "120s", **spec},
        }
        self._server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
        until = time.monotonic() + SECONDS
        while True:
            text = self._server.kubectl("get", KIND, name, "-o", "json").stdout
            status: dict[str, Any] = json.loads(text).get("status", {})
            complete = ready != "True" or "artifact" in status
            if condition(status, "Ready").get("status") == ready and complete:
                return status
            assert not self._controller.ended, self._controller.log()
            said = self._controller.log(about=name)
            assert time.monotonic() < until, f"{json.dumps(status)}\n{said}"
            time.sleep(0.1)

    def secret(self, name: str, files: dict[str, bytes]) -> None:
        """Have a Secret."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "default"},
            "stringData": {one: data.decode() for one, data in files.items()},
        }
        self._server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status; empty when it is not there."""
    found = [one for one in status.get("conditions", ()) if one["type"] == kind]
    return found[0] if found else {}


def stored(status: dict[str, Any]) -> dict[str, bytes]:
    """Fetch the tarball of a status from the controller; return its files, after its digest was compared."""
    artifact = status["artifact"]
    with urllib.request.urlopen(artifact["url"], timeout=120) as answer:
        data = answer.read()
    assert artifact["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        return {name: one.read() for name, one in files.items() if one is not None}


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    """The controller on an API server of its own, so that its definitions are in nobody's way."""
    folder = tmp_path_factory.mktemp("flux")
    (folder / "storage").mkdir()
    program = built("source-controller")
    address = f"127.0.0.1:{free_port()}"
    with running(folder / "api-server") as server:
        define(server, ASSETS)
        argv = [
            program,
            f"--storage-path={folder / 'storage'}",
            f"--storage-addr={address}",
            f"--storage-adv-addr={address}",
            "--health-addr=127.0.0.1:0",
            "--metrics-addr=0",
            "--enable-leader-election=false",
        ]
        # A home of its own: the libraries in it would otherwise read the user's credentials for registries.
        env = {"HOME": str(folder), "TMPDIR": str(folder), "KUBECONFIG": str(server.kubeconfig())}
        with serving(argv, folder / "source-controller.log", env=env) as service:
            yield Flux(server, service)


@pytest.fixture(scope="module", params=["distribution", "lockgate"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The registry that most run, and `inv registry.serve`."""
    home = tmp_path_factory.mktemp("registry")
    with command(home) if request.param == "lockgate" else serve(request.param, home) as one:
        yield one


@pytest.fixture(scope="module")
def artifact(registry: Running, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """An artifact, signed in both forms, as is the default."""
    return publish(tmp_path_factory.mktemp("shop"), f"127.0.0.1:{registry.port}/team")


def test_flux_takes_it_by_digest(flux: Flux, registry: Running, artifact: Published) -> None:
    """It is Ready, the revision is our digest, and the tarball holds exactly our objects and their images."""
    found = flux.take(
        f"digest-{registry.kind}", {"url": artifact.url, "ref": {"digest": artifact.digest}}
    )

    assert found["artifact"]["revision"] == artifact.digest
    assert stored(found) == {"all.yaml": artifact.yaml, "images.txt": artifact.images.encode()}


def test_flux_takes_it_by_tag(flux: Flux, registry: Running, artifact: Published) -> None:
    """The revision names the tag and our digest."""
    found = flux.take(f"tag-{registry.kind}", {"url": artifact.url, "ref": {"tag": TAG}})

    assert found["artifact"]["revision"] == f"{TAG}@{artifact.digest}"
    assert stored(found)["all.yaml"] == artifact.yaml


def test_flux_takes_the_newest_of_a_range(
    flux: Flux, registry: Running, artifact: Published
) -> None:
    """Tags that hold only evidence are no versions, and are not in its way."""
    found = flux.take(f"range-{registry.kind}", {"url": artifact.url, "ref": {"semver": ">=1 <2"}})

    assert found["artifact"]["revision"] == f"{TAG}@{artifact.digest}"


def test_flux_shows_where_it_comes_from(flux: Flux, registry: Running, artifact: Published) -> None:
    """Our annotations are in the status, under the names that Flux's own artifacts have."""
    found = flux.take(
        f"origin-{registry.kind}", {"url": artifact.url, "ref": {"digest": artifact.digest}}
    )

    assert "org.opencontainers.image.revision" in found["artifact"]["metadata"]
    assert "org.opencontainers.image.created" in found["artifact"]["metadata"]


def test_a_digest_that_is_not_there_is_not_ready(
    flux: Flux, registry: Running, artifact: Published
) -> None:
    """So that the tests above can fail."""
    spec = {"url": artifact.url, "ref": {"digest": wrong_digest(artifact.digest)}}
    found = flux.take(f"absent-{registry.kind}", spec, ready="False")

    assert condition(found, "Ready")["reason"] == "OCIArtifactPullFailed"
    assert "artifact" not in found


def verified_by(
    flux: Flux, name: str, artifact: Published, key: bytes, ready: str
) -> dict[str, Any]:
    """Take an artifact with `verify` and a public key."""
    flux.secret(name, {"cosign.pub": key})
    verify = {"provider": "cosign", "secretRef": {"name": name}}
    spec = {"url": artifact.url, "ref": {"digest": artifact.digest}, "verify": verify}
    return flux.take(name, spec, ready=ready)


def test_flux_verifies_our_signature(flux: Flux, registry: Running, artifact: Published) -> None:
    """With the public key in a Secret, and the artifact signed as Lockgate signs when nothing is set."""
    found = verified_by(flux, f"signed-{registry.kind}", artifact, artifact.public_key, "True")

    assert condition(found, "SourceVerified")["status"] == "True"
    assert found["artifact"]["revision"] == artifact.digest


def test_flux_refuses_the_key_of_another(
    flux: Flux, registry: Running, artifact: Published
) -> None:
    """A signature is there, and is not by that key."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    found = verified_by(flux, f"stranger-{registry.kind}", artifact, public, "False")

    assert condition(found, "SourceVerified")["reason"] == "VerificationError"
    assert "artifact" not in found


def test_flux_needs_the_older_form_of_signatures(
    flux: Flux, registry: Running, tmp_path: Path
) -> None:
    """This version refuses an artifact with `signatures: [bundle]`: it looks for cosign's tags alone.

    Those who come after it read bundles too. Were this to fail with a newer version, docs/config.md says it wrongly.
    """
    made = publish(tmp_path, f"127.0.0.1:{registry.port}/bundle", forms=("bundle",))
    found = verified_by(flux, f"bundle-{registry.kind}", made, made.public_key, "False")

    assert "no matching signatures were found" in condition(found, "SourceVerified")["message"]
