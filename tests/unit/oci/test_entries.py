"""A layer that ends in the middle of a file."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, TrustError
from lockgate.build.layer import Entry, write_layer
from lockgate.oci.digest import Digest
from lockgate.oci.entries import Budget, LayerReader, Limits
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import LAYER_GZIP, Descriptor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kept", [12, 600, 5_000, 40_000])
def test_a_file_that_is_cut_off_is_a_changed_blob(kept: int, tmp_path: Path) -> None:
    """Wherever the blob ends, reading it says DigestMismatch and not what the archive reader stumbled over."""
    layout = Layout.create(tmp_path)
    noise = random.Random(7).randbytes(90_000)  # noqa: S311 - content, not a secret
    layer = write_layer(layout, [Entry("data", "file", 0o644, noise)])
    cut = layout.path(layer.descriptor.digest).read_bytes()[:kept]
    reader = LayerReader(io.BytesIO(cut), layer.descriptor, layer.diff_id, Budget(Limits()))
    with pytest.raises(DigestMismatch):
        drain(reader)


@pytest.mark.parametrize(
    ("magic", "end"),
    [(b"ustar  \0", b""), (bytes(8), b""), (b"ustar\x0000", b"tar\0")],
    ids=["GNU", "V7", "star"],
)
def test_a_name_that_only_some_readers_put_together(magic: bytes, end: bytes) -> None:
    """Whoever scans a layer and whoever runs it would see different files."""
    block = bytearray(tarfile.TarInfo("file").tobuf(tarfile.USTAR_FORMAT))
    block[257:265], block[345:347] = magic, b"x/"
    block[512 - len(end) :] = end
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    plain = bytes(block) + bytes(1024)
    data = gzip.compress(plain)
    layer = Descriptor.of(LAYER_GZIP, data)

    reader = LayerReader(io.BytesIO(data), layer, Digest.of(plain), Budget(Limits()))

    with pytest.raises(TrustError, match="has a name that readers differ about"):
        drain(reader)


def drain(reader: LayerReader) -> None:
    """Read everything, as unpacking does."""
    for _ in reader.entries():
        for _ in reader.content():
            pass
