"""Cells about images in a registry and in an archive: what is served, hidden, moved, and changed in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tests.tamper.bench import KINDS, NAMES
from tests.tamper.cells import Cell, flipped
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.mishaps import replies
from tests.unit.sign.shelf import SHELVES

from lockgate.base.errors import (
    AttestationMissing,
    DigestMismatch,
    RegistryError,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.oci import transfer
from lockgate.oci.archive import Archive
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, Index, index_bytes
from lockgate.oci.readable import Elsewhere
from lockgate.oci.store import LayoutStore
from lockgate.sign import legacy
from lockgate.sign.verify import require

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator

    from tests.tamper.bench import Bench
    from tests.tamper.cells import Position

    from lockgate.base.errors import LockgateError
    from lockgate.oci.store import Source, Target

    Change = Callable[[bytes, Position], bytes]

STAGE = "elsewhere"

BUNDLE, LEGACY = "bundle", "legacy"
PARTS = ("index", "manifest", "config", "layer")

_NOTHING = index_bytes(Index(manifests=()))


class Far(Protocol):
    """A place that is not the store, and what an attacker does to it."""

    def fill(self, bench: Bench, digest: str, name: str) -> None:
        """Bring an image there with all its evidence."""
        ...

    def change(self, digest: str, how: Callable[[bytes], bytes]) -> None:
        """Serve other bytes for a digest."""
        ...

    def source(self) -> contextlib.AbstractContextManager[Source]:
        """Open it."""
        ...


class InRegistry:
    """A registry in dictionaries."""

    def __init__(self) -> None:
        # One that lists referrers by their tag, so that the list stays as it is whatever becomes of them.
        self.registry = DictRegistry(referrers_api=False)
        self.here = self.registry["team/app"]

    def fill(self, bench: Bench, digest: str, name: str) -> None:
        """Push."""
        with self.registry.open() as target:
            _move(bench, target, digest, name)

    def change(self, digest: str, how: Callable[[bytes], bytes]) -> None:
        """Serve other bytes for a digest."""
        if digest in self.here.manifests:
            kind, data = self.here.manifests[digest]
            self.here.manifests[digest] = (kind, how(data))
        else:
            self.here.blobs[digest] = how(self.here.blobs[digest])

    def remove(self, digest: str) -> None:
        """Serve nothing for a digest."""
        self.here.manifests.pop(digest, None)
        self.here.blobs.pop(digest, None)

    def source(self) -> contextlib.AbstractContextManager[Source]:
        """Open it for reading."""
        return self.registry.open(push=False)


class InArchive:
    """A file."""

    def __init__(self, bench: Bench) -> None:
        self.path = bench.folder / "app.tar"

    def fill(self, bench: Bench, digest: str, name: str) -> None:
        """Write."""
        with ArchiveTarget(self.path) as target:
            _move(bench, target, digest, name)

    def change(self, digest: str, how: Callable[[bytes], bytes]) -> None:
        """Change a blob within the file; its length stays."""
        data = self.path.read_bytes()
        with Archive(self.path) as archive:
            at, size = archive._entries[f"blobs/sha256/{Digest(digest).hex}"]
        found = how(data[at : at + size])
        assert len(found) == size
        self.path.write_bytes(data[:at] + found + data[at + size :])

    def source(self) -> contextlib.AbstractContextManager[Source]:
        """Open it for reading."""
        return Archive(self.path)


def _move(bench: Bench, target: Target, digest: str, name: str) -> None:
    work = transfer.plan(LayoutStore(bench.layout, "the bench"), target, digest, name)
    transfer.move(work, lambda _done, _total, _name: None)


def verify(bench: Bench, far: Far, *, digest: str = "", use: str = "") -> None:
    """Verify the image there, every layer of it, and require what was found of what is used."""
    with far.source() as source, Elsewhere(source, layers=True) as place:
        found = bench.verification(place=place, digest=digest or bench.subject)
    require(found, subject=use)


def cells() -> Iterator[Cell]:
    """Yield every cell of this module."""
    for part in PARTS:
        yield from _served(part, lambda bench, part=part: bench.blob(part))  # type: ignore[misc]
        yield _filed(part, lambda bench, part=part: bench.blob(part))  # type: ignore[misc]
        gone = RegistryError if part == "index" else TrustError
        yield _removed(part, lambda bench, part=part: bench.blob(part), gone)  # type: ignore[misc]
    for shelf in SHELVES:
        for kind in KINDS:
            for what in ("manifest", "content"):
                if what == "content" or shelf.form == BUNDLE:
                    yield from _evidence(kind, what, shelf.form)
        yield _hidden(shelf.form)
    yield _lost_tag(legacy.SIGNATURES)
    yield _lost_tag(legacy.ATTESTATIONS)
    yield _borrowed_tag(legacy.SIGNATURES)
    yield _borrowed_tag(legacy.ATTESTATIONS)
    yield _borrowed_list()
    yield _swapped()
    yield _mistyped()
    yield _moved_tag()
    yield _down()
    yield from _files()


def _served(thing: str, find: Callable[[Bench], str], form: str = "") -> Iterator[Cell]:
    def change(how: Change) -> Callable[[Bench, Position], None]:
        def act(bench: Bench, position: Position) -> None:
            far = InRegistry()
            far.fill(bench, bench.subject, "1.0")
            far.change(find(bench), lambda data: how(data, position))
            verify(bench, far)

        return act

    # Of a blob the size is known before, and a connection that ends too early is no lie about its bytes.
    short = DigestMismatch if thing.endswith(("index", "manifest")) else RegistryError
    thing = f"{thing} in a registry"
    yield _cell(thing, "a bit flipped", change(flipped), DigestMismatch, form, anywhere=True)
    yield _cell(thing, "emptied", change(lambda _data, _at: b""), short, form)
    yield _cell(thing, "grown", change(lambda data, _: data + b" "), DigestMismatch, form)


def _filed(thing: str, find: Callable[[Bench], str], form: str = "") -> Cell:
    def act(bench: Bench, position: Position) -> None:
        far = InArchive(bench)
        far.fill(bench, bench.subject, "app")
        far.change(find(bench), lambda data: flipped(data, position))
        verify(bench, far)

    name = f"{thing} in an archive"
    return _cell(name, "a bit flipped", act, DigestMismatch, form, anywhere=True)


def _removed(
    thing: str, find: Callable[[Bench], str], gone: type[LockgateError], form: str = ""
) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        far = InRegistry()
        far.fill(bench, bench.subject, "1.0")
        far.remove(find(bench))
        verify(bench, far)

    return _cell(f"{thing} in a registry", "removed", act, gone, form)


def _evidence(kind: str, what: str, form: str) -> Iterator[Cell]:
    thing = NAMES[kind] + (" manifest" if what == "manifest" else "")

    def find(bench: Bench) -> str:
        return bench.shelf.blobs(kind)[what]

    yield from _served(thing, find, form)
    yield _filed(thing, find, form)
    yield _removed(thing, find, AttestationMissing, form)


def _hidden(form: str) -> Cell:
    """The registry answers that nothing refers to the image, whichever way it is asked."""

    def act(bench: Bench, _: Position) -> None:
        far = InRegistry()
        far.fill(bench, bench.subject, "1.0")
        far.here.tags = {"1.0": bench.subject}
        empty = replies(200, _NOTHING, {"Content-Type": INDEX})
        far.registry.fail("GET", "/referrers/", empty, times=99)
        verify(bench, far)

    return _cell("evidence in a registry", "hidden", act, AttestationMissing, form)


def _lost_tag(image: str) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        far = InRegistry()
        far.fill(bench, bench.subject, "1.0")
        del far.here.tags[legacy.tag(bench.subject, image)]
        verify(bench, far)

    thing = f"tag `sha256-….{image}` in a registry"
    return _cell(thing, "removed", act, AttestationMissing, LEGACY)


def _borrowed_tag(image: str) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        far, other = InRegistry(), bench.other.image.subject
        far.fill(bench, bench.subject, "1.0")
        far.fill(bench, other, "2.0")
        tags = far.here.tags
        tags[legacy.tag(bench.subject, image)] = tags[legacy.tag(other, image)]
        verify(bench, far)

    thing = f"tag `sha256-….{image}` in a registry"
    return _cell(thing, "pointed at another image's evidence", act, SubjectMismatch, LEGACY)


def _borrowed_list() -> Cell:
    """The registry lists another image's referrers for this one."""

    def act(bench: Bench, _: Position) -> None:
        far, other = InRegistry(), bench.other.image.subject
        far.fill(bench, bench.subject, "1.0")
        far.fill(bench, other, "2.0")
        listing = index_bytes(Index(manifests=bench.layout.referrers(other)))
        far.registry.fail(
            "GET", "/referrers/", replies(200, listing, {"Content-Type": INDEX}), times=99
        )
        verify(bench, far)

    return _cell(
        "list of referrers in a registry", "that of another image", act, SubjectMismatch, BUNDLE
    )


