"""Verify many signed images, and many keyless bundles: we against cosign and sigstore-python, on the same bytes."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING

from tests.unit.sign.keyless.instance import ISSUER, SUBJECT, Instance, Made

from benchmarks import signed
from benchmarks.pair import Command, Figure, cost, line, measured, middle, pairs
from benchmarks.peers import missing, peer
from lockgate.oci.digest import Digest
from lockgate.sign import predicate, statement
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.trusted_root import TrustedRoot
from lockgate.sign.keyless.verify import verify_envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.signed import Shop

INV = [sys.executable, "-m", "lockgate.tasks.program"]

TYPES = ("cyclonedx", "vuln", "slsaprovenance1", predicate.SUMMARY)
"""What cosign calls the four attestations."""

FEW = 100
"""Images of the row that memory is compared with."""


def images(place: Path, count: int, runs: int) -> None:
    """Verify `count` images with four attestations each, from a registry and from a store."""
    (place / "registry").mkdir()
    shop = signed.make(place / "shop", count)
    registry, cosign = peer("registry"), peer("cosign")
    if registry:
        with signed.serve(registry, shop, place / "registry") as repository:
            _registry(shop, repository, cosign, runs)
    _store(shop, runs)


def _registry(shop: Shop, repository: str, cosign: str, runs: int) -> None:
    count = len(shop.digests)
    references = [f"{repository}@{one}" for one in shop.digests]
    ours = _inv(shop, references)
    few = measured(_inv(shop, references[:FEW]))
    name = f"verify {count} images x 4 attestations, registry"
    if not cosign:
        _alone(name, ours, runs)
        return
    figure = pairs(ours, _cosign(shop, references, cosign), runs)
    print(line(name, figure, "goal < 1"), flush=True)
    print(f"{cost(figure)}; ours with {FEW} images {few.peak >> 20} MiB", flush=True)


def _store(shop: Shop, runs: int) -> None:
    """From the store there is no peer: cosign reads a store of its own. Cold is a process, warm the same one again."""
    count, twice = len(shop.digests), (*shop.digests, *shop.digests)
    cold = [measured(_inv(shop, shop.digests)) for _ in range(runs)]
    warm = [measured(_inv(shop, twice)) for _ in range(runs)]
    few = measured(_inv(shop, shop.digests[:FEW]))
    seconds = statistics.median(one.seconds for one in cold)
    used, more = (statistics.median(one.processor for one in each) for each in (cold, warm))
    peak = max(one.peak for one in cold) >> 20
    name = f"verify {count} images x 4 attestations, store"
    print(f"{name:<46} {seconds:7.3f} s ({seconds / count * 1e3:.1f} ms each), no peer reads it")
    print(f"  processor {used:.3f} s; for the same once more in the same run {more - used:.3f} s")
    print(f"  peak memory {peak} MiB; with {FEW} images {few.peak >> 20} MiB", flush=True)


def _inv(shop: Shop, references: tuple[str, ...] | list[str]) -> Command:
    flags = [part for one in references for part in ("--reference", one)]
    return Command("inv verify", [*INV, "verify", "-e", "prod", "--json", *flags], shop.folder)


def _cosign(shop: Shop, references: list[str], cosign: str) -> Command:
    """Cosign asks for one type at a time: the signature, then each attestation."""
    how = ["--key", shop.key, "--insecure-ignore-tlog=true"]
    more = [[cosign, "verify-attestation", *how, "--type", one, *references] for one in TYPES]
    first = [cosign, "verify", *how, "-a", "environment=prod", *references]
    return Command("cosign", first, shop.folder, more=more)


def _alone(name: str, ours: Command, runs: int) -> None:
    print(f"{name}  {middle(ours, runs):7.3f} s, not compared", flush=True)


def bundles(place: Path, count: int, runs: int) -> None:
    """Verify keyless bundles, each with a certificate of its own, in one process: seconds of processor time."""
    try:
        from sigstore.models import Bundle
        from sigstore.models import TrustedRoot as Theirs
        from sigstore.verify import Verifier, policy
    except ImportError as error:
        missing("sigstore-python", str(error))
        return
    instance = Instance()
    path = place / "trusted_root.json"
    path.write_text(json.dumps(instance.root()))
    root, someone = TrustedRoot.parse(path.read_bytes()), Identity(SUBJECT, ISSUER)
    verifier = Verifier(trusted_root=Theirs.from_file(str(path)))
    identity = policy.Identity(identity=SUBJECT, issuer=ISSUER)
    for kind in ("dsse 0.0.1", "hashedrekord 0.0.2"):
        made = [Made(instance, _statement(number), kind=kind).data() for number in range(count)]
        # Each needs its own leaf, so nothing is remembered from one to the next but the authority.
        figure = Figure([], [], [], [])
        for _ in range(runs):
            figure.ours.append(_clock(lambda one: verify_envelope(one, root, [someone]), made))
            figure.peer.append(
                _clock(lambda one: verifier.verify_dsse(Bundle.from_json(one), identity), made)
            )
        print(line(f"verify {count} keyless bundles ({kind})", figure, "goal < 1"), flush=True)


def _statement(number: int) -> bytes:
    return statement.build(
        name="app",
        digest=Digest.of(str(number).encode()),
        predicate_type="https://example.org/review/v1",
        predicate=b'{"approved":true}',
    )


def _clock(verify: Callable[[bytes], object], made: list[bytes]) -> float:
    started = time.process_time()
    for one in made:
        verify(one)
    return time.process_time() - started


def run(place: Path, runs: int) -> None:
    """Print the rows of this module; `LOCKGATE_BENCH_IMAGES` is how many images there are."""
    images(place, int(os.environ.get("LOCKGATE_BENCH_IMAGES", "1000")), runs)
    bundles(place, 500, runs)
