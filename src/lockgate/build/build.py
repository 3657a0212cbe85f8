"""The build stage: Source, Stack and locked dependencies in, an image index by digest out.

Layers of a platform: base (the stack), then dependencies or one a Go program, then the component's files. Each is
cached by what it is made of, so an app-only change writes one small layer. Nothing of an image is executed, so every
platform is built anywhere.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lockgate.base.canonical import Record, encode
from lockgate.base.errors import UsageError
from lockgate.build import config
from lockgate.build.layer import Entry, Layer, write_layer
from lockgate.build.merge import merged_path
from lockgate.build.model import GoSources, Image, Package, PlatformImage
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


class Sources(Protocol):
    """Gives what layers are made of; each is asked only when that layer is not cached."""

    def base(self, platform: str) -> Ingredients:
        """Return the files of the stack for a platform."""

    def dependencies(self, platform: str) -> Ingredients:
        """Return the files of the locked wheels for a platform."""

    def program(self, platform: str, sources: GoSources, name: str) -> Ingredients:
        """Return one program of a Go module, compiled for a platform."""


class _LayerRecord(Record, frozen=True):
    digest: str
    size: int
    diff_id: str
    packages: tuple[Package, ...]


def build(plan: Plan, *, layout: Layout, cache: StageCache, sources: Sources) -> Image:
    """Build the image index of a component and name it in the layout.

    Args:
        plan: what to build.
        layout: where blobs go; the index is tagged with the component's name, each platform's manifest
            with `name-os-arch`, for tools that read only one.
        cache: finished layers.
        sources: gives what layers are made of.

    Raises:
        UsageError, MirrorError, PackageGone, DigestMismatch, ToolError: from the ingredients.
        StorageError: the disk is full.
    """
    app = _app(plan, layout, cache)

    def one(platform: str) -> tuple[PlatformImage, Descriptor, Descriptor]:
        below = {"STACK": plan.stack_lock, "PLATFORM": platform, "BUILDER": layer_format()}
        name = f"base-{plan.stack}-{platform.replace('/', '-')}"
        made = _layer(layout, cache, name, below, lambda: sources.base(platform))
        base = _Made(made, "base: locked Debian packages")
        layers = [base, *_middle(plan, platform, layout, cache, sources), *app]
        stack_image = _manifest(layout, plan, platform, [base], base_digest="")
        image = _manifest(layout, plan, platform, layers, base_digest=stack_image.digest)
        described = Manifest.parse(layout.read(image.digest)).config
        # Programs of one module share most of what is in them: everything is listed once.
        packages = dict.fromkeys(held for each in layers for held in each.layer.packages)
        record = PlatformImage(
            platform=platform,
            manifest=image.digest,
            config=described.digest,
            layers=tuple(each.layer.digest for each in layers),
            packages=tuple(packages),
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
        go=plan.go,
        compiler=plan.compiler,
        platforms=tuple(record for record, _, _ in made),
        inputs=plan.inputs,
    )
    name_image(layout, built)
    return built


class _Made(NamedTuple):
    layer: _LayerRecord
    created_by: str
    """What the history of the image says of it."""


def _app(plan: Plan, layout: Layout, cache: StageCache) -> list[_Made]:
    """Return the layer of the component's files; none where it has none."""
    if not plan.files:
        return []
    inputs = {"SOURCE": plan.source.content, "BUILDER": layer_format()}
    if plan.place != "/app":
        inputs["PLACE"] = plan.place
    made = _layer(
        layout,
        cache,
        f"app-{plan.component}",
        inputs,
        lambda: Ingredients(_app_entries(plan), tuple),
    )
    return [_Made(made, "app: sources")]


def _middle(
    plan: Plan, platform: str, layout: Layout, cache: StageCache, sources: Sources
) -> Iterator[_Made]:
    """Yield the layers between the stack and the component's own files."""
    arch = platform.replace("/", "-")
    if plan.kind == "python":
        needs = {"DEPS": plan.requirements, "PYTHON": plan.python, "STACK": plan.stack_lock}
        needs |= {"PLATFORM": platform, "BUILDER": layer_format()}
        name = f"deps-{plan.component}-{arch}"
        made = _layer(layout, cache, name, needs, lambda: sources.dependencies(platform))
        yield _Made(made, "dependencies: locked wheels")
    for one in plan.go:
        for program, package in sorted(one.programs.items()):
            needs = {"GO": one.content, "PACKAGE": package, "COMPILER": plan.compiler}
            needs |= {"PLATFORM": platform, "BUILDER": layer_format()}
            name = f"go-{program}-{arch}"
            make = functools.partial(sources.program, platform, one, program)
            made = _layer(layout, cache, name, needs, make)
            yield _Made(made, f"program: {package}, compiled by {plan.compiler}")


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
    below = plan.place.strip("/")
    if below:
        yield Entry(below, "dir", 0o755)
    for path in plan.files:
        item = SourceFile.of(folder, path)
        # A folder `bin` would take the place of the link that `/bin` is in the stack.
        place = f"{below}/{path}" if below else merged_path(path)
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
    layout: Layout, plan: Plan, platform: str, layers: Sequence[_Made], *, base_digest: str
) -> Descriptor:
    """Write config and manifest of one platform; without `base_digest` those of the stack itself."""
    marks = (
        config.image_annotations(plan, base_digest)
        if base_digest
        else config.stack_annotations(plan)
    )
    where = Platform.parse(platform)
    steps = [config.Step(one.layer.diff_id, one.created_by) for one in layers]
    content = config.image_config(plan, where, steps, marks, is_app=bool(base_digest))
    described = layout.put(encode(content), CONFIG)
    parts = [
        Descriptor(media_type=LAYER_GZIP, digest=one.layer.digest, size=one.layer.size)
        for one in layers
    ]
    manifest = Manifest(config=described, layers=tuple(parts), annotations=marks)
    stored = layout.put(manifest_bytes(manifest), MANIFEST)
    return Descriptor(media_type=MANIFEST, digest=stored.digest, size=stored.size, platform=where)


def _index(
    layout: Layout, manifests: Sequence[Descriptor], annotations: dict[str, str]
) -> Descriptor:
    return layout.put(
        index_bytes(Index(manifests=tuple(manifests), annotations=annotations)), INDEX
    )
