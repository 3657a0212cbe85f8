"""crane, skopeo and cosign use the registry as they use any other, with a password."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.integration.registries import COSIGN, CRANE, debian_program, go_program

from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    index_bytes,
    manifest_bytes,
)
from lockgate.oci.server import LOOPBACK_NAMES, Server
from lockgate.oci.server_routes import Rules
from lockgate.oci.server_users import Users
from tests import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OFFLINE = ("--yes", "--tlog-upload=false", "--use-signing-config=false")


class Home:
    """A home folder that knows the password, and the programs that are run there."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        login = {"auth": base64.b64encode(b"ann:s3cret").decode()}
        (folder / ".docker").mkdir()
        (folder / ".docker" / "config.json").write_text(json.dumps({"auths": {address: login}}))

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a program; fail the test when it ends with another code; return what it printed."""
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "REGISTRY_AUTH_FILE": str(self.folder / ".docker" / "config.json"),
                "COSIGN_PASSWORD": "",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    def crane(self, *arguments: str, code: int = 0) -> str:
        """Run crane."""
        return self.run(go_program(CRANE), *arguments, code=code).strip()

    def cosign(self, *arguments: str, code: int = 0) -> str:
        """Run cosign."""
        return self.run(go_program(COSIGN), *arguments, code=code)

    def skopeo(self, *arguments: str) -> str:
        """Run skopeo."""
        return self.run(debian_program("skopeo"), *arguments)


def archive(data: bytes) -> bytes:
    """Return a tar archive of one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A store with an index of two platforms, called `app`."""
    layout = Layout.create(tmp_path / "store")
    platforms = []
    for architecture in ("amd64", "arm64"):
        plain = archive(os.urandom(100_000))
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest.of(plain)]},
        }
        layer = layout.put(gzip.compress(plain, mtime=0), LAYER_GZIP)
        parts = Manifest(config=layout.put(json.dumps(config).encode(), CONFIG), layers=(layer,))
        one = layout.put(manifest_bytes(parts), MANIFEST)
        platform = Platform(os="linux", architecture=architecture)
        platforms.append(
            Descriptor(media_type=MANIFEST, digest=one.digest, size=one.size, platform=platform)
        )
    index = layout.put(index_bytes(Index(manifests=tuple(platforms))), INDEX)
    layout.tag({"app": index})
    return layout


@pytest.fixture
def home(layout: Layout, tmp_path: Path) -> Iterator[Home]:
    """A home on a machine where the store is served."""
    rules = Rules(users=Users.single("ann:s3cret", "a test"), names=LOOPBACK_NAMES)
    folder = tmp_path / "home"
    folder.mkdir()
    with Server(layout, rules) as server:
        yield Home(folder, server.address)


def test_crane_reads_and_writes(home: Home, layout: Layout) -> None:
    """Digest, manifest, copy with mounted blobs, tags, pull and push, deletion; the local name stays."""
    app, index = f"{home.address}/app", layout.resolve("app")
    assert home.crane("catalog", home.address) == "app"
    assert home.crane("digest", app) == index.digest
    assert home.crane("manifest", app).encode() == layout.read(index.digest)
    assert home.crane("validate", "--remote", app)
    home.crane("copy", app, f"{home.address}/team/app:1.0")
    home.crane("tag", f"{home.address}/team/app:1.0", "stable")
    assert home.crane("ls", f"{home.address}/team/app").split() == ["1.0", "stable"]
    assert layout.resolve("team/app:stable").digest == index.digest
    home.crane("pull", "--format", "oci", app, "pulled")
    home.crane("push", "pulled", f"{home.address}/again:x")
    assert home.crane("digest", f"{home.address}/again:x") == index.digest
    assert "DENIED" in home.crane(
        "copy", f"{app}@{layout.manifests(index.digest)[0].digest}", f"{app}:latest", code=1
    )
    home.crane("delete", f"{home.address}/again@{index.digest}")
    assert home.crane("ls", f"{home.address}/again") == ""
    assert layout.resolve("app").digest == index.digest
    assert layout.verify_image(index.digest)


def test_skopeo_reads_and_writes(home: Home, layout: Layout, tmp_path: Path) -> None:
    """From the layout into the registry and back; and it reads what was pushed from the layout itself."""
    there = f"docker://{home.address}/sk/app:v1"
    index = layout.resolve("app").digest
    home.skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.root}:app", there)
    assert layout.resolve("sk/app:v1").digest == index
    found = json.loads(home.skopeo("list-tags", "--tls-verify=false", there.removesuffix(":v1")))
    assert found["Tags"] == ["v1"]
    home.skopeo("copy", "--all", "--src-tls-verify=false", there, f"oci:{tmp_path / 'back'}:x")
    assert Layout.open(tmp_path / "back").resolve("x").digest == index
    home.skopeo("copy", "--all", f"oci:{layout.root}:sk/app:v1", f"oci:{tmp_path / 'own'}:x")
    assert Layout.open(tmp_path / "own").resolve("x").digest == index
    home.skopeo("delete", "--tls-verify=false", there)
    assert "sk/app:v1" not in layout.tags()
    assert layout.verify_image(index)


@pytest.mark.parametrize("form", [(), ("--new-bundle-format=false",)], ids=["bundle", "legacy"])
def test_cosign_signs_and_verifies(home: Home, layout: Layout, form: tuple[str, ...]) -> None:
    """In both forms. The layout has the signature too; another repository with the image does not."""
    home.cosign("generate-key-pair")
    digest = layout.resolve("app").digest
    for name in ("team/app", "other/app"):
        home.crane("copy", f"{home.address}/app", f"{home.address}/{name}:1")
    image = f"{home.address}/team/app@{digest}"
    home.cosign("sign", "--key", "cosign.key", *OFFLINE, *form, image)
    verify = ("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", *form)
    assert digest in home.cosign(*verify, image)
    assert "no signatures found" in home.cosign(
        *verify, f"{home.address}/other/app@{digest}", code=10
    )
    if form:
        assert f"team/app:sha256-{Digest(digest).hex}.sig" in layout.tags()
    else:
        (listed,) = layout.referrers(digest)
        assert listed.artifact_type == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_without_the_password_they_are_refused(home: Home) -> None:
    """401 is what they see."""
    (home.folder / ".docker" / "config.json").write_text("{}")
    for command, name in (("digest", "/app"), ("ls", "/app"), ("catalog", "")):
        said = home.crane(command, home.address + name, code=1)
        assert "unauthorized" in said.lower()


def test_a_hash_of_openssl_is_taken() -> None:
    """The command that the hint names makes what the file needs, whatever the password."""
    program = machine.program("openssl")
    for password in ("a", "s3cret", "pä:ss wörd", "x" * 127):
        done = subprocess.run(
            [program, "passwd", "-6", "-stdin"],
            input=password.encode(),
            capture_output=True,
            timeout=60,
            check=True,
        )
        users = Users.parse("ann:" + done.stdout.decode(), "a test")
        header = "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()
        assert users.admits(header)
        assert not users.admits(header[:-4])
