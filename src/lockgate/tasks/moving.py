"""The edges of push, pull and copy: what a person's words name, opened, and what is said of the move."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.endpoint import has_host
from lockgate.oci.manifest import Index, is_index
from lockgate.oci.reference import ImageRef, is_name, is_tag
from lockgate.tasks.console import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.oci.connection import World
    from lockgate.oci.endpoint import Endpoint
    from lockgate.oci.registry import Registry
    from lockgate.oci.store import Source, Target
    from lockgate.oci.transfer import Moved
    from lockgate.tasks.session import Session

ARCHIVE = "archive:"

_REVISION = "org.opencontainers.image.revision"
_FORMS = "write a name in the store, `host/name:tag`, `host/name@sha256:…` or `archive:PATH`"


class Ways(NamedTuple):
    """How places are reached."""

    session: Session
    authority: str
    """Path of a file of certificates; empty for those of the machine."""
    insecure: Sequence[str]
    """Hosts that speak plain HTTP."""

    def world(self) -> World:
        """Return what registries are reached by."""
        from lockgate.oci.connection import World
        from lockgate.oci.credentials import CredentialFiles

        return World(
            credentials=CredentialFiles(os.environ, Path.home()).find,
            ca_file=Path(self.authority) if self.authority else None,
            plain_http=tuple(self.insecure),
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
                raise UsageError(f"{text!r} has no path", hint=_FORMS)
            return cls("archive", path, "", "")
        if text.startswith("sha256:"):
            return cls("store", "", "", Digest(text))
        found = ImageRef.parse(text)
        if has_host(found.name):
            return cls("registry", found.name, found.tag, found.digest)
        if found.tag:
            raise UsageError(
                f"{text!r} names no registry, and names in the store have no tag", hint=_FORMS
            )
        return cls("store", "", found.name, found.digest)

    @property
    def last(self) -> str:
        """The last part of the image's name; empty when it has none."""
        if self.kind == "archive":
            return Path(self.where).name.split(".")[0]
        return (self.where or self.name).rsplit("/", 1)[-1]


def pushed_as(session: Session, name: str, to: str, tag: str) -> str:
    """Return the reference that an image of the store is pushed to.

    The tag is for people, so it is the commit that the image says it was built from.

    Raises:
        UsageError: there is nowhere to push to, or the image is not in the store.
    """
    from lockgate.tasks import signing

    if not to:
        raise UsageError(
            "there is no registry to push to", hint="name it: `inv push --to registry.example/team`"
        )
    if "@" in to or not has_host(f"{to}/"):
        raise UsageError(
            f"{to!r} is not a registry with a folder", hint="write it as `registry.example/team`"
        )
    place = Place.parse(name)
    if place.kind != "store" or not place.name:
        raise UsageError(f"{name!r} is not a name in the store", hint="`inv copy` moves anything")
    data = session.layout.read(signing.resolve(session, name))
    marks = Index.parse(data).annotations if is_index(data) else {}
    commit, dash, dirty = marks.get(_REVISION, "").partition("-")
    found = tag or f"{commit[:12]}{dash}{dirty}"
    if found and not is_tag(found):
        raise UsageError(f"{found!r} cannot be a tag", hint="letters, digits, `.`, `_` and `-`")
    return f"{to.rstrip('/')}/{place.last}" + (f":{found}" if found else "")


def pulled_as(reference: str, name: str) -> str:
    """Return the name in the store that an image is pulled to.

    Raises:
        UsageError: what is to be pulled is in the store already, or cannot be a name.
    """
    place = Place.parse(reference)
    if place.kind == "store":
        raise UsageError(f"{reference!r} names no registry", hint=_FORMS)
    found = name or place.last
    if not is_name(found):
        raise UsageError(f"{found!r} cannot be a name in the store", hint="give one with `--name`")
    return found


def run(ways: Ways, stage: str, origin: str, to: str, plan: bool, json: bool) -> None:
    """Move one image, or say what would be moved.

    Raises:
        UsageError: one of the two is not a place, or the image is not there.
        TrustError: the image is not whole, or not what it claims to be.
        RegistryError: a registry is out of reach, or refuses.
    """
    from lockgate.oci import transfer
    from lockgate.tasks import signing

    session, started = ways.session, time.monotonic()
    first, second = Place.parse(origin), Place.parse(to)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_source(ways, first))
        local = first.kind == "store"
        digest = signing.resolve(session, origin) if local else _resolve(source, first)
        if second.digest not in ("", digest):
            raise UsageError(
                f"{origin} is {Digest(digest).short}, and {to} names another digest",
                hint="leave the digest of the target out",
            )
        target = stack.enter_context(_target(ways, second, first))
        name = first.last if second.kind == "archive" else second.name
        work = transfer.plan(source, target, digest, name)
        if plan:
            moved = work.record()
        else:
            with session.console.bar(stage) as progress:
                moved = transfer.move(work, progress)
    if json:
        session.emit(moved)
    where = f"{target.label}:{name}" if second.kind == "registry" and name else to
    session.console.say(stage, f"{origin}  {Digest(digest).short} → {where}")
    if plan:
        session.console.block(_planned(moved))
    else:
        session.console.say(stage, _done(moved), started=started, tone="good")


@contextlib.contextmanager
def _source(ways: Ways, place: Place) -> Iterator[Source]:
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
def _target(ways: Ways, place: Place, source: Place) -> Iterator[Target]:
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
        if source.kind == "registry":
            other = world.endpoint(source.where)
            if other.host == here.host and other.path != here.path:
                beside = other.path
        with _registry(here, world, push=True, mount_from=beside) as registry:
            yield registry


def _registry(endpoint: Endpoint, world: World, *, push: bool, mount_from: str) -> Registry:
    from lockgate.oci.registry import Registry

    return Registry(endpoint, world, push=push, mount_from=mount_from)


def _resolve(source: Source, place: Place) -> str:
    """Return the digest of an image in a registry or a file; a tag is asked for here, and nowhere else."""
    from lockgate.oci.archive import Archive

    if place.digest:
        return place.digest
    if isinstance(source, Archive):
        return source.only().digest
    if not place.name:
        raise UsageError(f"{source.label} has neither tag nor digest", hint=_FORMS)
    found = source.resolve(place.name)
    if found is None:
        raise source.absent(f"tag {place.name}")
    return found.digest


def _planned(moved: Moved) -> list[str]:
    lines = [f"{one.digest}  {_size(one.size):>8}  blob" for one in moved.blobs]
    lines += [f"{one.digest}  {_size(one.size):>8}  manifest" for one in moved.manifests]
    lines += [f"{one:<81}  name" for one in moved.tags]
    return [*lines, "nothing was changed" if lines else "nothing is left to move"]


def _size(size: int) -> str:
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _done(moved: Moved) -> str:
    size = sum(one.size for one in (*moved.blobs, *moved.manifests))
    held = f"{quantity(moved.platforms, 'platform')} · {len(moved.evidence)} pieces of evidence"
    if not (moved.blobs or moved.manifests or moved.tags):
        return f"{held} · unchanged"
    return f"{held} · {quantity(len(moved.blobs), 'blob')} moved, {_size(size)}"
