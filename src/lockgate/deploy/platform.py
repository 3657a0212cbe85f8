"""Which of an index's images this machine runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.deploy.contract import REVISION
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import Platform
from lockgate.oci.unpack import read_config

if TYPE_CHECKING:
    from lockgate.oci.layout import Layout

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Names of processors as uname(1) prints them, and as images have them."""


class Chosen(NamedTuple):
    """The image of one platform."""

    manifest: str
    """Its digest."""
    revision: str
    """Commit id from its labels; empty when it has none."""


def choose(layout: Layout, digest: str, machine: str = "") -> Chosen:
    """Return the image below `digest` for Linux on this processor.

    Args:
        layout: the store.
        digest: of an image index or of one platform's manifest.
        machine: processor as uname(1) prints it; empty: this machine's.

    Raises:
        UsageError: there is none, or a blob is absent.
        DigestMismatch: a blob's bytes were changed.
    """
    machine = machine or os.uname().machine
    wanted = Platform(os="linux", architecture=_ARCHITECTURES.get(machine, machine))
    found = []
    for descriptor in layout.manifests(digest):
        # The configuration decides: it is what the platform's builder wrote, the index only repeats it.
        _, config = read_config(layout, descriptor.digest)
        here = Platform(os=config.os, architecture=config.architecture)
        if here == wanted:
            return Chosen(descriptor.digest, config.config.labels.get(REVISION, ""))
        found.append(str(here))
    raise UsageError(
        f"image {Digest(digest).short} is for {', '.join(found)}, this machine runs {wanted}",
        hint=f"add {wanted} to `build.platforms` in `lockgate.yaml`",
    )
