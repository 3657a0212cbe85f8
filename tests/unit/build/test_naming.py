"""The names of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.build.model import Image, PlatformImage, Source
from lockgate.build.naming import name_image
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import INDEX, MANIFEST, Descriptor, Index, Platform, index_bytes

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = Source(repository="", revision="", time=0, subpath="app", content="", changes=())


def image_in(layout: Layout, word: bytes) -> Image:
    """Put an index of one platform into a layout, and return its record."""
    stored = layout.put(b'{"' + word + b'":1}', MANIFEST)
    manifest = Descriptor(
        media_type=MANIFEST,
        digest=stored.digest,
        size=stored.size,
        platform=Platform.parse("linux/amd64"),
    )
    index = layout.put(index_bytes(Index(manifests=(manifest,))), INDEX)
    platform = PlatformImage(
        platform="linux/amd64", manifest=manifest.digest, config="", layers=(), packages=()
    )
    return Image(
        subject=index.digest,
        component="app",
        source=SOURCE,
        stack="",
        stack_lock="",
        requirements="",
        builder="",
        platforms=(platform,),
        inputs={},
    )


def test_index_and_platform_get_their_names(tmp_path: Path) -> None:
    """`app` is the index, `app-linux-amd64` the manifest, with its platform."""
    layout = Layout.create(tmp_path)
    image = image_in(layout, b"a")
    name_image(layout, image)
    assert layout.resolve("app").digest == image.subject
    named = layout.resolve("app-linux-amd64")
    assert named.digest == image.platforms[0].manifest
    assert str(named.platform) == "linux/amd64"


def test_the_names_move_to_another_image_and_back(tmp_path: Path) -> None:
    """Naming an earlier image again needs no new blob."""
    layout = Layout.create(tmp_path)
    first, second = image_in(layout, b"a"), image_in(layout, b"b")
    name_image(layout, first)
    name_image(layout, second)
    name_image(layout, first)
    assert layout.resolve("app").digest == first.subject
    assert layout.resolve("app-linux-amd64").digest == first.platforms[0].manifest
