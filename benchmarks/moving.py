"""Push and pull an image of 100 MB: we against crane and skopeo, on the same registry."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

from benchmarks import signed
from benchmarks.pair import Command, cost, line, once, pairs
from benchmarks.peers import peer
from benchmarks.verifying import INV
from lockgate.base.canonical import encode
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, LAYER_GZIP, MANIFEST, Manifest, manifest_bytes

if TYPE_CHECKING:
    from pathlib import Path

SIZE, LAYERS = 100_000_000, 4


def run(place: Path, runs: int) -> None:
    """Print the rows of this module."""
    registry = peer("registry")
    if not registry:
        return
    full, empty = _repository(place / "full"), _repository(place / "empty")
    layout = Layout.create(full / ".lockgate" / "store")
    _image(layout)
    (place / "home").mkdir()
    shop = signed.Shop(full, (), Layout.create(place / "nothing"))
    with signed.serve(registry, shop, place / "home") as repository:
        host = repository.partition("/")[0]
        _push(full, layout, host, place / "home", runs)
        there = f"{host}/there/app:1"
        once(Command("inv copy", [*INV, "copy", "app", there], full))
        _pull(empty, there, place / "taken", runs)


def _push(full: Path, layout: Layout, host: str, home: Path, runs: int) -> None:
    # A repository that nobody wrote to, each time, of a registry that has none of the blobs.
    fresh = f"{host}/r$(date +%s%N)/app:1"

    def forget() -> None:
        shutil.rmtree(home / "docker", ignore_errors=True)

    ours = Command("inv copy", _shell(*INV, "copy", "app", fresh), full, forget)
    store = layout.root
    for name, argv in (
        ("crane", ("push", str(store), fresh)),
        ("skopeo", ("copy", "--dest-tls-verify=false", f"oci:{store}:app", f"docker://{fresh}")),
    ):
        program = peer(name)
        if program:
            figure = pairs(ours, Command(name, _shell(program, *argv), full, forget), runs)
            print(line(f"push {SIZE // 10**6} MB vs {name}", figure, "goal < 1"), flush=True)
            print(cost(figure), flush=True)


def _pull(empty: Path, there: str, taken: Path, runs: int) -> None:
    def clean() -> None:
        # What is pulled, and not the checked settings: the peers have none, and a repository has read its own.
        shutil.rmtree(empty / ".lockgate" / "store", ignore_errors=True)
        shutil.rmtree(taken, ignore_errors=True)

    ours = Command("inv pull", [*INV, "pull", there], empty, clean)
    for name, argv in (
        ("crane", ("pull", "--format=oci", there, str(taken))),
        ("skopeo", ("copy", "--src-tls-verify=false", f"docker://{there}", f"oci:{taken}:app")),
    ):
        program = peer(name)
        if program:
            figure = pairs(ours, Command(name, [program, *argv], empty, clean), runs)
            print(line(f"pull {SIZE // 10**6} MB vs {name}", figure, "goal < 1"), flush=True)
            print(cost(figure), flush=True)


def _shell(*words: str) -> list[str]:
    return [
        "sh",
        "-c",
        'exec "$@" ' + " ".join(f'"{one}"' for one in words[-1:]),
        "sh",
        *words[:-1],
    ]


def _repository(folder: Path) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "tasks.py").write_text(signed.TASKS)
    settings = "project: bench\ncomponents: {app: {path: app, entrypoint: [python3]}}\n"
    (folder / "lockgate.yaml").write_text(settings)
    return folder


def _image(layout: Layout) -> None:
    """Store an image whose layers cannot be packed any further."""
    packed = [gzip.compress(os.urandom(SIZE // LAYERS), 1, mtime=0) for _ in range(LAYERS)]
    layers = tuple(layout.put(one, LAYER_GZIP) for one in packed)
    content = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
    }
    config = layout.put(encode(content), CONFIG)
    data = manifest_bytes(Manifest(config=config, layers=layers))
    layout.tag({"app": layout.put(data, MANIFEST)})
