"""A layer that ends in the middle of a file."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch
from lockgate.build.layer import Entry, write_layer
from lockgate.oci.entries import Budget, LayerReader, Limits
from lockgate.oci.layout import Layout

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


def drain(reader: LayerReader) -> None:
    """Read everything, as unpacking does."""
    for _ in reader.entries():
        for _ in reader.content():
            pass
