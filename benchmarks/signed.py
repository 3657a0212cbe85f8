"""Signed images by the hundred, in a store and in a registry: made in this process, once for all rows."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

import msgspec
from tests.unit.sign import world
from tests.unit.sign.world import make_signer

from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import REF_NAME, Descriptor, Index, Manifest, index_bytes, is_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = "from lockgate.tasks import namespace\n\nns = namespace()\n"

SETTINGS = """\
project: bench
components: {app: {path: app, entrypoint: [python3]}}
environments: {prod: {public_keys: [release.pub]}}
"""

REPOSITORY = "bench/app"


@dataclass(frozen=True)
class Shop:
    """A repository whose store holds signed images, each with four attestations in both forms."""

    folder: Path
    digests: tuple[str, ...]
    layout: Layout

    @property
    def key(self) -> str:
        """Path of the public key."""
        return str(self.folder / "release.pub")


def make(folder: Path, count: int) -> Shop:
    """Make and sign `count` images of two platforms."""
    world.NOW = int(time.time()) - 120
    (folder / "app").mkdir(parents=True)
    (folder / "tasks.py").write_text(TASKS)
    (folder / "lockgate.yaml").write_text(SETTINGS)
    signer = make_signer("release")
    (folder / "release.pub").write_bytes(signer.public_key().pem())
    store = Layout.create(folder / ".lockgate" / "store")
    entries: list[Descriptor] = []
    digests = []
    with mock.patch.object(os, "fsync"):  # What is made here need not outlive a power failure.
        for number in range(count):
            # Each in a layout of its own: adding a name to a long list means writing the list again.
            made = world.make_world(folder / "tmp", salt=f"image {number}", decided=world.NOW)
            made.sign(signer)
            digests.append(made.image.subject)
            for name, one in made.layout.tags().items():
                named = f"app-{number:04}" if name == "app" else name
                marks = {**one.annotations, REF_NAME: named}
                entries.append(msgspec.structs.replace(one, annotations=marks))
            for blob in (made.layout.root / "blobs" / "sha256").iterdir():
                blob.replace(store.path(f"sha256:{blob.name}"))
            shutil.rmtree(folder / "tmp")
    entries.sort(key=lambda one: one.annotations[REF_NAME])
    (store.root / "index.json").write_bytes(index_bytes(Index(manifests=tuple(entries))))
    return Shop(folder, tuple(digests), store)


@contextlib.contextmanager
def serve(program: str, shop: Shop, home: Path) -> Iterator[str]:
    """Run distribution over a copy of a shop's images; yield the repository with its host.

    Its folders are written as it would write them: pushing so many images takes longer than reading them.
    """
    _fill(shop.layout, home / "docker/registry/v2")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = home / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {home}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
    try:
        _wait(server, port)
        yield f"localhost:{port}/{REPOSITORY}"
    finally:
        server.kill()
        server.wait(30)


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.args!r} does not answer")


def _fill(layout: Layout, root: Path) -> None:
    """Write a layout as distribution's file system driver keeps it."""
    repository = root / "repositories" / REPOSITORY
    for blob in (layout.root / "blobs" / "sha256").iterdir():
        place = root / "blobs" / "sha256" / blob.name[:2] / blob.name / "data"
        place.parent.mkdir(parents=True)
        os.link(blob, place)
    for name, entry in layout.tags().items():
        _link(repository / "_manifests" / "tags" / name / "current", entry.digest)
        for digest in _manifests(layout, entry.digest):
            _link(repository / "_manifests/revisions/sha256" / Digest(digest).hex, digest)
            data = layout.read(digest)
            if not is_index(data):
                manifest = Manifest.parse(data)
                for part in (manifest.config, *manifest.layers):
                    _link(repository / "_layers/sha256" / Digest(part.digest).hex, part.digest)


def _manifests(layout: Layout, digest: str) -> Iterator[str]:
    yield digest
    data = layout.read(digest)
    if is_index(data):
        for one in Index.parse(data).manifests:
            yield from _manifests(layout, one.digest)


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest)
