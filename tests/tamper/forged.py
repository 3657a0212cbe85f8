"""Cells about evidence by one who can write the store and makes every digest fit, with and without a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.tamper.bench import KINDS, NAMES
from tests.tamper.cells import Cell, flipped
from tests.unit.sign.shelf import SHELVES, Bundles, Layers

from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    SignatureInvalid,
    SubjectMismatch,
)
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import MANIFEST
from lockgate.sign import legacy, predicate
from lockgate.sign.requirement import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tamper.bench import Bench
    from tests.tamper.cells import Position

    from lockgate.base.errors import LockgateError

    Act = Callable[[Bench, str, Position], None]
    """Changes the evidence of one type; the stage follows."""

IN_TOTO = b"application/vnd.in-toto+json"


def cells() -> Iterator[Cell]:
    """Yield every cell of this module."""
    for kind in KINDS:
        for shelf in SHELVES:
            for mutation, error, act in _mutations(kind, shelf.form):
                yield _cell(kind, shelf.form, mutation, error, act)
    for shelf in SHELVES:
        yield from _of_the_signature(shelf.form)


def _cell(kind: str, form: str, mutation: str, error: type[LockgateError], act: Act) -> Cell:
    def run(bench: Bench, position: Position) -> None:
        act(bench, kind, position)
        bench.verify()

    return Cell(
        stage="verify",
        thing=NAMES[kind],
        form=form,
        mutation=mutation,
        error=error,
        act=run,
        anywhere=mutation.startswith("a bit"),
    )


def _mutations(kind: str, form: str) -> Iterator[tuple[str, type[LockgateError], Act]]:
    yield "a bit of the payload flipped", SignatureInvalid, _flip_payload
    yield "a bit of the signature flipped", SignatureInvalid, _flip_signature
    yield "signed with another key", SignatureInvalid, _other_key
    yield "signed for another digest", SubjectMismatch, _other_digest
    yield "replayed from another image", SubjectMismatch, _replay
    yield "a key twice in what is signed", SignatureInvalid, _twice
    yield "layer of another media type", SignatureInvalid, _media_type
    statement = form == "bundle" or kind != predicate.SIGNATURE
    if statement:
        yield "the predicate type is another", SignatureInvalid, _other_type
        yield "a statement of another version", SignatureInvalid, _version
        yield "the digest is of another algorithm", SubjectMismatch, _algorithm
        yield "the payload type lies", SignatureInvalid, _payload_type
        yield "signed as another payload type", SignatureInvalid, _signed_as
        yield "a key twice in the envelope", SignatureInvalid, _twice_outside
        yield "base64 in another form", SignatureInvalid, _base64
        yield "two signatures", SignatureInvalid, _two_signatures
        yield "a field that is not known", SignatureInvalid, _unknown_field
    if statement and kind != predicate.SIGNATURE:
        yield "content of another type", SignatureInvalid, _swap
    if kind != predicate.SIGNATURE:
        yield "says nothing", AttestationMissing, _says_nothing
    if form == "bundle":
        yield "another key that borrows the hint", SignatureInvalid, _borrowed_hint
        yield "the hint is another key's", SignatureInvalid, _other_hint
        yield "the hint is empty", SignatureInvalid, _no_hint
        yield "a bundle of another version", SignatureInvalid, _bundle_version
        yield "a certificate beside the key", SignatureInvalid, _certificate


def _of_the_signature(form: str) -> Iterator[Cell]:
    """Yield what only the image's own signature says: for which name, and for what."""
    wanted = {
        "for another repository": Signature(reference="registry.example/other"),
        "for another environment": Signature(annotations={"environment": "staging"}),
        "for another builder": Signature(annotations={"builder": "someone/else"}),
    }
    for mutation, requirement in wanted.items():
        yield Cell(
            stage="verify",
            thing="signature",
            form=form,
            mutation=mutation,
            error=SubjectMismatch,
            act=_asked(requirement),
        )
    yield Cell(
        stage="verify",
        thing="signature",
        form=form,
        mutation="of a development key",
        error=KeyRefused,
        act=_development_key,
    )


def _asked(requirement: Signature) -> Callable[[Bench, Position], None]:
    return lambda bench, _: bench.verify(requirement=requirement)


def _development_key(bench: Bench, _: Position) -> None:
    developer = bench.keys.developer
    bench.forge(predicate.SIGNATURE, bench.shelf.held(predicate.SIGNATURE).payload, developer)
    bench.verify(keys=[developer.public_key()], requirement=Signature())


def _flip_payload(bench: Bench, kind: str, position: Position) -> None:
    held = bench.shelf.held(kind)
    bench.shelf.replace(kind, held._replace(payload=flipped(held.payload, position)))


def _flip_signature(bench: Bench, kind: str, position: Position) -> None:
    held = bench.shelf.held(kind)
    bench.shelf.replace(kind, held._replace(signature=flipped(held.signature, position)))


def _other_key(bench: Bench, kind: str, _: Position) -> None:
    bench.forge(kind, bench.shelf.held(kind).payload, bench.keys.stranger)


def _borrowed_hint(bench: Bench, kind: str, _: Position) -> None:
    hint = bench.keys.release.public_key().hint
    bench.forge(kind, bench.shelf.held(kind).payload, bench.keys.stranger, hint=hint)


def _other_hint(bench: Bench, kind: str, _: Position) -> None:
    hint = bench.keys.stranger.public_key().hint
    bench.shelf.replace(kind, bench.shelf.held(kind)._replace(hint=hint))


def _no_hint(bench: Bench, kind: str, _: Position) -> None:
    bench.shelf.replace(kind, bench.shelf.held(kind)._replace(hint=""))