def _swapped() -> Cell:
    """The registry serves another image, well signed, under the digest that was asked for."""

    def act(bench: Bench, _: Position) -> None:
        far, other = InRegistry(), bench.other.image.subject
        far.fill(bench, bench.subject, "1.0")
        far.fill(bench, other, "2.0")
        far.here.manifests[bench.subject] = far.here.manifests[other]
        verify(bench, far)

    return _cell("index in a registry", "another signed image's", act, DigestMismatch)


def _mistyped() -> Cell:
    """What is an index inside is served as the manifest of one platform."""

    def act(bench: Bench, _: Position) -> None:
        far = InRegistry()
        far.fill(bench, bench.subject, "1.0")
        far.here.manifests[bench.subject] = (MANIFEST, far.here.manifests[bench.subject][1])
        verify(bench, far)

    return _cell("index in a registry", "served as another media type", act, TrustError)


def _moved_tag() -> Cell:
    """Verified is what the tag named then, and used would be what it names now."""

    def act(bench: Bench, _: Position) -> None:
        far, other = InRegistry(), bench.other.image.subject
        far.fill(bench, bench.subject, "1.0")
        far.fill(bench, other, "2.0")
        with far.source() as source:
            first = source.resolve("1.0")
            far.here.tags["1.0"] = other
            second = source.resolve("1.0")
        assert first is not None
        assert second is not None
        verify(bench, far, digest=first.digest, use=second.digest)

    return _cell("tag of the image in a registry", "moved before its use", act, SubjectMismatch)


