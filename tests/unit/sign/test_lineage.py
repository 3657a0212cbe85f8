"""An image is built on the base that it names, or it is not, or it cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    index_bytes,
    manifest_bytes,
)
from lockgate.sign import lineage
from lockgate.sign.model import Result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


def manifest(layout: Layout, *layers: bytes, base: str = "") -> Descriptor:
    """Store a manifest with layers of these bytes, which names a base when one is given."""
    marks = {lineage.BASE_DIGEST: base, lineage.BASE_NAME: "stack-python"} if base else {}
    made = Manifest(
        config=layout.put(b'{"os":"linux"}', CONFIG),
        layers=tuple(layout.put(one, LAYER_GZIP) for one in layers),
        annotations=marks,
    )
    return layout.put(manifest_bytes(made), MANIFEST)


def index(layout: Layout, *manifests: Descriptor) -> str:
    """Store an index."""
    return layout.put(index_bytes(Index(manifests=manifests)), INDEX).digest


def test_every_platform_is_built_on_its_base(layout: Layout) -> None:
    """The base's layers are the first ones of the image, on each platform."""
    bases = [manifest(layout, name, b"shared") for name in (b"amd64", b"arm64")]
    made = [
        manifest(layout, name, b"shared", b"app", base=base.digest)
        for name, base in zip((b"amd64", b"arm64"), bases, strict=True)
    ]

    found = lineage.base(layout, index(layout, *made))

    assert isinstance(found, Result)
    assert found.met
    assert "stack-python" in found.detail


@pytest.mark.parametrize(
    "layers",
    [(b"app",), (b"other", b"shared", b"app"), (b"shared", b"amd64"), (b"amd64",)],
    ids=["none of them", "another first one", "another order", "one is missing"],
)
def test_another_base_is_refused(layers: tuple[bytes, ...], layout: Layout) -> None:
    """On whichever platform the layers are not those of the base that is named."""
    base = manifest(layout, b"amd64", b"shared")
    good = manifest(layout, b"amd64", b"shared", b"app", base=base.digest)
    bad = manifest(layout, *layers, base=base.digest)

    found = lineage.base(layout, index(layout, good, bad))

    assert isinstance(found, Result)
    assert (found.met, found.error) == (False, "SubjectMismatch")


@pytest.mark.parametrize("named", ["", "sha256:" + "0" * 64], ids=["no base", "an absent one"])
def test_a_platform_that_tells_nothing_hides_no_other(named: str, layout: Layout) -> None:
    """A claim that is false on one platform is refused, though another's cannot be compared."""
    base = manifest(layout, b"amd64", b"shared")
    silent = manifest(layout, b"app", base=named)
    bad = manifest(layout, b"other", b"app", base=base.digest)

    for order in ((silent, bad), (bad, silent)):
        found = lineage.base(layout, index(layout, *order))
        assert isinstance(found, Result)
        assert (found.met, found.error) == (False, "SubjectMismatch")


def test_a_base_of_no_layer_proves_nothing(layout: Layout) -> None:
    """Empty is not success."""
    base = manifest(layout)

    found = lineage.base(layout, manifest(layout, b"app", base=base.digest).digest)

    assert isinstance(found, Result)
    assert not found.met


def test_what_cannot_be_told_is_said(layout: Layout) -> None:
    """No base that is named, one that is not there, one of several platforms: none of them is a pass."""
    away = "sha256:" + "0" * 64
    several = index(layout, manifest(layout, b"amd64"))
    for base, said in (("", "names no base"), (away, "is not there"), (several, "is an index")):
        found = lineage.base(layout, manifest(layout, b"app", base=base).digest)
        assert isinstance(found, str)
        assert said in found


def test_a_changed_base_is_refused(layout: Layout) -> None:
    """Its bytes are those of the digest that the image names."""
    base = manifest(layout, b"amd64")
    made = manifest(layout, b"amd64", b"app", base=base.digest)
    path = layout.path(base.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"linux", b"linus") + b" ")

    with pytest.raises(DigestMismatch):
        lineage.base(layout, made.digest)


@pytest.mark.parametrize("base", ["sha512:" + "a" * 128, "latest", "../../x"])
def test_a_base_by_another_algorithm_cannot_be_told(base: str, layout: Layout) -> None:
    """What is not looked up by sha256 is said to be so, and is no error of whoever verifies."""
    found = lineage.base(layout, index(layout, manifest(layout, b"app", base=base)))

    assert isinstance(found, str)
    assert "no digest of sha256" in found
