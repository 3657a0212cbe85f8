"""`inv verify` of a config artifact: the artifact, every image in it, and the base of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from lockgate.base.canonical import decode
from lockgate.build.model import Image
from lockgate.config import package, resource
from lockgate.config.model import Built
from lockgate.config.publish import publish
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import MANIFEST, Descriptor
from lockgate.oci.server import Server
from lockgate.sign import keys
from lockgate.sign.model import Verification

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tasks.conftest import Mini

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec: {{containers: [{{name: main, image: "{image}"}}]}}
"""


class Shop:
    """A repository whose store holds a signed artifact that runs both of its images."""

    def __init__(self, mini: Mini, prefix: str = "") -> None:
        self.mini = mini
        self.layout = Layout(mini.path / ".lockgate/store")
        self.images = {
            name: decode(
                (mini.path / f".lockgate/records/{name}/image.json").read_bytes(), Image, what=name
            )
            for name in ("web", "worker")
        }
        refs = {name: f"{prefix}{name}@{one.subject}" for name, one in self.images.items()}
        text = "---\n".join(POD.format(name=name, image=one) for name, one in refs.items())
        source = self.images["web"].source
        artifact = package.package(
            resource.parse(text.encode(), where="a test"),
            name="config-dev",
            source=source,
            layout=self.layout,
        )
        self.subject = artifact.subject
        data = self.layout.read(artifact.subject)
        self.layout.tag({"config-dev": Descriptor.of(MANIFEST, data)})
        self.built = Built(
            artifact=artifact, environment="dev", source=source, renderer="", inputs={}
        )

    def sign(self) -> None:
        """Sign the artifact as `inv config.sign` does."""
        trusted = [
            msgspec.convert(json.loads(line), Verification)
            for line in self.mini.inv("verify", "--json").out.splitlines()
        ]
        publish(
            self.built,
            trusted,
            signer=keys.development_key(self.mini.path / ".lockgate/keys"),
            layout=self.layout,
            development_key_allowed=True,
        )


@pytest.fixture
def shop(built_mini: Mini) -> Shop:
    """With a signed artifact."""
    made = Shop(built_mini)
    made.sign()
    return made


def test_from_the_artifact_to_the_bases(shop: Shop) -> None:
    """Two requirements of the artifact, five of each image, and its base."""
    answer = shop.mini.inv("verify", "--reference", "config-dev")

    assert answer.code == 0, answer.err
    first = [line.split()[0] for line in answer.out.splitlines()]
    image = ["signature", "sbom", "vuln", "provenance", "summary", "base", "trusted:"]
    assert first == ["signature", "provenance", "trusted:", *image, *image]
    assert "base        ok        stack-mini sha256:" in answer.out
    assert "web  sha256:" in answer.err
    assert "worker  sha256:" in answer.err


def test_a_record_for_each(shop: Shop) -> None:
    """`--json` prints one of the artifact, and one of each image, in this order."""
    answer = shop.mini.inv("verify", "--reference", shop.subject, "--json")

    found = [json.loads(line) for line in answer.out.splitlines()]
    subjects = [one.subject for one in shop.images.values()]
    assert [one["subject"] for one in found] == [shop.subject, *subjects]
    assert all(one["met"] for one in found)


def test_an_image_that_is_not_trusted(shop: Shop) -> None:
    """One image without evidence, and the whole is not trusted: exit 4."""
    worker = shop.images["worker"].subject.removeprefix("sha256:")
    with shop.layout.change() as names:
        for name in [one for one in names if worker in one]:
            del names[name]

    answer = shop.mini.inv("verify", "--reference", "config-dev")

    assert answer.code == 4
    assert answer.out.count("not trusted: 5 of 6") == 1
    assert answer.out.count("\ntrusted: ") == 2


def test_an_artifact_that_is_not_signed(built_mini: Mini) -> None:
    """Its images are not even looked at, and that is said."""
    shop = Shop(built_mini)

    answer = shop.mini.inv("verify", "--reference", "config-dev")

    assert answer.code == 4
    assert "its images were not looked at" in answer.out
    assert len(answer.out.splitlines()) == 4


def test_requirements_of_the_images(shop: Shop) -> None:
    """`--require` replaces those of the images; an artifact keeps its own."""
    answer = shop.mini.inv("verify", "--reference", "config-dev", "--require", "sbom")

    first = [line.split()[0] for line in answer.out.splitlines()]
    assert first[:6] == ["signature", "provenance", "trusted:", "sbom", "base", "trusted:"]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Host and port of an empty registry."""
    with Server(Layout.create(tmp_path / "registry")) as server:
        yield f"registry.localhost:{server.address.rpartition(':')[2]}"


def test_through_a_registry(built_mini: Mini, registry: str) -> None:
    """Artifact and images are read there; that the base is not there is said, and is no pass."""
    shop = Shop(built_mini, prefix=f"{registry}/shop/")
    shop.sign()
    for name in ("web", "worker", "config-dev"):
        assert shop.mini.inv("copy", name, f"{registry}/shop/{name}:1").code == 0
    shop.layout.path(shop.images["web"].subject).unlink()

    answer = shop.mini.inv("verify", "--reference", f"{registry}/shop/config-dev:1")

    assert answer.code == 0, answer.err
    assert answer.out.count("base not compared: stack-mini") == 2
    assert answer.out.count("5 of 5") == 2
