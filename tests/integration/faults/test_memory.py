"""A layer of 300 MB goes through in pieces: neither who moves it nor who serves it ever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.integration import registries
from tests.integration.faults import runs
from tests.unit.oci.images import noise

from lockgate.base.canonical import encode
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 300 << 20
MOST = 32 << 20
"""Bytes that a move may take more than a process with the same libraries that moves nothing."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, str]:
    """A layout with an image of one large layer; the digest of the image."""
    layout = Layout.create(tmp_path_factory.mktemp("large") / "store")
    piece = noise(1 << 20, "large")
    with layout.writer() as blob:
        for number in range(SIZE // len(piece)):
            blob.write(number.to_bytes(8, "big") + piece[8:])
    layer = Descriptor(media_type=LAYER_GZIP, digest=blob.digest, size=blob.size)
    config = layout.put(encode({"architecture": "amd64", "os": "linux"}), CONFIG)
    manifest = layout.put(manifest_bytes(Manifest(config=config, layers=(layer,))), MANIFEST)
    listed = msgspec.structs.replace(manifest, platform=Platform(os="linux", architecture="amd64"))
    root = layout.put(index_bytes(Index(manifests=(listed,))), INDEX)
    layout.tag({"app": root})
    return layout, root.digest


def peak(action: Callable[..., None], *arguments: str, note: Path) -> int:
    """Run an action in a process of its own; return the most memory that it ever had, in bytes."""
    child = runs.start(runs.measured, str(note), action.__name__, *arguments)
    assert runs.finished(child) == 0
    return int(note.read_text())


@pytest.mark.parametrize("kind", registries.REAL)
def test_memory_is_bounded(kind: str, large: tuple[Layout, str], tmp_path: Path) -> None:
    """Push, pull and copy into a file, and Lockgate's own server: a tenth of the layer at most."""
    layout, digest = large
    note, home = tmp_path / "peak", tmp_path / "registry"
    home.mkdir()
    nothing = peak(runs.nothing, note=note)
    serve = registries.command(home) if kind == "lockgate" else registries.serve(kind, home)
    with serve as running:
        before = runs.high_water(running.pid)
        name = f"127.0.0.1:{running.port}/team/large"
        found = {
            "push": peak(runs.push, name, str(layout.root), digest, note=note) - nothing,
            "pull": peak(runs.pull, name, str(tmp_path / "pulled"), digest, note=note) - nothing,
            "copy": peak(runs.copy, name, str(tmp_path / "copied.tar"), digest, note=note)
            - nothing,
        }
        if kind == "lockgate":
            found["serve"] = runs.high_water(running.pid) - before
    assert {name: size for name, size in found.items() if size > MOST} == {}
    assert Layout(tmp_path / "pulled").verify_image(digest)
    assert (tmp_path / "copied.tar").stat().st_size > SIZE