def _down() -> Cell:
    """Could not look is no missing evidence."""

    def act(bench: Bench, _: Position) -> None:
        far = InRegistry()
        far.fill(bench, bench.subject, "1.0")
        far.registry.fail("GET", "/referrers/", replies(503), times=99)
        verify(bench, far)

    return _cell("list of referrers in a registry", "not answered", act, RegistryError)


def _files() -> Iterator[Cell]:
    """What can be done to an archive as a whole."""

    def cut(bench: Bench, position: Position) -> None:
        far = InArchive(bench)
        far.fill(bench, bench.subject, "app")
        data = far.path.read_bytes()
        far.path.write_bytes(data[: position(len(data) - 1024)])
        verify(bench, far)

    def other(bench: Bench, _: Position) -> None:
        far = InArchive(bench)
        far.fill(bench, bench.other.image.subject, "app")
        verify(bench, far)

    def bare(bench: Bench, _: Position) -> None:
        # The image is copied as tools do that know nothing of evidence.
        far = InArchive(bench)
        with bench.layout.change() as names:
            for name in [one for one in names if one.startswith("sha256-")]:
                del names[name]
        far.fill(bench, bench.subject, "app")
        verify(bench, far)

    yield _cell("archive", "cut short", cut, UsageError, anywhere=True)
    yield _cell("archive", "that of another image", other, UsageError)
    yield _cell("archive", "without its evidence", bare, AttestationMissing)


def _cell(
    thing: str,
    mutation: str,
    act: Callable[[Bench, Position], None],
    error: type[LockgateError],
    form: str = "",
    *,
    anywhere: bool = False,
) -> Cell:
    return Cell(
        stage=STAGE,
        thing=thing,
        form=form,
        mutation=mutation,
        error=error,
        act=act,
        anywhere=anywhere,
    )
