"""Real registries, an image with every kind of evidence, and the three ways to move it."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import httpx2
import pytest
from tests.integration.faults.proxy import Asked
from tests.integration.registries import REAL, Running
from tests.unit.oci.images import everything

from lockgate.oci import transfer
from lockgate.oci.archive import Archive
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.closure import walk
from lockgate.oci.connection import World
from lockgate.oci.layout import Layout
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import Serve
    from tests.integration.faults.proxy import Script

    from lockgate.oci.manifest import Descriptor

T = TypeVar("T")

SECONDS = 180
"""No run may take longer than this, whatever befalls it."""


@dataclass
class Pauses:
    """A world that does not wait, and remembers how long it would have."""

    seconds: list[float] = field(default_factory=list)

    def world(self) -> World:
        """Return it."""
        return World(sleep=self.seconds.append)


def within(seconds: float, action: Callable[[], T]) -> T:
    """Return what an action returns; a run that hangs fails the test."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result(seconds)


@dataclass
class Shop:
    """A layout with an image, and a repository of its own in a registry."""

    running: Running
    layout: Layout
    root: Descriptor
    folder: Path
    repository: str
    pauses: Pauses = field(default_factory=Pauses)
    silent: Script | None = None
    """The answers that are not waited for, where a proxy never ends them: see `impatient`."""

    def registry(self, host: str = "", *, push: bool = False) -> Registry:
        """Return a client for the repository, directly or by way of a proxy."""
        world = self.pauses.world()
        if self.silent:
            world = impatient(world, self.silent)
        name = f"{host or f'127.0.0.1:{self.running.port}'}/{self.repository}"
        return Registry(world.endpoint(name), world, push=push)

    def push(self, host: str = "", tag: str = "1.0") -> transfer.Moved:
        """Push the image."""
        with self.registry(host, push=True) as target:
            source = LayoutStore(self.layout, "the store")
            return _move(lambda: transfer.plan(source, target, self.root.digest, tag))

    def pull(self, host: str = "", into: str = "pulled") -> transfer.Moved:
        """Pull what the tag names into a layout of its own, by the tag's digest."""
        with self.registry(host) as source:
            found = source.resolve("1.0")
            if found is None:
                raise source.absent("tag 1.0")
            target = LayoutStore(Layout.create(self.folder / into), "pulled")
            return _move(lambda: transfer.plan(source, target, found.digest, "app"))

    def copy(self, host: str = "", into: str = "copied.tar") -> transfer.Moved:
        """Copy the image from the registry into a file."""
        with self.registry(host) as source, ArchiveTarget(self.folder / into) as target:
            return _move(lambda: transfer.plan(source, target, self.root.digest, "app"))

    def pushed(self) -> None:
        """Prove that the repository holds the image with all its evidence."""
        with self.registry() as source, ThreadPoolExecutor(2) as pool:
            found = source.resolve("1.0")
            assert found is not None
            assert found.digest == self.root.digest
            there = walk(source, self.root.digest, pool)
            here = walk(LayoutStore(self.layout, "here"), self.root.digest, pool)
            assert there.evidence == here.evidence
            assert [(name, one.digest) for name, one in there.tags] == [
                (name, one.digest) for name, one in here.tags
            ]
            assert all(source.has(one) for one in here.blobs)

    def whole_or_absent(self) -> None:
        """Prove that nothing half done is visible in the repository: a tag leads to all of an image."""
        with self.registry() as source:
            if source.resolve("1.0") is not None:
                self.pushed()

    def pulled(self, into: str = "pulled") -> None:
        """Prove that the layout is like the one that was pushed."""
        layout = Layout.open(self.folder / into)
        assert layout.tags() == self.layout.tags()
        assert len(layout.verify_image(self.root.digest)) == 2
        self.undamaged(into)

    def undamaged(self, into: str = "pulled") -> None:
        """Prove that every blob is what its name says, and that no name leads to less than an image."""
        root = self.folder / into
        for path in (root / "blobs" / "sha256").glob("[!.]*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        if (root / "oci-layout").exists():
            layout = Layout.open(root)
            if "app" in layout.tags():
                layout.verify_image(layout.resolve("app").digest)

    def copied(self, into: str = "copied.tar") -> None:
        """Prove that the file holds the image with all its evidence."""
        with Archive(self.folder / into) as archive, ThreadPoolExecutor(2) as pool:
            there = walk(archive, self.root.digest, pool)
            here = walk(LayoutStore(self.layout, "here"), self.root.digest, pool)
            assert there.evidence == here.evidence
            for one in here.blobs:
                with archive.open(one) as pieces:
                    assert sum(map(len, pieces)) == one.size


def _move(plan: Callable[[], transfer.Plan]) -> transfer.Moved:
    return within(SECONDS, lambda: transfer.move(plan(), lambda *_: None))


@pytest.fixture(scope="session", params=REAL)
def running(
    request: pytest.FixtureRequest, real_registry: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Each real registry."""
    with real_registry(request.param, tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Descriptor]:
    """A layout with an image and all kinds of evidence; nobody changes it."""
    layout = Layout.create(tmp_path_factory.mktemp("image") / "store")
    return layout, everything(layout, size=1_300_000)


@pytest.fixture
def shop(running: Running, image: tuple[Layout, Descriptor], tmp_path: Path) -> Shop:
    """An empty repository, and an image to push into it."""
    layout, root = image
    return Shop(running, layout, root, tmp_path, f"team/{uuid.uuid4().hex[:12]}")


class _Impatient(httpx2.HTTPTransport):
    """Sockets that wait only a moment for the answers that a script makes silent.

    Every other answer has as long as always. On a busy machine a registry that is well can be silent for longer
    than that moment, and with a limit for all requests a test would fail, or pass, for another reason.
    """

    def __init__(self, script: Script, seconds: float) -> None:
        super().__init__(trust_env=False)
        self._script, self._seconds = script, seconds
        self._count = itertools.count(1)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry one request."""
        path = request.url.raw_path.decode("ascii")
        asked = Asked(next(self._count), request.method, path, dict(request.headers))
        if self._script(asked):
            # Whoever sets no limit at all would wait for ever, and is not helped here.
            limits = request.extensions["timeout"]
            assert limits["read"] is not None
            limits["read"] = min(limits["read"], self._seconds)
        return super().handle_request(request)


def impatient(world: World, script: Script, seconds: float = 0.5) -> World:
    """Return a world that takes silence for the end after a moment, where a script makes an answer silent.

    Args:
        world: what else a connection takes from outside.
        script: one like that of the proxy; with a memory, another one than the proxy's.
        seconds: the moment.
    """
    return replace(world, transport=_Impatient(script, seconds))
