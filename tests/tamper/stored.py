"""Cells about bytes in the store: parts of the image, evidence, and the lists that name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tamper.bench import KINDS, NAMES
from tests.tamper.cells import Cell, flipped
from tests.unit.sign.shelf import SHELVES

from lockgate.base.errors import (
    AttestationMissing,
    DigestMismatch,
    SubjectMismatch,
    UsageError,
)
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, Index, index_bytes
from lockgate.sign import legacy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tamper.bench import Bench
    from tests.tamper.cells import Position

    from lockgate.base.errors import LockgateError

    Find = Callable[[Bench], str]
    """Finds the digest of a blob."""

PARTS = ("index", "manifest", "config", "layer")
BUNDLE, LEGACY = "bundle", "legacy"


def cells() -> Iterator[Cell]:
    """Yield every cell of this module."""
    for part in PARTS:
        yield from _bytes("verify", part, _part(part), UsageError)
        yield _rebuilt(part)
    for part in PARTS[1:]:
        yield from _bytes("unpack", part, _part(part), UsageError)
    for kind in KINDS:
        for shelf in SHELVES:
            for what in ("manifest", "content"):
                # The older form has one manifest for all attestations: it stands once below.
                if what == "content" or shelf.form == BUNDLE:
                    yield from _evidence(kind, what, shelf.form)
            yield _removed(kind, shelf.form)
    for image in (legacy.SIGNATURES, legacy.ATTESTATIONS):
        yield from _bytes(
            "verify",
            f".{image} manifest",
            _image(image),
            AttestationMissing,
            LEGACY,
        )
        yield _unnamed(f".{image}", LEGACY)
        yield _borrowed(f".{image}", LEGACY, SubjectMismatch)
    yield from _bytes(
        "verify",
        "list of referrers",
        lambda bench: _tagged(bench, _listing(bench.subject)),
        UsageError,
        BUNDLE,
    )
    yield _unnamed("", BUNDLE)
    yield _borrowed("", BUNDLE, SubjectMismatch)
    yield _emptied()


def _bytes(
    stage: str, thing: str, find: Find, gone: type[LockgateError], form: str = ""
) -> Iterator[Cell]:
    """Yield what can be done to a blob without making its digest fit."""

    def change(how: Callable[[bytes, Position], bytes]) -> Callable[[Bench, Position], None]:
        def act(bench: Bench, position: Position) -> None:
            digest = find(bench)
            bench.write(digest, how(bench.layout.path(digest).read_bytes(), position))
            _run(bench, stage)

        return act

    def remove(bench: Bench, _: Position) -> None:
        bench.layout.path(find(bench)).unlink()
        _run(bench, stage)

    def cell(
        mutation: str,
        act: Callable[[Bench, Position], None],
        error: type[LockgateError] = DigestMismatch,
        *,
        anywhere: bool = False,
    ) -> Cell:
        return Cell(
            stage=stage,
            thing=thing,
            form=form,
            mutation=mutation,
            error=error,
            act=act,
            anywhere=anywhere,
        )

    yield cell("a bit flipped", change(flipped), anywhere=True)
    yield cell("cut short", change(lambda data, at: data[: at(len(data))]), anywhere=True)
    yield cell("grown", change(lambda data, _: data + b" "))
    yield cell("emptied", change(lambda _data, _at: b""))
    yield cell("removed", remove, gone)


def _run(bench: Bench, stage: str) -> None:
    {"verify": bench.verify, "unpack": bench.unpack}[stage]()


def _evidence(kind: str, what: str, form: str) -> Iterator[Cell]:
    thing = NAMES[kind] + (" manifest" if what == "manifest" else "")
    yield from _bytes(
        "verify", thing, lambda bench: bench.shelf.blobs(kind)[what], AttestationMissing, form
    )


def _rebuilt(part: str) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        made = bench.rebuilt(part)
        assert made != bench.subject
        bench.verify(digest=made)

    return Cell(
        stage="verify",
        thing=part,
        mutation="replaced, and every digest made to fit",
        error=AttestationMissing,
        act=act,
    )


def _removed(kind: str, form: str) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        bench.shelf.remove(kind)
        bench.verify()

    return Cell(
        stage="verify",
        thing=NAMES[kind],
        form=form,
        mutation="taken off the list",
        error=AttestationMissing,
        act=act,
    )


def _unnamed(ending: str, form: str) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        with bench.layout.change() as names:
            del names[_listing(bench.subject) + ending]
        bench.verify()

    return Cell(
        stage="verify",
        thing=f"tag `sha256-…{ending}`",
        form=form,
        mutation="removed",
        error=AttestationMissing,
        act=act,
    )


def _borrowed(ending: str, form: str, error: type[LockgateError]) -> Cell:
    def act(bench: Bench, _: Position) -> None:
        with bench.layout.change() as names:
            theirs = names[_listing(bench.other.image.subject) + ending]
            names[_listing(bench.subject) + ending] = theirs
        bench.verify()

    return Cell(
        stage="verify",
        thing=f"tag `sha256-…{ending}`",
        form=form,
        mutation="pointed at another image's evidence",
        error=error,
        act=act,
    )


def _emptied() -> Cell:
    def act(bench: Bench, _: Position) -> None:
        empty = bench.layout.put(index_bytes(Index(manifests=())), INDEX)
        bench.layout.tag({_listing(bench.subject): empty})
        bench.verify()

    return Cell(
        stage="verify",
        thing="list of referrers",
        form=BUNDLE,
        mutation="replaced by an empty one",
        error=AttestationMissing,
        act=act,
    )


def _part(name: str) -> Find:
    return lambda bench: bench.blob(name)


def _image(image: str) -> Find:
    return lambda bench: _tagged(bench, legacy.tag(bench.subject, image))


def _listing(subject: str) -> str:
    return f"sha256-{Digest(subject).hex}"


def _tagged(bench: Bench, name: str) -> str:
    return bench.layout.resolve(name).digest
