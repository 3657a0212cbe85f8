"""The workflows of docs/github that deploy, step by step as they stand, on a real API server."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import free_port
from tests.workflow import EXAMPLES, given, jobs, key_pair, runner, shell, write_wrapper

from lockgate.oci.layout import Layout
from lockgate.oci.server import Server
from lockgate.oci.server_routes import Rules

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.conftest import Place

SETTINGS = """\
project: shop
components:
  web: {path: web, entrypoint: [python3]}
environments:
  ENV:
    target: cluster
    namespace: @NS
    key: env://RELEASE_KEY
    public_keys: [release.pub]
    registry: REGISTRY/shop
"""

MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: @NS}
data: {key: VALUE}
"""


class Shop:
    """A repository with manifests of one environment, and the machine that its workflows run on."""

    def __init__(self, path: Path, place: Place, env: str, registry: str) -> None:
        self.path, self.place = path, place
        self._key, public = key_pair()
        self._overlay = path / "k8s" / "overlays" / env
        self._overlay.mkdir(parents=True)
        (path / "web").mkdir()
        settings = SETTINGS.replace("ENV", env).replace("@NS", place.namespace)
        (path / "lockgate.yaml").write_text(settings.replace("REGISTRY", registry))
        (path / "release.pub").write_text(public)
        (path / "tasks.py").write_text("from lockgate.tasks import namespace\n\nns = namespace()\n")
        (path / ".gitignore").write_text(".lockgate\n__pycache__\n")
        (self._overlay / "kustomization.yaml").write_text("resources: [map.yaml]\n")
        write_wrapper(path)
        self.git(path, "init", "-q")
        self.commit("one")

    def git(self, folder: Path, *words: str) -> None:
        """Run git with an identity of the test's own."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(
            ["git", *identity, *words],
            cwd=folder,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
            check=True,
            capture_output=True,
            timeout=60,
        )

    def commit(self, value: str) -> None:
        """Commit manifests that say this."""
        text = MAP.replace("@NS", self.place.namespace).replace("VALUE", value)
        (self._overlay / "map.yaml").write_text(text)
        self.git(self.path, "add", "-A")
        self.git(self.path, "commit", "-qm", value)

    def kubeconfig(self) -> str:
        """Return the kubeconfig with everything that it names in it."""
        return self.place.server.kubectl("config", "view", "--flatten", "--minify").stdout

    def run(
        self,
        name: str,
        job: str,
        folder: Path,
        machine: dict[str, str],
        leave_out: str,
        inputs: dict[str, str] | None = None,
    ) -> list[str]:
        """Run the steps of a job, as GitHub would; return what each of them printed on stdout.

        Args:
            name: the workflow.
            job: which of its jobs.
            folder: the work tree.
            machine: variables that every step finds.
            leave_out: what of the machine is not there: steps whose commands have it.
            inputs: what somebody typed, by the expression.
        """
        expressions = {
            "secrets.RELEASE_KEY": self._key,
            "secrets.KUBECONFIG": self.kubeconfig(),
            **(inputs or {}),
        }
        described: dict[str, Any] = jobs(EXAMPLES / name)[job]
        variables = machine | given(described, expressions)
        kept = folder.parent / "github_env"
        said = []
        for step in described["steps"]:
            if "run" not in step or re.search(leave_out, step["run"]):
                continue
            later = dict(
                line.split("=", 1) for line in (kept.read_text() if kept.exists() else "").split()
            )
            said.append(shell(step, folder, variables | later | given(step, expressions)).stdout)
        return said


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A machine that knows no cluster but the one that a workflow tells it."""
    return {**runner(tmp_path), "HOME": str(tmp_path), "KUBECONFIG": "", "NO_COLOR": "1"}


HERE = r"sudo |docker login|/inv (build|sign|push) "
"""The images of these manifests are none: what builds them is tried in tests/integration/test_workflows.py."""


def test_what_was_published_is_deployed(
    tmp_path: Path, place: Place, machine: dict[str, str]
) -> None:
    """From a clone without a key, and a registry that lets nobody write: verified, compared, applied."""
    layout = Layout.create(tmp_path / "registry")
    port = free_port()
    with Server(layout, port=port):
        shop = Shop(tmp_path / "shop", place, "prod", f"registry.localhost:{port}")
        shop.run("publish.yml", "publish", shop.path, machine, HERE)
    reference = (tmp_path / "reference").read_text().strip()

    other = tmp_path / "other"
    shop.git(tmp_path, "clone", "-q", str(shop.path), str(other))
    with Server(layout, Rules(read_only=True), port=port):
        asked = {"inputs.reference": reference}
        said = shop.run("deploy-registry.yml", "deploy", other, machine, HERE, asked)
    assert "trusted: 2 of 2" in said[1]
    assert said[3] == f"created    ConfigMap/{place.namespace}/a\n"
    assert place.get("configmap/a")["data"] == {"key": "one"}
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_a_commit_is_deployed(tmp_path: Path, place: Place, machine: dict[str, str]) -> None:
    """Compared, then applied; the next commit changes what differs, and says it before."""
    with Server(Layout.create(tmp_path / "registry")) as server:
        host = f"registry.localhost:{server.address.rpartition(':')[2]}"
        shop = Shop(tmp_path / "shop", place, "staging", host)
        shop.run("deploy-git.yml", "deploy", shop.path, machine, HERE)
        assert place.get("configmap/a")["data"] == {"key": "one"}
        shop.commit("two")
        said = shop.run("deploy-git.yml", "deploy", shop.path, machine, HERE)
    assert "~ data.key: one → two" in said[1]
    assert place.get("configmap/a")["data"] == {"key": "two"}
