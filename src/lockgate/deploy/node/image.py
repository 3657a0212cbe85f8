"""The image of a node: the stack `node`, one layer for each program, and what starts them.

Also the two images that a cluster must have before it can pull any: the process that holds the network of a
pod, and CoreDNS. They lie in the node's image, as an archive that containerd reads.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Record, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.build.config import time_text
from lockgate.build.layer import Entry, write_layer
from lockgate.build.plan import layer_format
from lockgate.deploy import archive
from lockgate.deploy.node import configuration
from lockgate.deploy.node.model import DNS, PROGRAMS, NodeImage
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    CONFIG,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Manifest,
    Platform,
    manifest_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lockgate.base.cache import StageCache
    from lockgate.build.stack_lock import LockedStack
    from lockgate.oci.layout import Layout

_PACKAGE = Path(__file__).parents[2]
"""Folder of the package `lockgate`, of which the node gets the modules below `inside`."""

_SHIPPED = (
    "__init__.py",
    "deploy/__init__.py",
    "deploy/node/__init__.py",
    *(
        f"deploy/node/inside/{name}.py"
        for name in ("__init__", "__main__", "ask", "plan", "settle", "supervise")
    ),
)
_HOME = "usr/lib/lockgate"
_PAUSE = "usr/bin/catatonit"
_USER = "65532:65532"
_PIECE = 1 << 20


class Recipe(NamedTuple):
    """What a node's image is made of."""

    platform: str
    """`linux/amd64`."""
    locked: LockedStack
    """The stack `node`."""
    base: Callable[[], Iterable[Entry]]
    """Gives the files of the stack; called only when that layer is not cached."""
    programs: Mapping[str, Path]
    """The file of every program of `model.PROGRAMS` and of `model.DNS`."""
    versions: Mapping[str, str]
    """Their versions."""

    def inputs(self) -> dict[str, str]:
        """Return everything that the image depends on."""
        return {
            "PLATFORM": self.platform,
            "STACK": self.locked.digest,
            "BUILDER": layer_format(),
            "NODE": _shipped(),
            "PROGRAMS": Digest.of(
                encode({name: _sha256(path) for name, path in self.programs.items()})
            ),
        }


class _Layer(Record, frozen=True):
    digest: str
    size: int
    diff_id: str


class _Kitchen(NamedTuple):
    """Where layers are made and kept."""

    layout: Layout
    cache: StageCache

    def layer(
        self, name: str, inputs: Mapping[str, str], entries: Callable[[], Iterable[Entry]]
    ) -> _Layer:
        """Return a layer, written unless it is there."""
        inputs = {**inputs, "BUILDER": layer_format()}
        kept = self.cache.find("node-layer", name, inputs, _Layer)
        if kept is not None and self.layout.has(kept.digest):
            return kept
        made = write_layer(self.layout, entries())
        record = _Layer(made.descriptor.digest, made.descriptor.size, made.diff_id)
        self.cache.keep("node-layer", name, inputs, record)
        return record

    def image(
        self, recipe: Recipe, layers: Sequence[_Layer], settings: Mapping[str, object]
    ) -> str:
        """Write configuration and manifest of an image; return the manifest's digest."""
        where = Platform.parse(recipe.platform)
        content = {
            "architecture": where.architecture,
            "os": where.os,
            "created": time_text(recipe.locked.lock.date),
            "config": dict(settings),
            "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
        }
        described = self.layout.put(encode(content), CONFIG)
        parts = tuple(
            Descriptor(media_type=LAYER_GZIP, digest=one.digest, size=one.size) for one in layers
        )
        manifest = manifest_bytes(Manifest(config=described, layers=parts))
        return self.layout.put(manifest, MANIFEST).digest


def make(recipe: Recipe, *, layout: Layout, cache: StageCache) -> NodeImage:
    """Return the image of a node, built unless the layout has it.

    The caller holds a lock: what no image of this recipe needs is removed from the layout.

    Raises:
        UsageError, DigestMismatch: from the stack.
        StorageError: the disk is full.
    """
    kept = cached(recipe, layout=layout, cache=cache)
    if kept is not None:
        return kept
    kitchen = _Kitchen(layout, cache)
    stack = {"STACK": recipe.locked.digest, "PLATFORM": recipe.platform}
    layers = [kitchen.layer("base", stack, recipe.base)]
    for name in PROGRAMS:
        path = recipe.programs[name]
        layers.append(_program_layer(kitchen, name, path, f"usr/local/bin/{name}"))
    pause, dns, last = _own_layer(kitchen, recipe, layers[0])
    settings = {
        "Entrypoint": ["python3", "-m", "lockgate.deploy.node.inside"],
        "Env": [
            "LANG=C.UTF-8",
            "PATH=/usr/local/bin:/usr/bin:/usr/sbin",
            "PYTHONDONTWRITEBYTECODE=1",
            f"PYTHONPATH=/{_HOME}",
            "PYTHONUNBUFFERED=1",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        ],
        "StopSignal": "SIGTERM",
        "WorkingDir": "/",
    }
    made = NodeImage(
        manifest=kitchen.image(recipe, [*layers, last], settings),
        platform=recipe.platform,
        versions=dict(recipe.versions),
        pause=pause,
        dns=dns,
    )
    cache.keep("node", "image", recipe.inputs(), made)
    _sweep(layout, made.manifest)
    return made


