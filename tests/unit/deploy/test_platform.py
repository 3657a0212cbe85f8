"""Which image of an index this machine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.deploy.platform import choose
from lockgate.oci.manifest import Manifest

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Store


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64"), ("riscv64", "riscv64")],
)
def test_the_processor_decides(store: Store, machine: str, architecture: str) -> None:
    """Processors have other names for uname(1) than in images."""
    image = store.make("app", platforms=("linux/amd64", "linux/arm64", "linux/riscv64"))
    chosen = choose(store.layout, image.subject, machine)
    manifest = Manifest.parse(store.layout.read(chosen.manifest))
    assert f'"architecture": "{architecture}"'.encode() in store.layout.read(manifest.config.digest)


def test_the_revision_comes_from_the_labels(store: Store) -> None:
    """The commit that the builder wrote into the image; empty when there is none."""
    labelled = store.make("app", Labels={"org.opencontainers.image.revision": "3f2a9c1"})
    assert choose(store.layout, labelled.subject, "x86_64").revision == "3f2a9c1"
    assert choose(store.layout, store.make("app").subject, "x86_64").revision == ""


@pytest.mark.parametrize("platforms", [("linux/arm64",), ("windows/amd64",)])
def test_a_missing_platform_is_named(store: Store, platforms: tuple[str, ...]) -> None:
    """The error says what there is, what is needed, and where to ask for it."""
    image = store.make("app", platforms=platforms)
    with pytest.raises(UsageError, match="this machine runs linux/amd64") as caught:
        choose(store.layout, image.subject, "x86_64")
    assert "build.platforms" in caught.value.hint
    assert ", ".join(platforms) in caught.value.message
