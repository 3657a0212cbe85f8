"""The build stage: Source, Stack and locked dependencies in, an image index by digest out.

Three layers a platform: base (the stack), dependencies, app. Each is cached by what it is made of, so an
app-only change writes one small layer. Nothing is executed, so every platform is built anywhere.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.canonical import Record, encode
from lockgate.base.errors import UsageError
from lockgate.build import config
from lockgate.build.layer import Entry, Layer, write_layer
from lockgate.build.model import Image, Package, PlatformImage
from lockgate.build.naming import name_image
from lockgate.build.plan import Plan, builder_id, layer_format
from lockgate.build.tree import ContentHash, SourceFile
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lockgate.base.cache import StageCache
    from lockgate.oci.layout import Layout


class Ingredients(NamedTuple):
    """What one layer is made of."""

    entries: Iterable[Entry]
    packages: Callable[[], tuple[Package, ...]]
    """Asked once the entries were read: what is in a package may be known only then."""


class _LayerRecord(Record, frozen=True):
    digest: str
    size: int
    diff_id: str
    packages: tuple[Package, ...]


def build(
    plan: Plan,
    *,
    layout: Layout,
    cache: StageCache,
    base: Callable[[str], Ingredients],
    dependencies: Callable[[str], Ingredients],
) -> Image:
    """Build the image index of a component and name it in the layout.

    Args:
        plan: what to build.
        layout: where blobs go; the index is tagged with the component's name, each platform's manifest
            with `name-os-arch`, for tools that read only one.
        cache: finished layers.
        base: gives the files of the stack for a platform; called only when that layer is not cached.
        dependencies: the same for the locked wheels.

    Raises:
        UsageError, MirrorError, PackageGone, DigestMismatch: from the ingredients.
        StorageError: the disk is full.
    """
    app = _layer(
        layout,
        cache,
        f"app-{plan.component}",
        {"SOURCE": plan.source.content, "BUILDER": layer_format()},
        lambda: Ingredients(_app_entries(plan), tuple),
    )

    def one(platform: str) -> tuple[PlatformImage, Descriptor, Descriptor]:
        arch = platform.replace("/", "-")
        below = {"STACK": plan.stack_lock, "PLATFORM": platform, "BUILDER": layer_format()}
        first = _layer(layout, cache, f"base-{plan.stack}-{arch}", below, lambda: base(platform))
        needs = {"DEPS": plan.requirements, "PYTHON": plan.python, "STACK": plan.stack_lock}
        needs |= {"PLATFORM": platform, "BUILDER": layer_format()}
        second = _layer(
            layout, cache, f"deps-{plan.component}-{arch}", needs, lambda: dependencies(platform)
        )
        stack_image = _manifest(layout, plan, platform, [first], base_digest="")
        image = _manifest(
            layout, plan, platform, [first, second, app], base_digest=stack_image.digest
        )
        described = Manifest.parse(layout.read(image.digest)).config
        record = PlatformImage(
            platform=platform,
            manifest=image.digest,
            config=described.digest,
            layers=(first.digest, second.digest, app.digest),
            packages=(*first.packages, *second.packages),
        )
        return record, image, stack_image

    with ThreadPoolExecutor(max_workers=len(plan.platforms)) as pool:
        made = list(pool.map(one, plan.platforms))
    stack_index = _index(layout, [stack for _, _, stack in made], config.stack_annotations(plan))
    marks = config.image_annotations(plan, stack_index.digest)
    index = _index(layout, [image for _, image, _ in made], marks)
    layout.tag({f"stack-{plan.stack}": stack_index})
    built = Image(
        subject=index.digest,
        component=plan.component,
        source=plan.source,
        stack=plan.stack,
        stack_lock=plan.stack_lock,
        requirements=plan.requirements,
        builder=builder_id(),
        platforms=tuple(record for record, _, _ in made),
        inputs=plan.inputs,
    )
    name_image(layout, built)
    return built


def _layer(
    layout: Layout,
    cache: StageCache,
    name: str,
    inputs: Mapping[str, str],
    make: Callable[[], Ingredients],
) -> _LayerRecord:
    kept = cache.find("layer", name, inputs, _LayerRecord)
    if kept is not None and layout.has(kept.digest):
        return kept
    ingredients = make()
    layer: Layer = write_layer(layout, ingredients.entries)
    record = _LayerRecord(
        digest=layer.descriptor.digest,
        size=layer.descriptor.size,
        diff_id=layer.diff_id,
        packages=ingredients.packages(),
    )
    cache.keep("layer", name, inputs, record)
    return record


def _app_entries(plan: Plan) -> Iterator[Entry]:
    folder = Path(plan.path)
    total = ContentHash()
    yield Entry("app", "dir", 0o755)
    for path in plan.files:
        item = SourceFile.of(folder, path)
        place = f"app/{path}"
        if item.kind == "l":
            total.update(item.target)
            yield Entry(place, "symlink", 0o777, link=os.fsdecode(item.target))
        else:
            mode = 0o755 if item.kind == "x" else 0o644
            yield Entry(place, "file", mode, _hashing(item, total), item.size)
        total.close(item)
    if total.digest != plan.source.content:
        # The digest is in the record and in the cache's key: it must be that of these very bytes.
        raise UsageError(
            f"files in {plan.source.subpath} changed while they were read", hint="run it again"
        )


def _hashing(item: SourceFile, total: ContentHash) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        for piece in item.pieces():
            total.update(piece)
            yield piece

    return pieces


def _manifest(
    layout: Layout, plan: Plan, platform: str, layers: Sequence[_LayerRecord], *, base_digest: str
) -> Descriptor:
    """Write config and manifest of one platform; without `base_digest` those of the stack itself."""
    marks = (
        config.image_annotations(plan, base_digest)
        if base_digest
        else config.stack_annotations(plan)
    )
    where = Platform.parse(platform)
    content = config.image_config(plan, where, [one.diff_id for one in layers], marks)
    described = layout.put(encode(content), CONFIG)
    parts = [Descriptor(media_type=LAYER_GZIP, digest=one.digest, size=one.size) for one in layers]
    manifest = Manifest(config=described, layers=tuple(parts), annotations=marks)
    stored = layout.put(manifest_bytes(manifest), MANIFEST)
    return Descriptor(media_type=MANIFEST, digest=stored.digest, size=stored.size, platform=where)


def _index(
    layout: Layout, manifests: Sequence[Descriptor], annotations: dict[str, str]
) -> Descriptor:
    return layout.put(
        index_bytes(Index(manifests=tuple(manifests), annotations=annotations)), INDEX
    )
