"""Cells about records, names, time and settings: what stages are given, and verifiers that are switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from tests.tamper.bench import closed
from tests.tamper.cells import Cell, flipped
from tests.unit.sign.world import NOW, make_checks

from lockgate.base.errors import (
    AttestationMissing,
    DatabaseTooOld,
    DigestMismatch,
    GateClosed,
    KeyRefused,
    SignatureInvalid,
    Stale,
    SubjectMismatch,
    UsageError,
)
from lockgate.oci.digest import Digest
from lockgate.scan.model import Finding
from lockgate.sign import predicate
from lockgate.sign.combine import AllOf, AnyOf, Signers
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keys import public_keys
from lockgate.sign.model import Result, Verification
from lockgate.sign.requirement import Provenance, Scanned, Signature, default_requirement
from lockgate.sign.requirement_settings import from_settings
from lockgate.sign.verify import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tamper.bench import Bench
    from tests.tamper.cells import Position

    from lockgate.base.errors import LockgateError

    Act = Callable[[Bench, Position], None]

    Row = tuple[str, str, type[LockgateError], Act]
    """What is changed, how, the error, and the deed."""

DAY = 24 * 60 * 60

FINDING = Finding(
    kind="vuln",
    id="CVE-2026-1234",
    severity="HIGH",
    title="",
    package="libexpat1",
    version="1",
    fixed="2",
    target="debian",
    path="",
    purl="",
    aliases=(),
    platforms=("linux/amd64",),
    layer="",
)

replace = msgspec.structs.replace


def cells() -> Iterator[Cell]:
    """Yield every cell of this module."""
    for stage, rows in (
        ("sign", _sign()),
        ("verify", _time_and_policy()),
        ("verify", _switched_off()),
        ("use", _use()),
    ):
        for thing, mutation, error, act in rows:
            yield Cell(
                stage=stage,
                thing=thing,
                mutation=mutation,
                error=error,
                act=act,
                form="bundle",
                anywhere=mutation.startswith("a bit"),
            )


def _sign() -> Iterator[Row]:
    yield "decision", "the gate is closed", GateClosed, _closed
    yield "decision", "a finding taken out", SubjectMismatch, _made_up
    yield "decision", "of another image", SubjectMismatch, _given(_other("decision"))
    yield "decision", "names another report", SubjectMismatch, _given(_decision("report"))
    yield "decision", "names another subject", SubjectMismatch, _given(_decision("subject"))
    yield "decision", "older than its database allows", DatabaseTooOld, _old_decision
    yield "report", "of another image", SubjectMismatch, _given(_other("report"))
    yield "report", "a platform taken out", SubjectMismatch, _given(_less_report)
    yield "report", "another time", SubjectMismatch, _given(_later_report)
    yield "raw report", "a bit flipped", DigestMismatch, _flip_raw
    yield "raw report", "removed", UsageError, _given(lambda _: {"raw_reports": {}})
    yield "SBOM", "of another image", SubjectMismatch, _given(_other("sbom"))
    yield "SBOM", "emptied", UsageError, _given(lambda _: {"sbom": b"{}"})
    yield "SBOM", "a package taken out", SubjectMismatch, _given(_sbom(b"abab", b"acab"))
    yield "SBOM", "a key twice", UsageError, _given(_sbom(b"{", b'{"bomFormat":0,'))
    yield "image record", "of another image", SubjectMismatch, _given(_other("image"))
    yield "image record", "a platform taken out", SubjectMismatch, _given(_less_image)
    yield "image record", "dirty where the report says clean", SubjectMismatch, _given(_dirty)
    yield "checks", "of other sources", SubjectMismatch, _given(_checks(subject=Digest.of(b"x")))
    yield "checks", "of another component", SubjectMismatch, _given(_checks(component="x"))
    yield "checks", "no gate", UsageError, _given(_checks(gates=()))
    yield "key", "a development key", KeyRefused, _developer_signs
    yield "index", "a bit flipped", DigestMismatch, _flip_index
    yield "index", "removed", UsageError, _remove_index
    yield "sbom (stored)", "a bit flipped", DigestMismatch, _flip_stored
    yield "formats", "none", UsageError, _given(lambda _: {"formats": ()})
    yield "formats", "one that is not known", UsageError, _given(lambda _: {"formats": ("x",)})


def _given(changes: Callable[[Bench], dict[str, Any]]) -> Act:
    return lambda bench, _: bench.attest(**changes(bench))


def _other(name: str) -> Callable[[Bench], dict[str, Any]]:
    return lambda bench: {name: getattr(bench.other, name)}


def _decision(field: str) -> Callable[[Bench], dict[str, Any]]:
    return lambda bench: {
        "decision": replace(bench.world.decision, **{field: Digest.of(b"another")})
    }


def _closed(bench: Bench, _: Position) -> None:
    closed(bench, FINDING).sign(bench.keys.release)


def _made_up(bench: Bench, _: Position) -> None:
    world = closed(bench, FINDING)
    world.sign(bench.keys.release, decision=replace(world.decision, violations=()))


def _old_decision(bench: Bench, _: Position) -> None:
    decision = replace(bench.world.decision, decided=NOW + 30 * DAY)
    bench.attest(decision=decision)


def _less_report(bench: Bench) -> dict[str, Any]:
    report = bench.world.report
    return {"report": replace(report, platforms=report.platforms[:1])}


def _later_report(bench: Bench) -> dict[str, Any]:
    return {"report": replace(bench.world.report, scanned=bench.world.report.scanned + 1)}


def _flip_raw(bench: Bench, position: Position) -> None:
    first, data = next(iter(bench.world.raw.items()))
    bench.attest(raw_reports={**bench.world.raw, first: flipped(data, position)})


def _sbom(old: bytes, new: bytes) -> Callable[[Bench], dict[str, Any]]:
    return lambda bench: {"sbom": bench.world.sbom.replace(old, new, 1)}


def _less_image(bench: Bench) -> dict[str, Any]:
    return {"image": replace(bench.world.image, platforms=bench.world.image.platforms[:1])}


def _dirty(bench: Bench) -> dict[str, Any]:
    source = replace(bench.world.image.source, changes=("app/x.py",))
    return {"image": replace(bench.world.image, source=source)}


def _checks(**changes: Any) -> Callable[[Bench], dict[str, Any]]:
    return lambda bench: {"checks": replace(make_checks(bench.world.image), **changes)}


def _developer_signs(bench: Bench, _: Position) -> None:
    bench.attest(signer=bench.keys.developer)


def _flip_index(bench: Bench, position: Position) -> None:
    data = bench.layout.read(bench.subject)
    bench.write(bench.subject, flipped(data, position))
    bench.attest()


def _remove_index(bench: Bench, _: Position) -> None:
    bench.layout.path(bench.subject).unlink()
    bench.attest()


def _flip_stored(bench: Bench, position: Position) -> None:
    digest = bench.shelf.blobs(predicate.SBOM)["content"]
    bench.write(digest, flipped(bench.layout.path(digest).read_bytes(), position))
    bench.attest()


def _time_and_policy() -> Iterator[Row]:
    later = {"now": NOW + 3 * DAY}
    yield "time", "the verdict has lapsed", Stale, _verify(lambda _: later)
    yield "time", "before the verdict was given", Stale, _verify(lambda _: {"now": NOW - DAY})
    yield "time", "the scan is too old", Stale, _verify(lambda _: _only(Scanned(max_age=30)))
    yield "threshold", "became stricter", Stale, _verify(_stricter)
    yield "environment", "another one", AttestationMissing, _verify(_staging)
    yield "source", "another commit", SubjectMismatch, _verify(_only_of(revision="b" * 40))
    yield "source", "another repository", SubjectMismatch, _verify(_only_of(source="https://x"))
    yield "builder", "another one", AttestationMissing, _verify(_only_of(builder="urn:other"))
    yield "keys", "too few signed", AttestationMissing, _verify(_quorum)
    yield "keys", "another trusted key signed", KeyRefused, _verify(_certain_key)
    yield "keys", "only another key is trusted", SignatureInvalid, _verify(_stranger)
    yield "summary", "a refusal that came later", AttestationMissing, _refuse_later
    yield "digest", "of nothing in the store", UsageError, _verify(_no_image)


def _verify(changes: Callable[[Bench], dict[str, Any]]) -> Act:
    return lambda bench, _: bench.verify(**changes(bench))


def _only(requirement: Any) -> dict[str, Any]:
    return {"requirement": requirement}


def _only_of(**fields: Any) -> Callable[[Bench], dict[str, Any]]:
    return lambda _: _only(Provenance(**fields))


def _stricter(bench: Bench) -> dict[str, Any]:
    threshold = replace(bench.world.threshold, severity="LOW")
    return _only(default_requirement("prod", threshold))


def _staging(bench: Bench) -> dict[str, Any]:
    return _only(default_requirement("staging", bench.world.threshold))


def _quorum(bench: Bench) -> dict[str, Any]:
    keys = [bench.keys.release.public_key(), bench.keys.stranger.public_key()]
    return {"keys": keys, **_only(Signature(by=Signers(quorum=2)))}


def _certain_key(bench: Bench) -> dict[str, Any]:
    stranger = bench.keys.stranger.public_key()
    wanted = Signature(by=Signers(keys=frozenset({stranger.fingerprint})))
    return {"keys": [bench.keys.release.public_key(), stranger], **_only(wanted)}


def _stranger(bench: Bench) -> dict[str, Any]:
    return {"keys": [bench.keys.stranger.public_key()]}


def _no_image(_: Bench) -> dict[str, Any]:
    return {"digest": Digest.of(b"nothing")}


def _refuse_later(bench: Bench, _: Position) -> None:
    world = closed(bench, FINDING)
    decision = replace(world.decision, decided=world.decision.decided + 1)
    world.sign(bench.keys.release, decision=decision, allow_failed_summary=True)
    bench.verify()


def _switched_off() -> Iterator[Row]:
    yield "no key", "none is trusted", KeyRefused, _verify(lambda _: {"keys": []})
    yield "no trust root", "its file is gone", KeyRefused, _trust_root(None)
    yield "no trust root", "its file is empty", KeyRefused, _trust_root(b"")
    yield "no trust root", "its file is another one", KeyRefused, _trust_root(b"-----BEGIN X-----")
    yield "no trust root", "identities that nothing proves", KeyRefused, _verify(_unproven)
    yield "no requirement", "all of nothing", AttestationMissing, _verify(_nothing(AllOf(parts=())))
    yield "no requirement", "any of nothing", AttestationMissing, _verify(_nothing(AnyOf(parts=())))
    yield "no requirement", "an empty list in the settings", UsageError, _empty_settings
    yield "no evidence", "an image that nobody signed", AttestationMissing, _unsigned


def _nothing(requirement: AllOf | AnyOf) -> Callable[[Bench], dict[str, Any]]:
    return lambda _: _only(requirement)


def _unproven(_: Bench) -> dict[str, Any]:
    return {"identities": [Identity("https://shop.example/release", "https://issuer.example")]}


def _trust_root(content: bytes | None) -> Act:
    def act(bench: Bench, _: Position) -> None:
        if content is not None:
            (bench.folder / "release.pub").write_bytes(content)
        bench.verify(keys=public_keys(["release.pub"], root=bench.folder))

    return act


def _empty_settings(bench: Bench, _: Position) -> None:
    keys = [bench.keys.release.public_key()]
    wanted = from_settings([], environment="prod", threshold=bench.world.threshold, keys=keys)
    bench.verify(requirement=wanted)


def _unsigned(bench: Bench, _: Position) -> None:
    bench.verify(digest=bench.rebuilt("index"))


def _use() -> Iterator[Row]:
    yield "name", "moved after it was resolved", SubjectMismatch, _moved
    yield "name", "moved to an image that nobody signed", AttestationMissing, _moved_to_unsigned
    yield "verification", "without a result", AttestationMissing, _record(())
    yield (
        "verification",
        "says it is met, with a result that is not",
        SignatureInvalid,
        _record((Result(name="sbom", met=False, detail="no", error="SignatureInvalid"),)),
    )


def _moved(bench: Bench, _: Position) -> None:
    found = bench.verification(digest=bench.layout.resolve("app").digest)
    bench.layout.tag({"app": bench.layout.resolve("other")})
    require(found, subject=bench.layout.resolve("app").digest)


def _moved_to_unsigned(bench: Bench, _: Position) -> None:
    bench.verify(digest=bench.layout.resolve("app").digest)
    made = bench.rebuilt("index")
    bench.layout.tag({"app": replace(bench.layout.resolve("app"), digest=made)})
    bench.verify(digest=bench.layout.resolve("app").digest)


def _record(results: tuple[Result, ...]) -> Act:
    def act(bench: Bench, _: Position) -> None:
        forged = Verification(
            subject=bench.subject, name="prod", met=True, results=results, checked=NOW
        )
        require(forged)

    return act
