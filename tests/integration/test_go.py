"""The real Go: a service of our own through the whole flow, and one of the tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.canonical import loads
from lockgate.build import gotools
from lockgate.build.go import pinned
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import Repository

ROOT = Path(__file__).parents[2]

GREETING = """\
  greeting:
    kind: gomodule
    path: greeting
    stack: static
    entrypoint: [greeting]
    ready: /
    on_demand: true

build:
"""


def with_greeting(made: Repository) -> Repository:
    """Add the service to a copy of this repository."""
    shutil.copytree(ROOT / "tests" / "components" / "greeting", made.path / "greeting")
    made.edit("lockgate.yaml", "build:\n", GREETING)
    made.settle()
    return made


@pytest.fixture(scope="module")
def greeting(make_repository: Callable[[str], Repository]) -> Iterator[Repository]:
    """The service, built, scanned, signed and running."""
    made = with_greeting(make_repository("greeting"))
    for task in ("build", "scan", "sign", "deploy"):
        made.inv(task, "-c", "greeting")
    yield made
    made.inv("deploy.stop", "-c", "greeting")


def test_it_answers(greeting: Repository) -> None:
    """The verified image runs; the program was compiled and not copied."""
    status = json.loads(greeting.inv("deploy.status", "-c", "greeting", "--json").stdout)

    with urllib.request.urlopen(status["url"], timeout=60) as answer:
        assert answer.read() == b"Good Morning\n"
    assert [len(one["layers"]) for one in greeting.record("image", "greeting")["platforms"]] == [
        2,
        2,
    ]


def test_evidence_names_every_go_module(greeting: Repository) -> None:
    """Bill of materials and provenance name the dependency and Go's own library; Trivy saw both in the program."""
    assert "trusted: 5 of 5" in greeting.inv("verify", "-c", "greeting").stdout
    document = json.loads((greeting.path / "out" / "greeting" / "sbom.cdx.json").read_bytes())
    purls = {one["purl"] for one in document["components"] if one["purl"].startswith("pkg:golang")}
    wanted = {f"pkg:golang/stdlib@v{pinned()[2:]}", "pkg:golang/golang.org/x/text@v0.31.0"}

    assert purls == {*wanted, "pkg:golang/example.org/greeting"}
    (text,) = [one for one in document["components"] if "x/text" in one["purl"]]
    assert text["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    found = {one["name"]: one for one in provenance(greeting) if "name" in one}
    assert {"greeting/go.mod", "greeting/go.sum", "stack.lock", "tree"} <= set(found)
    by_uri = {one["uri"]: one.get("digest", {}) for one in provenance(greeting) if "uri" in one}
    assert set(by_uri) >= wanted
    assert set(by_uri["pkg:golang/golang.org/x/text@v0.31.0"]) == {"dirHash"}


def provenance(repository: Repository) -> list[dict[str, Any]]:
    """What the signed provenance says that the image was made from."""
    import base64

    for path in (repository.store / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if not data.startswith(b"{") or b"dsseEnvelope" not in data:
            continue
        statement = json.loads(base64.b64decode(loads(data)["dsseEnvelope"]["payload"]))
        if statement["predicateType"] == "https://slsa.dev/provenance/v1":
            listed: list[dict[str, Any]] = statement["predicate"]["buildDefinition"][
                "resolvedDependencies"
            ]
            return listed
    pytest.fail("there is no provenance in the store")


def test_another_folder_gives_the_same_image(
    greeting: Repository, make_repository: Callable[[str], Repository], tmp_path: Path
) -> None:
    """Cloned elsewhere, compiled with an empty cache by the same Go: the same digest, on both platforms."""
    clone = tmp_path / "a" / "deeper folder" / "clone"
    greeting.git("clone", "--quiet", str(greeting.path), str(clone))
    cache = tmp_path / "cache"
    (cache / "tools").mkdir(parents=True)
    shutil.copytree(user_cache() / "debs", cache / "debs")
    for place in (user_cache() / "tools").glob(f"{pinned()}-*"):
        (cache / "tools" / place.name).symlink_to(place)
    done = subprocess.run(
        [sys.executable, "-m", "lockgate.tasks.program", "build", "-c", "greeting", "--json"],
        cwd=clone,
        env={**_environment(), "LOCKGATE_CACHE": str(cache), "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "compiling greeting" in done.stderr
    assert json.loads(done.stdout)["subject"] == greeting.record("image", "greeting")["subject"]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "GOFLAGS": "-ldflags=-X=main.x=1", "GOAMD64": "v3", "LOCKGATE_QUIET": ""}


def test_compare_finds_no_difference(greeting: Repository) -> None:
    """Built again from scratch, every file is equal."""
    assert "twice" in greeting.inv("build.compare", "-c", "greeting").stderr


def test_a_changed_checksum_is_refused(make_repository: Callable[[str], Repository]) -> None:
    """A module whose bytes are not those of `go.sum` is not compiled: exit 4, and no image."""
    made = with_greeting(make_repository("changed"))
    sums = (made.path / "greeting" / "go.sum").read_text()
    first = next(one for one in sums.splitlines() if "/go.mod" not in one)
    made.edit("greeting/go.sum", first, first[:-12] + "AAAAAAAAAAA=")
    answer = made.inv("build", "-c", "greeting", code=4)

    assert "golang.org/x/text@v0.31.0 is not what go.sum of greeting lists" in answer.stderr


def test_an_incomplete_checksum_list_is_refused(
    make_repository: Callable[[str], Repository],
) -> None:
    """Nothing is added to it on the way: exit 2, with what to run."""
    made = with_greeting(make_repository("incomplete"))
    (made.path / "greeting" / "go.sum").write_text("")
    answer = made.inv("build", "-c", "greeting", code=2)

    assert "go.mod and go.sum of greeting are not complete" in answer.stderr
    assert "go mod tidy" in answer.stderr


def test_a_mistake_in_the_sources_is_shown(make_repository: Callable[[str], Repository]) -> None:
    """Exit 6, with the line of the compiler."""
    made = with_greeting(make_repository("mistake"))
    made.edit("greeting/main.go", "listener.Accept()", "listener.Acept()")
    answer = made.inv("build", "-c", "greeting", code=6)

    assert "main.go:23" in answer.stderr


def test_a_real_tool(tmp_path: Path) -> None:
    """A real one is there, or is compiled in seconds, and does its work without Go and without its caches."""
    path = gotools.binary("kustomize", root=ROOT, cache=user_cache(), search="/usr/bin:/bin")
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        "configMapGenerator: [{name: a, literals: [b=c]}]\n"
    )
    done = subprocess.run(
        [path, "build", str(tmp_path)],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "kind: ConfigMap" in done.stdout
