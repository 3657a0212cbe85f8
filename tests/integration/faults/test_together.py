"""Several who push to one image at the same time: everything that any of them brought is there in the end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.integration.cosign.keys import pair
from tests.integration.faults import runs, wrongs
from tests.integration.faults.proxy import faulty
from tests.integration.registries import COSIGN, go_program, run
from tests.unit.oci.images import KIND, build, refer
from tests.unit.sign.world import make_world

from lockgate.oci import older, transfer
from lockgate.oci.connection import World
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, MANIFEST, Manifest, manifest_bytes
from lockgate.oci.referrers import fallback_tag
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.faults.proxy import Asked, Fault
    from tests.integration.registries import Running

    from lockgate.oci.manifest import Descriptor

ROUNDS = 4
SIGNERS = 3
EACH = 3
"""Referrers that each signer brings."""


def signed(folder: Path, signer: str, count: int = EACH) -> tuple[Layout, Descriptor]:
    """Return a layout with an image, always the same, and the signer's own evidence in both forms."""
    layout = Layout.create(folder)
    root = build(layout)
    for number in range(count):
        refer(layout, root, f"{signer} says {number}".encode())
    layers = tuple(layout.put(f"{signer} signs {number}".encode(), KIND) for number in range(2))
    config = layout.put(older.config(layers), CONFIG)
    found = layout.put(manifest_bytes(Manifest(config=config, layers=layers)), MANIFEST)
    layout.tag({f"{fallback_tag(root.digest)}.sig": found})
    return layout, root


def evidence(running: Running, repository: str, root: Descriptor) -> tuple[set[str], set[str]]:
    """Return what the repository lists: contents of the referrers, and of the layers behind the older tag."""
    world = World()
    with Registry(world.endpoint(f"127.0.0.1:{running.port}/{repository}"), world) as place:
        referrers = [one.digest for one in place.referrers(root.digest)]
        older_tag = place.resolve(f"{fallback_tag(root.digest)}.sig")
        assert older_tag is not None

        def contents(digest: str) -> set[str]:
            data = place.manifest(digest)
            assert data is not None
            said = set()
            for one in Manifest.parse(data).layers:
                with place.open(one) as pieces:
                    said.add(b"".join(pieces).decode())
            return said

        listed = set().union(*map(contents, referrers)) if referrers else set()
        return listed, contents(older_tag.digest)


def test_several_pushers(running: Running, tmp_path: Path) -> None:
    """Each ends well, and every list holds what each of them brought; round after round."""
    names = [f"signer {number}" for number in range(SIGNERS)]
    layouts = [signed(tmp_path / name, name) for name in names]
    root = layouts[0][1]
    for _ in range(ROUNDS):
        repository = f"together/{uuid.uuid4().hex[:12]}"
        name = f"127.0.0.1:{running.port}/{repository}"
        others = runs.Together(SIGNERS)
        started = [
            runs.start(runs.push, name, str(one.root), root.digest, others) for one, _ in layouts
        ]
        assert [runs.finished(one) for one in started] == [0] * SIGNERS

        listed, behind = evidence(running, repository, root)
        assert listed == {f"{one} says {number}" for one in names for number in range(EACH)}
        assert behind == {f"{one} signs {number}" for one in names for number in range(2)}


@pytest.mark.parametrize("end", ["", ".sig"], ids=["list", "older"])
def test_a_slow_writer(end: str, running: Running, tmp_path: Path) -> None:
    """Who has read the list before another wrote it, and writes it after, takes nothing away for good."""
    (ann, root), (ben, _) = signed(tmp_path / "ann", "ann", 1), signed(tmp_path / "ben", "ben", 1)
    repository = f"together/{uuid.uuid4().hex[:12]}"
    tag = fallback_tag(root.digest) + end
    hold = wrongs.Hold()

    def script(asked: Asked) -> Fault | None:
        if asked.method == "PUT" and asked.path.endswith(f"/manifests/{tag}"):
            return hold if not hold.reached.is_set() else None
        return None

    with faulty(running.port, script) as proxy:
        slow = runs.start(runs.push, f"{proxy.host}/{repository}", str(ben.root), root.digest)
        # A registry with the Referrers API has no such list.
        while not hold.reached.wait(0.01) and slow.is_alive():
            pass

        def others_write(_: float) -> None:
            hold.released.set()
            assert runs.finished(slow) == 0

        world = World(sleep=others_write)
        place = f"127.0.0.1:{running.port}/{repository}"
        with Registry(world.endpoint(place), world, push=True) as target:
            work = transfer.plan(LayoutStore(ann, "ann"), target, root.digest, "1.0")
            transfer.move(work, lambda *_: None)

    listed, behind = evidence(running, repository, root)
    assert listed == {"ann says 0", "ben says 0"}
    assert behind == {f"{one} signs {number}" for one in ("ann", "ben") for number in range(2)}


READ = {
    "bundle": ("--insecure-ignore-tlog=true",),
    "legacy": ("--private-infrastructure", "--new-bundle-format=false"),
}
"""How cosign is told which form to read, without any service of the public Sigstore."""


def test_two_real_signers(running: Running, tmp_path: Path) -> None:
    """Two who sign the same image each in a store of their own, and push at once: cosign verifies both keys."""
    pairs = {name: pair("P-256", tmp_path, name) for name in ("ann", "ben")}
    worlds = {name: make_world(tmp_path / name) for name in pairs}
    for name, made in worlds.items():
        made.sign(pairs[name].signer)
    subject = worlds["ann"].image.subject
    repository = f"together/{uuid.uuid4().hex[:12]}"
    name = f"127.0.0.1:{running.port}/{repository}"

    others = runs.Together(len(worlds))
    started = [
        runs.start(runs.push, name, str(one.layout.root), subject, others)
        for one in worlds.values()
    ]
    assert [runs.finished(one) for one in started] == [0, 0]

    image = f"localhost:{running.port}/{repository}@{subject}"
    for keys in pairs.values():
        for flags in READ.values():
            key = ("--key", str(keys.public), *keys.flags)
            run(go_program(COSIGN), "verify", *key, *flags, image, home=tmp_path)
            what = ("--type", "cyclonedx")
            run(go_program(COSIGN), "verify-attestation", *key, *flags, *what, image, home=tmp_path)
