"""Sign one image and four statements about it: `inv sign` against cosign, on the same bytes and with the same key."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from benchmarks import signed
from benchmarks.pair import Command, cost, line, once, pairs
from benchmarks.peers import peer
from benchmarks.verifying import INV, TYPES
from lockgate.oci.layout import Layout
from lockgate.sign import bundle, predicate, referrers

if TYPE_CHECKING:
    from pathlib import Path

_NOWHERE = ("--yes", "--tlog-upload=false", "--use-signing-config=false")


def run(copy: Path, place: Path, runs: int) -> None:
    """Print the rows of this module.

    Args:
        copy: a repository after `inv build scan sign`.
        place: an empty folder.
        runs: pairs of each row.
    """
    registry, cosign = peer("registry"), peer("cosign")
    if not (registry and cosign):
        return
    layout = Layout.open(copy / ".lockgate" / "store")
    subject = layout.resolve("app").digest
    predicates = _predicates(layout, subject, place)
    (place / "home").mkdir()
    shop = signed.Shop(copy, (), Layout.create(place / "nothing"))
    with signed.serve(registry, shop, place / "home") as repository:
        host = repository.partition("/")[0]
        _unsign(copy)
        # Without its evidence, for cosign to begin with what we begin with.
        once(Command("inv copy", [*INV, "copy", "app", f"{host}/plain/app:1"], copy))
        image = f"{host}/plain/app@{subject}"
        theirs = _cosign(cosign, copy, image, predicates)
        ours = Command("inv sign", [*INV, "sign"], copy, lambda: _unsign(copy))
        figure = pairs(ours, theirs, runs)
        print(
            line("sign an image and 4 statements, into the store", figure, "goal < 1"), flush=True
        )
        print(cost(figure), flush=True)
        both = [*INV, "sign", "push", "--to", f"{host}/signed"]
        figure = pairs(Command("inv sign push", both, copy, lambda: _unsign(copy)), theirs, runs)
        print(line("the same, into the registry", figure, "goal < 1"), flush=True)


def _unsign(copy: Path) -> None:
    """Take every piece of evidence from the store, and what is remembered of it."""
    layout = Layout.open(copy / ".lockgate" / "store")
    with layout.change() as names:
        for name in [one for one in names if one.startswith("sha256-")]:
            del names[name]
    shutil.rmtree(copy / ".lockgate" / "cache" / "sign", ignore_errors=True)


def _predicates(layout: Layout, subject: str, place: Path) -> dict[str, Path]:
    """Write down what `inv sign` signed, for cosign to sign the same."""
    found: dict[str, Path] = {}
    for one in referrers.listed(layout, subject):
        kind = one.annotations[referrers.PREDICATE_TYPE]
        payload = bundle.parse(referrers.load(layout, subject, one).bundle).payload
        if kind != predicate.SIGNATURE:
            found[kind] = place / f"{len(found)}.json"
            found[kind].write_text(json.dumps(json.loads(payload)["predicate"]))
    return found


def _cosign(cosign: str, copy: Path, image: str, predicates: dict[str, Path]) -> Command:
    key = ["--key", str(copy / ".lockgate" / "keys" / "cosign.key"), *_NOWHERE]
    kinds = (predicate.SBOM, predicate.VULN, predicate.PROVENANCE, predicate.SUMMARY)
    more = [
        [cosign, "attest", *key, "--type", name, "--predicate", str(predicates[kind]), image]
        for name, kind in zip(TYPES, kinds, strict=True)
    ]
    environment = {"COSIGN_PASSWORD": "", "HOME": os.environ.get("HOME", str(copy))}
    return Command("cosign", [cosign, "sign", *key, image], copy, env=environment, more=more)