def cached(recipe: Recipe, *, layout: Layout, cache: StageCache) -> NodeImage | None:
    """Return the image when it was built already, else None."""
    kept = cache.find("node", "image", recipe.inputs(), NodeImage)
    if kept is None or not layout.has(kept.manifest):
        return None
    manifest = Manifest.parse(layout.read(kept.manifest))
    whole = all(layout.has(one.digest) for one in (manifest.config, *manifest.layers))
    return kept if whole else None


def _program_layer(kitchen: _Kitchen, name: str, path: Path, place: str) -> _Layer:
    entry = Entry(place, "file", 0o755, lambda: _pieces(path), path.stat().st_size)
    return kitchen.layer(
        f"program-{name}", {"PROGRAM": _sha256(path), "PLACE": place}, lambda: [entry]
    )


def _own_layer(kitchen: _Kitchen, recipe: Recipe, base: _Layer) -> tuple[str, str, _Layer]:
    """Return the references of pause and CoreDNS, and the layer with both and what starts the parts."""
    layout = kitchen.layout
    pause_layer = kitchen.layer(
        "pause",
        {"BASE": base.digest},
        lambda: [Entry("pause", "file", 0o755, _from_layer(layout, base.digest, _PAUSE))],
    )
    dns_layer = _program_layer(kitchen, DNS, recipe.programs[DNS], "coredns")
    pause = kitchen.image(recipe, [pause_layer], {"Entrypoint": ["/pause", "-P"], "User": _USER})
    dns = kitchen.image(recipe, [dns_layer], {"Entrypoint": ["/coredns"], "User": _USER})
    references = {
        f"localhost/lockgate/{name}:{Digest(digest).hex[:16]}": digest
        for name, digest in (("pause", pause), ("coredns", dns))
    }
    with tempfile.TemporaryFile(dir=layout.root) as file:
        try:
            archive.write_archives(layout, references, file)
            size = file.tell()
        except OSError as error:
            raise storage_error(error, layout.root) from error

        def pieces() -> Iterator[bytes]:
            file.seek(0)
            while piece := file.read(_PIECE):
                yield piece

        layer = kitchen.layer(
            "own",
            {"IMAGES": encode(references).decode(), "NODE": _shipped()},
            lambda: [
                Entry(configuration.IMAGES.lstrip("/"), "file", 0o644, pieces, size),
                *(
                    Entry(f"{_HOME}/lockgate/{name}", "file", 0o644, (_PACKAGE / name).read_bytes())
                    for name in _SHIPPED
                ),
            ],
        )
    first, second = references
    return first, second, layer


def _from_layer(layout: Layout, digest: str, path: str) -> bytes:
    """Return a file of a layer in the store.

    Raises:
        UsageError: the layer does not have it.
    """
    with layout.stream(digest) as blob, tarfile.open(fileobj=blob, mode="r|gz") as tar:
        for member in tar:
            if member.name == path and (file := tar.extractfile(member)) is not None:
                return file.read()
    raise UsageError(
        f"the stack `node` has no {path}",
        hint="add `catatonit` to its `packages`, then lock it again",
    )


def _shipped() -> str:
    """Return the digest of what the node gets of this library."""
    return Digest.of(encode({name: (_PACKAGE / name).read_text() for name in _SHIPPED}))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(error, path) from error


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _sweep(layout: Layout, manifest: str) -> None:
    """Remove every blob that the image does not consist of: a node weighs some hundred megabytes."""
    parsed = Manifest.parse(layout.read(manifest))
    keep = {manifest, parsed.config.digest, *(layer.digest for layer in parsed.layers)}
    for path in layout.path(manifest).parent.iterdir():
        if f"sha256:{path.name}" not in keep:
            path.unlink(missing_ok=True)
