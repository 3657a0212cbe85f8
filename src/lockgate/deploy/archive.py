"""An image as a docker archive, the one form that every container engine loads."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING

from lockgate.oci.digest import Digest
from lockgate.oci.unpack import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.oci.layout import Layout
    from lockgate.oci.manifest import Descriptor


def write_archive(layout: Layout, manifest: str, reference: str, into: IO[bytes]) -> None:
    """Write the image of one platform as a docker archive: `manifest.json`, configuration, layers.

    Raises:
        UsageError: a blob is absent.
    """
    write_archives(layout, {reference: manifest}, into)


def write_archives(layout: Layout, images: Mapping[str, str], into: IO[bytes]) -> None:
    """Write several images into one docker archive; what they share stands in it once.

    Args:
        layout: where they are.
        images: digest of the manifest of one platform by the reference that the image gets.
        into: a file.

    Raises:
        UsageError: a blob is absent.
    """
    listing: list[dict[str, object]] = []
    blobs: dict[str, Descriptor] = {}
    for reference, manifest in images.items():
        parsed, _ = read_config(layout, manifest)
        config = Digest(parsed.config.digest).hex + ".json"
        layers = [Digest(layer.digest).hex + ".tar" for layer in parsed.layers]
        listing.append({"Config": config, "RepoTags": [reference], "Layers": layers})
        blobs |= {config: parsed.config, **dict(zip(layers, parsed.layers, strict=True))}
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, descriptor in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = descriptor.size
            with layout.stream(descriptor.digest) as blob:
                archive.addfile(info, blob)
        text = json.dumps(listing).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
