"""Artifacts of 110 and 5,000 objects: built, pushed, pulled and compared, against kustomize, crane and diff.

The peers do less: kustomize only renders, crane moves bytes without evidence, diff knows no Secrets. Of our time
most is the start of Python and Invoke, which has a row of its own. kustomize needs minutes for 5,000 objects, so
there it has no row.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from typing import TYPE_CHECKING

from benchmarks import signed
from benchmarks.pair import Command, cost, line, middle, once, pairs
from benchmarks.peers import peer
from benchmarks.verifying import INV
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = (110, 5000)
_FEW = 1000
"""From here on kustomize is not waited for."""

_IMAGE = "registry.example.com/team/app@sha256:" + "1" * 64

_OBJECT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{number}, namespace: bench, labels: {{app: web-{number}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web-{number}}}}}
  template:
    metadata: {{labels: {{app: web-{number}}}}}
    spec:
      serviceAccountName: web
      containers:
        - name: web
          image: {image}
          args: [serve, --port, "8080"]
          env:
            - {{name: NUMBER, value: "{number}"}}
            - {{name: CHANGED, value: "{changed}"}}
          ports: [{{containerPort: 8080, name: http}}]
          resources: {{limits: {{cpu: "1", memory: 64Mi}}, requests: {{cpu: 10m, memory: 32Mi}}}}
          readinessProbe: {{httpGet: {{path: /readyz, port: http}}, periodSeconds: 3}}
"""


def run(place: Path, runs: int) -> None:
    """Print the rows of this module."""
    start = middle(Command("inv --version", [*INV, "--version"], place), runs)
    print(f"{'inv --version, which is in every row below':<46} {start:7.3f} s", flush=True)
    registry = peer("registry")
    for count in COUNTS:
        folder = _repository(place / str(count), count)
        _build(folder, count, runs)
        if registry:
            (place / f"home-{count}").mkdir()
            shop = signed.Shop(folder, (), Layout.create(place / "nothing"))
            with signed.serve(registry, shop, place / f"home-{count}") as repository:
                _moves(folder, repository.partition("/")[0], count, runs)


def _repository(folder: Path, count: int) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "tasks.py").write_text(signed.TASKS)
    settings = "project: bench\ncomponents: {app: {path: app, entrypoint: [python3]}}\n"
    (folder / "lockgate.yaml").write_text(settings)
    for name, changed in (("one", 0), ("two", 1)):
        (folder / name).mkdir()
        objects = (
            _OBJECT.format(number=number, image=_IMAGE, changed=changed if number < 5 else 0)
            for number in range(count)
        )
        (folder / name / "all.yaml").write_text("---\n".join(objects))
        (folder / name / "kustomization.yaml").write_text("resources: [all.yaml]\n")
        once(Command("build", [*INV, "config.build", "-f", name, "--name", name], folder))
    return folder


def _build(folder: Path, count: int, runs: int) -> None:
    def forget() -> None:
        shutil.rmtree(folder / ".lockgate" / "cache" / "config", ignore_errors=True)

    words = [*INV, "config.build", "-f", "one", "--name", "one"]
    program = peer("kustomize") if count < _FEW else ""
    for name, before in (("build", forget), ("build, unchanged", _nothing)):
        ours = Command(name, words, folder, before)
        if program:
            rendered = Command("kustomize", [program, "build", "one"], folder)
            figure = pairs(ours, rendered, runs)
            print(line(f"{name}, {count} objects, vs kustomize", figure), flush=True)
            print(cost(figure), flush=True)
        else:
            seconds = middle(ours, runs)
            print(f"{f'{name}, {count} objects':<46} {seconds:7.3f} s  goal < 3 s", flush=True)


def _nothing() -> None:
    """Change nothing before a run."""


def _moves(folder: Path, host: str, count: int, runs: int) -> None:
    crane = peer("crane")
    if not crane:
        return
    layer = folder / "layer.tgz"
    layer.write_bytes(_packed((folder / "one" / "all.yaml").read_bytes()))
    fresh = f"{host}/r$(date +%s%N)/config:1"
    shell = ["sh", "-c", f'exec "$@" {fresh}', "sh"]
    figure = pairs(
        Command("inv copy", [*shell, *INV, "copy", "one"], folder),
        Command("crane", [*shell, crane, "append", "--insecure", "-f", str(layer), "-t"], folder),
        runs,
    )
    print(line(f"push {count} objects vs crane append", figure), flush=True)
    for name in ("one", "two"):
        once(Command("copy", [*INV, "copy", name, f"{host}/bench/{name}:1"], folder))
    one, two = f"{host}/bench/one:1", f"{host}/bench/two:1"

    def forget() -> None:
        shutil.rmtree(folder / ".lockgate" / "store", ignore_errors=True)

    figure = pairs(
        Command("inv config.pull", [*INV, "config.pull", one], folder, forget),
        Command("crane", [crane, "export", "--insecure", one, "-"], folder),
        runs,
    )
    print(line(f"pull {count} objects vs crane export", figure), flush=True)
    words = f'{crane} export --insecure "$1" "$0"; tar -xOf "$0" all.yaml > "$0.yaml"'
    twice = f"set -- a {one} b {two}; sh -c '{words}' $1 $2; sh -c '{words}' $3 $4; diff -u a.yaml b.yaml || true"
    figure = pairs(
        Command("inv config.diff", [*INV, "config.diff", one, two], folder),
        Command("crane and diff", ["sh", "-c", twice], folder),
        runs,
    )
    print(line(f"diff {count} objects vs crane, diff -u", figure), flush=True)
    print(cost(figure), flush=True)


def _packed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("all.yaml")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), 5, mtime=0)