def _replay(bench: Bench, kind: str, _: Position) -> None:
    bench.shelf.replace(kind, bench.others.held(kind))


def _resign(bench: Bench, kind: str, old: bytes, new: bytes) -> None:
    """Change what is signed, and sign it well with the trusted key."""
    payload = bench.shelf.held(kind).payload
    assert old in payload, old
    bench.forge(kind, payload.replace(old, new), bench.keys.release)


def _other_digest(bench: Bench, kind: str, _: Position) -> None:
    old, new = (Digest(one.image.subject).hex.encode() for one in (bench.world, bench.other))
    _resign(bench, kind, old, new)


def _twice(bench: Bench, kind: str, _: Position) -> None:
    payload = bench.shelf.held(kind).payload
    first = next(iter(json.loads(payload)))
    _resign(bench, kind, b'{"%b":' % first.encode(), b'{"%b":0,"%b":' % ((first.encode(),) * 2))


def _other_type(bench: Bench, kind: str, _: Position) -> None:
    _resign(bench, kind, f'"predicateType":"{kind}"'.encode(), b'"predicateType":"urn:other"')


def _version(bench: Bench, kind: str, _: Position) -> None:
    _resign(bench, kind, b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2")


def _algorithm(bench: Bench, kind: str, _: Position) -> None:
    payload = bench.shelf.held(kind).payload
    about = f'"sha256":"{Digest(bench.subject).hex}"'.encode()
    assert about in payload
    bench.forge(kind, payload.replace(about, about.replace(b"256", b"512", 1)), bench.keys.release)


def _says_nothing(bench: Bench, kind: str, _: Position) -> None:
    payload = json.loads(bench.shelf.held(kind).payload)
    empty = json.dumps({**payload, "predicate": {}}).encode()
    bench.forge(kind, empty, bench.keys.release)


def _raw(bench: Bench, kind: str, change: Callable[[bytes], bytes]) -> None:
    good = bench.shelf.raw(kind)
    bad = change(good)
    assert bad != good
    bench.shelf.replace_raw(kind, bad)


def _envelope(bench: Bench, kind: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the envelope as one who knows its form."""

    def changed(data: bytes) -> bytes:
        document = json.loads(data)
        change(document.get("dsseEnvelope", document))
        return json.dumps(document).encode()

    _raw(bench, kind, changed)


def _payload_type(bench: Bench, kind: str, _: Position) -> None:
    _raw(bench, kind, lambda data: data.replace(IN_TOTO, b"text/plain"))


def _signed_as(bench: Bench, kind: str, _: Position) -> None:
    payload = bench.shelf.held(kind).payload
    signed = bench.shelf.signed_bytes(kind, payload, "text/plain")
    signature = bench.keys.release.sign(signed)
    bench.shelf.replace(kind, bench.shelf.held(kind)._replace(signature=signature))


def _twice_outside(bench: Bench, kind: str, _: Position) -> None:
    _raw(bench, kind, lambda data: data.replace(b'"payload":', b'"payload":"e30=","payload":', 1))


def _base64(bench: Bench, kind: str, _: Position) -> None:
    def spaced(envelope: dict[str, Any]) -> None:
        envelope["payload"] = envelope["payload"][:4] + "\n" + envelope["payload"][4:]

    _envelope(bench, kind, spaced)


def _two_signatures(bench: Bench, kind: str, _: Position) -> None:
    _envelope(
        bench, kind, lambda envelope: envelope["signatures"].append(envelope["signatures"][0])
    )


def _unknown_field(bench: Bench, kind: str, _: Position) -> None:
    _envelope(bench, kind, lambda envelope: envelope.update(more=1))


def _bundle_version(bench: Bench, kind: str, _: Position) -> None:
    _raw(bench, kind, lambda data: data.replace(b"bundle.v0.3", b"bundle.v0.4"))


def _certificate(bench: Bench, kind: str, _: Position) -> None:
    more = b'"verificationMaterial":{"certificate":{"rawBytes":"AAAA"},'
    _raw(bench, kind, lambda data: data.replace(b'"verificationMaterial":{', more))


def _swap(bench: Bench, kind: str, _: Position) -> None:
    other = predicate.SBOM if kind != predicate.SBOM else predicate.VULN
    bench.shelf.replace_raw(kind, bench.shelf.raw(other), listed_as=kind)


def _media_type(bench: Bench, kind: str, _: Position) -> None:
    shelf = bench.shelf
    if isinstance(shelf, Bundles):
        listed = shelf.listed(kind)
        manifest = json.loads(shelf.layout.read(listed.digest))
        manifest["layers"][0]["mediaType"] = "text/plain"
        shelf.remove(kind)
        data = json.dumps(manifest).encode()
        stored = shelf.layout.put(data, MANIFEST)
        bad = type(listed)(
            media_type=MANIFEST,
            digest=stored.digest,
            size=stored.size,
            artifact_type=listed.artifact_type,
            annotations=listed.annotations,
        )
        shelf.layout.add_referrer(shelf.subject, bad)
        return
    _relabel(shelf, kind)


def _relabel(shelf: Layers, kind: str) -> None:
    image = legacy.SIGNATURES if kind == predicate.SIGNATURE else legacy.ATTESTATIONS
    name = legacy.tag(shelf.subject, image)
    manifest = json.loads(shelf.layout.read(shelf.layout.resolve(name).digest))
    digest = shelf.listed(kind).digest
    for one in manifest["layers"]:
        if one["digest"] == digest:
            one["mediaType"] = "text/plain"
    shelf.layout.tag({name: shelf.layout.put(json.dumps(manifest).encode(), MANIFEST)})
