"""Places that a person's words name, opened: the store, a repository of a registry, an archive."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.endpoint import has_host
from lockgate.oci.reference import ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from lockgate.oci.connection import World
    from lockgate.oci.endpoint import Endpoint
    from lockgate.oci.readable import Readable
    from lockgate.oci.registry import Registry
    from lockgate.oci.store import Source, Target
    from lockgate.tasks.session import Session

ARCHIVE = "archive:"

FORMS = "write a name in the store, `host/name:tag`, `host/name@sha256:…` or `archive:PATH`"


class Ways(NamedTuple):
    """How places are reached."""

    session: Session
    authority: str
    """Path of a file of certificates; empty for those of the machine."""
    insecure: Sequence[str]
    """Hosts that speak plain HTTP, beside those of the settings."""

    def world(self) -> World:
        """Return what registries are reached by."""
        from lockgate.oci.connection import World
        from lockgate.oci.credentials import CredentialFiles

        return World(
            credentials=CredentialFiles(os.environ, Path.home()).find,
            ca_file=Path(self.authority) if self.authority else None,
            plain_http=(*self.session.settings.plain_http, *self.insecure),
        )


class Place(NamedTuple):
    """What a person's word names: a place, and an image in it."""

    kind: str
    """`store`, `registry` or `archive`."""
    where: str
    """Repository with its host, or path; empty for the store."""
    name: str
    """Name in the store, or tag; empty for none."""
    digest: str
    """Empty for none; it goes before the name."""

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what a person typed.

        Raises:
            UsageError: it names no place.
        """
        if text.startswith(ARCHIVE):
            path = text.removeprefix(ARCHIVE)
            if not path:
                raise UsageError(f"{text!r} has no path", hint=FORMS)
            return cls("archive", path, "", "")
        if text.startswith(("sha256:", "sha384:", "sha512:")):
            return cls("store", "", "", Digest(text))
        found = ImageRef.parse(text)
        if has_host(found.name):
            return cls("registry", found.name, found.tag, found.digest)
        if found.tag:
            raise UsageError(
                f"{text!r} names no registry, and names in the store have no tag", hint=FORMS
            )
        return cls("store", "", found.name, found.digest)

    @property
    def last(self) -> str:
        """The last part of the image's name; empty when it has none."""
        if self.kind == "archive":
            return Path(self.where).name.split(".")[0]
        return (self.where or self.name).rsplit("/", 1)[-1]


@contextlib.contextmanager
def source(ways: Ways, place: Place) -> Iterator[Source]:
    """Open a place to read from."""
    from lockgate.oci.archive import Archive
    from lockgate.oci.store import LayoutStore

    if place.kind == "store":
        yield LayoutStore(ways.session.layout, "the store")
    elif place.kind == "archive":
        with Archive(Path(place.where)) as archive:
            yield archive
    else:
        world = ways.world()
        with _registry(world.endpoint(place.where), world, push=False, mount_from="") as registry:
            yield registry


@contextlib.contextmanager
def target(ways: Ways, place: Place, origin: Place) -> Iterator[Target]:
    """Open a place to write to; what comes from a repository of the same registry need not be sent."""
    from lockgate.oci.archive_target import ArchiveTarget
    from lockgate.oci.store import LayoutStore

    if place.kind == "store":
        yield LayoutStore(ways.session.layout, "the store")
    elif place.kind == "archive":
        with ArchiveTarget(Path(place.where)) as archive:
            yield archive
    else:
        world = ways.world()
        here, beside = world.endpoint(place.where), ""
        if origin.kind == "registry":
            other = world.endpoint(origin.where)
            if other.host == here.host and other.path != here.path:
                beside = other.path
        with _registry(here, world, push=True, mount_from=beside) as registry:
            yield registry


def _registry(endpoint: Endpoint, world: World, *, push: bool, mount_from: str) -> Registry:
    from lockgate.oci.registry import Registry

    return Registry(endpoint, world, push=push, mount_from=mount_from)


def resolve(source: Source, place: Place) -> str:
    """Return the digest of an image in a registry or a file; a tag is asked for here, and nowhere else.

    Raises:
        UsageError: nothing says which image is meant.
        RegistryError: there is no such tag, or the registry is out of reach.
    """
    from lockgate.oci.archive import Archive

    if place.digest:
        return place.digest
    if isinstance(source, Archive):
        return source.only().digest
    if not place.name:
        raise UsageError(f"{source.label} has neither tag nor digest", hint=FORMS)
    found = source.resolve(place.name)
    if found is None:
        raise source.absent(f"tag {place.name}")
    return found.digest


class Doors:
    """Places that are read from. Each registry and each archive is opened once, however many images it has.

    Args:
        ways: how places are reached.
        layers: read layers of a registry, too; those of other places always are.
    """

    def __init__(self, ways: Ways, *, layers: bool) -> None:
        self.ways, self._layers = ways, layers
        self._stack = contextlib.ExitStack()
        self._opened: dict[tuple[str, str], tuple[Source, Readable]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def open(self, text: str) -> tuple[Readable, str]:
        """Return the place that a person's word names, and the image's digest.

        A name or tag is resolved here, once; whatever is read afterwards goes by the digest.

        Raises:
            UsageError: it names no place, or the image is not there.
            RegistryError: the registry is out of reach, or does not hold it.
        """
        from lockgate.oci.readable import Elsewhere
        from lockgate.tasks import signing

        place = Place.parse(text)
        if place.kind == "store":
            return self.ways.session.layout, signing.resolve(self.ways.session, text)
        key = (place.kind, place.where)
        if key not in self._opened:
            opened = self._stack.enter_context(source(self.ways, place))
            whole = self._layers or place.kind == "archive"
            self._opened[key] = opened, self._stack.enter_context(Elsewhere(opened, layers=whole))
        found, readable = self._opened[key]
        return readable, resolve(found, place)


@contextlib.contextmanager
def reading(ways: Ways, text: str, *, layers: bool) -> Iterator[tuple[Readable, str]]:
    """Open one place for reading; otherwise as `Doors`."""
    with Doors(ways, layers=layers) as doors:
        yield doors.open(text)


def within(ways: Ways, env: str, text: str) -> str:
    """Return a reference whole: `app:1.0` is in the registry of the environment, when it has one.

    Raises:
        UsageError: it is no reference.
    """
    if text.startswith((ARCHIVE, "sha256:")):
        return text
    _, environment = ways.session.settings.target(env)
    found = ImageRef.parse(text)
    if found.tag and environment.registry and not has_host(found.name):
        return f"{environment.registry}/{text}"
    return text
