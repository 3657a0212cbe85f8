"""Clusters of kind and k3d, made, read and removed by the real programs, whose nodes are ours in their clothes."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.cluster.node import standin
from tests.node import INV, ROOT, kubectl

from lockgate.deploy.node.capabilities import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.node.standin import Kind
    from tests.engine import Engine
    from tests.node import Parts

SETTINGS = """\
project: tests
components:
  web: {{path: web, entrypoint: [python3]}}
cluster:
  provider: {kind}
  name: {name}
"""

MORE = {
    "kind": "",
    # Its fixes are shell scripts, and its load balancer is an image of its own; it has one server here.
    "k3d": "K3D_FIX_DNS=0 K3D_FIX_CGROUPV2=0 K3D_FIX_MOUNTS=0 K3D_IMAGE_TOOLS={image}",
}
WORDS = {"kind": "--image={image}", "k3d": "--image={image} --no-lb"}


@dataclass
class Outside:
    """A repository whose clusters are those of kind or k3d."""

    kind: Kind
    name: str
    """Of the cluster."""
    root: Path
    engine: Engine

    @property
    def program(self) -> str:
        """Path of the real kind or k3d."""
        from lockgate.build import gotools
        from lockgate.tasks.session import user_cache

        return str(gotools.binary(self.kind, root=ROOT, cache=user_cache()))

    @property
    def environment(self) -> dict[str, str]:
        """Environment with the program on PATH and a home folder of the test's own."""
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, **self.engine.environment, "PATH": path, "HOME": str(self.root)}

    @property
    def kubeconfig(self) -> Path:
        """Where Lockgate keeps the kubeconfig."""
        return self.root / ".lockgate" / "cluster" / self.name / "kubeconfig"

    def use(self, image: str) -> None:
        """Put the program on PATH; whenever it makes a cluster, it is told of an image."""
        more, words = MORE[self.kind].format(image=image), WORDS[self.kind].format(image=image)
        real = shlex.quote(self.program)
        shim = self.root / "bin" / self.kind
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(
            f"""#!/bin/sh
case "$1 $2" in
    *create*) {more} exec {real} "$@" {words} ;;
    *) exec {real} "$@" ;;
esac
"""
        )
        shim.chmod(0o755)

    def run(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a program; fail the test when the exit code is another than `code`; None for any."""
        done = subprocess.run(
            words,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def inv(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `inv`."""
        return self.run(*INV, *words, code=code)

    def create(self) -> None:
        """Make the cluster without Lockgate, as somebody may have done before."""
        kind = ("create", "cluster", f"--name={self.name}", "--wait=180s")
        k3d = ("cluster", "create", self.name)
        self.run(self.kind, *(kind if self.kind == "kind" else k3d))

    def remove(self) -> None:
        """Remove the cluster without Lockgate."""
        kind = ("delete", "cluster", f"--name={self.name}")
        self.run(
            self.program,
            *(kind if self.kind == "kind" else ("cluster", "delete", self.name)),
            code=None,
        )

    def containers(self) -> list[str]:
        """Return the names of the cluster's containers."""
        node = standin.node_name(self.kind, self.name)
        found = self.run("docker", "ps", "--all", "--format={{.Names}}", f"--filter=name={node}")
        return found.stdout.split()


@pytest.fixture(params=["kind", "k3d"])
def outside(
    request: pytest.FixtureRequest, engine: Engine, node_parts: Parts, tmp_path: Path
) -> Iterator[Outside]:
    """A repository for one of the two; what it left on the engine is removed."""
    if not engine.private and set(NAMES) - set(node_parts.about.capabilities):
        pytest.skip(
            "kind and k3d want every capability, the machine has not all of them, and its engine is not the tests' own"
        )
    made = Outside(request.param, f"lockgate-{secrets.token_hex(3)}", tmp_path, engine)
    (tmp_path / "lockgate.yaml").write_text(SETTINGS.format(kind=made.kind, name=made.name))
    (tmp_path / "tasks.py").write_text((ROOT / "tasks.py").read_text())
    (tmp_path / "web").mkdir()
    networks = set(made.run("docker", "network", "ls", "--format={{.Name}}").stdout.split())
    yield made
    made.remove()
    # kind leaves its network for the next cluster, k3d what it could not roll back.
    for one in {"kind", f"k3d-{made.name}"} - networks:
        made.run("docker", "network", "rm", one, code=None)
    made.run("docker", "volume", "rm", "--force", f"k3d-{made.name}-images", code=None)


def test_a_cluster_is_made_and_removed(outside: Outside, node_parts: Parts) -> None:
    """`cluster.up` has a ready one with a kubeconfig that works, a second one changes nothing, `down` removes it."""
    outside.use(standin.image(outside.engine, node_parts, outside.kind, outside.name))
    assert f"{outside.name}  absent" in outside.inv("cluster.status", code=5).stdout

    up = json.loads(outside.inv("cluster.up", "--json").stdout)

    node = standin.node_name(outside.kind, outside.name)
    assert (up["provider"], up["phase"]) == (outside.kind, "ready")
    assert up["context"] == f"{outside.kind}-{outside.name}"
    assert [(one["name"], one["ready"]) for one in up["nodes"]] == [(node, True)]
    assert stat.S_IMODE(outside.kubeconfig.stat().st_mode) == 0o600
    assert not (outside.root / ".kube").exists()
    asked = (kubectl(), f"--kubeconfig={outside.kubeconfig}", f"--context={up['context']}")
    assert outside.run(*asked, "get", "nodes", "--output=name").stdout == f"node/{node}\n"
    assert f"{outside.name}  unchanged" in outside.inv("cluster.up").stderr
    assert "would be removed" in outside.inv("cluster.down", "--plan").stderr

    assert f"{outside.kind} cluster {outside.name}" in outside.inv("cluster.down").stderr

    assert outside.containers() == []
    assert not outside.kubeconfig.exists()
    assert f"{outside.name}  absent" in outside.inv("cluster.status", code=5).stdout


def test_one_that_others_made_is_used_and_not_removed(outside: Outside, node_parts: Parts) -> None:
    """`cluster.up` takes it as it is; `cluster.down` refuses, and it is still there."""
    outside.use(standin.image(outside.engine, node_parts, outside.kind, outside.name))
    outside.create()

    assert f"{outside.name}  unchanged" in outside.inv("cluster.up").stderr
    assert "was not made here" in outside.inv("cluster.down", code=2).stderr

    assert standin.node_name(outside.kind, outside.name) in outside.containers()


def test_one_that_cannot_be_made_says_why(outside: Outside) -> None:
    """What the engine said of an image that is nowhere, in plain letters; `cluster.down` finds nothing left that it could remove."""
    outside.use("127.0.0.1:1/absent:1")

    refused = outside.inv("cluster.up", code=6)

    assert "dial tcp 127.0.0.1:1: connect: connection refused" in refused.stderr
    assert "[3" not in refused.stderr
    assert "nothing to remove" in outside.inv("cluster.down").stderr
    assert outside.containers() == []
