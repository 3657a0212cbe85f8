"""`inv deploy --target cluster` and its neighbours, as a person types them, on a real API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.apiserver import binary
from tests.integration.registries import wait_until_it_answers
from tests.machine import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.conftest import Place

SETTINGS = """
project: shop
components:
  web: {path: web, entrypoint: [python3]}
environments:
  dev:
    development_key: true
    dirty: true
    blocks: false
    target: cluster
    namespace: @NS
    kubeconfig: KUBECONFIG
    prune_limit: 3
"""

OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: @NS
resources: [objects.yaml]
"""

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {key: one}
---
apiVersion: v1
kind: Secret
metadata: {name: b}
stringData: {password: hidden-word}
"""


class Shop:
    """A repository whose environment is a namespace of the API server."""

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.place = path, place
        (path / "tasks.py").write_text("from lockgate.tasks import namespace\n\nns = namespace()\n")
        (path / ".gitignore").write_text(".lockgate\n")
        (path / "web").mkdir()
        overlay = path / "k8s" / "overlays" / "dev"
        overlay.mkdir(parents=True)
        self.objects = overlay / "objects.yaml"
        settings = SETTINGS.replace("KUBECONFIG", str(place.server.kubeconfig()))
        (path / "lockgate.yaml").write_text(settings.replace("@NS", place.namespace))
        (overlay / "kustomization.yaml").write_text(OVERLAY.replace("@NS", place.namespace))
        self.write(OBJECTS)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
            self.git(*words)

    def git(self, *words: str) -> None:
        """Run git with an identity of the test's own."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(
            ["git", *identity, *words],
            cwd=self.path,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
            check=True,
            capture_output=True,
            timeout=60,
        )

    def write(self, text: str) -> None:
        """Replace the manifests."""
        self.objects.write_text(text)

    def inv(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `inv`; fail the test when it ends with another exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "lockgate.tasks.program", *words],
            cwd=self.path,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def shop(tmp_path: Path, place: Place) -> Shop:
    """A repository of the test's own."""
    return Shop(tmp_path, place)


def test_from_manifests_to_the_cluster_and_back(shop: Shop) -> None:
    """Plan, deploy, again, change, diff, history, rollback, status, delete: each says and does what it says."""
    planned = shop.inv("deploy", "--plan")
    assert f"created    ConfigMap/{shop.place.namespace}/a" in planned.stderr
    assert "nothing was changed" in planned.stderr
    assert shop.place.get("configmap/a") is None

    first = json.loads(shop.inv("deploy", "--json").stdout)
    assert [one["action"] for one in first["changes"]] == ["created", "created"]
    again = json.loads(shop.inv("deploy", "--json").stdout)
    assert [one["action"] for one in again["changes"]] == ["unchanged", "unchanged"]
    assert shop.inv("deploy.diff", "--exit-code").stdout == ""

    shop.write(OBJECTS.replace("key: one", "key: two").replace("hidden-word", "hidden-other"))
    differs = shop.inv("deploy.diff", "--exit-code", code=1)
    assert "~ data.key: one → two" in differs.stdout
    assert "~ data.password: ***** → ******" in differs.stdout
    second = shop.inv("deploy")
    assert "2 configured" in second.stderr
    assert "hidden" not in differs.stdout + differs.stderr + second.stdout + second.stderr

    told = json.loads(shop.inv("deploy.history", "--json").stdout)
    assert [one["objects"] for one in told["applied"]] == [2, 2]
    assert (told["applied"][0]["artifact"], told["pending"]) == (first["artifact"], None)
    rows = shop.inv("deploy.history").stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["current", "before"]
    shop.inv("deploy.rollback")
    assert shop.place.get("configmap/a")["data"] == {"key": "one"}

    status = shop.inv("deploy.status", "--exit-code").stdout
    assert f"ConfigMap/{shop.place.namespace}/a" in status
    assert status.count(" current") == 2
    assert f"{shop.place.namespace}/shop-dev" in shop.inv("deploy.inventories").stdout
    listed = json.loads(shop.inv("deploy.inventories", "--json").stdout)
    assert listed["namespace"] == shop.place.namespace
    (inventory,) = listed["inventories"]
    assert (inventory["inventory"], inventory["objects"], inventory["pending"]) == (
        f"{shop.place.namespace}/shop-dev", 2, "",
    )  # fmt: skip

    refused = shop.inv("deploy.delete", code=2)
    assert "add `--yes`" in refused.stderr
    shop.inv("deploy.delete", "--yes")
    assert shop.place.get("configmap/a") is None
    assert "there is no inventory" in shop.inv("deploy.status", code=2).stderr


def test_a_project_with_a_hyphen_has_an_inventory_of_its_own(shop: Shop) -> None:
    """Its name has a dot, which every task takes."""
    settings = shop.path / "lockgate.yaml"
    settings.write_text(settings.read_text().replace("project: shop", "project: shop-x"))
    shop.inv("deploy")
    record = shop.place.get("configmap/inv-shop-x.dev")
    assert record["metadata"]["labels"]["app.kubernetes.io/name"] == "shop-x.dev"
    assert [row.split()[0] for row in shop.inv("deploy.history").stdout.splitlines()] == ["current"]
    shop.inv("deploy.delete", "--inventory", "shop-x.dev", "--yes")
    assert shop.place.get("configmap/a") is None


def test_the_way_out_of_a_lost_inventory_works_as_it_is_written(shop: Shop) -> None:
    """From a repository whose default environment is another one, in another namespace."""
    settings = shop.path / "lockgate.yaml"
    settings.write_text("environment: prod\n" + settings.read_text())
    shop.inv("deploy", "-e", "dev")
    shop.place.kubectl("delete", "configmap/inv-shop-dev")
    refused = shop.inv("deploy", "-e", "dev", code=5)
    assert "`inv deploy.repair -e dev --inventory shop-dev` writes it anew" in refused.stderr
    shop.inv("deploy.repair", "-e", "dev", "--inventory", "shop-dev")
    shop.inv("deploy", "-e", "dev")


def test_a_deployment_without_a_kubeconfig_says_what_to_set(shop: Shop) -> None:
    """Exit code 2, and the setting is named."""
    settings = shop.path / "lockgate.yaml"
    settings.write_text(settings.read_text().replace("admin.kubeconfig", "missing"))
    refused = shop.inv("deploy", code=2)
    assert "there is no kubeconfig" in refused.stderr
    assert "set `kubeconfig` of the environment" in refused.stderr


def test_an_artifact_that_nobody_signed_is_refused(shop: Shop) -> None:
    """Before the cluster is asked anything (exit code 4)."""
    shop.inv("config.build", "--name", "loose")
    refused = shop.inv("deploy", "--artifact", "loose", code=4)
    assert "there is none yet, so nothing is signed" in refused.stderr
    shop.inv("config.build", "config.sign")  # makes the key
    shop.write(OBJECTS.replace("key: one", "key: two"))
    shop.inv("config.build", "--name", "loose")
    for words in (("deploy", "--plan"), ("deploy",), ("deploy.diff",)):
        refused = shop.inv(*words, "--artifact", "loose", code=4)
        assert "signature refused" in refused.stderr
        assert "verify -e dev --reference loose` shows" in refused.stderr
        assert "config.sign -e dev` signs what" in refused.stderr
    assert shop.place.get("configmap/inv-shop-dev") is None


def test_a_changed_blob_of_the_artifact_is_refused(shop: Shop) -> None:
    """The applied bytes are the verified bytes (exit code 4)."""
    shop.inv("config.build")
    shop.inv("config.sign")
    layout = shop.path / ".lockgate" / "store"
    index = json.loads((layout / "index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    (entry,) = [
        one for one in index["manifests"] if one.get("annotations", {}).get(name) == "config-dev"
    ]
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    layer = blobs / manifest["layers"][0]["digest"].removeprefix("sha256:")
    data = bytearray(layer.read_bytes())
    data[len(data) // 2] ^= 1
    layer.chmod(0o644)
    layer.write_bytes(data)
    shop.inv("deploy", "--artifact", entry["digest"], code=4)
    assert shop.place.get("configmap/inv-shop-dev") is None


def test_an_encrypted_artifact_needs_an_identity(shop: Shop) -> None:
    """Without one nothing happens (exit code 4); with one it is applied, and its Secrets stay unseen."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    (shop.path / "recipients.txt").write_text(f"{identity.to_public()}\n")
    (shop.path / "identity.txt").write_text(f"{identity}\n")
    settings = shop.path / "lockgate.yaml"
    settings.write_text(settings.read_text().rstrip() + "\n    recipients: recipients.txt\n")
    refused = shop.inv("deploy", code=4)
    assert "encrypted" in refused.stderr
    assert shop.place.get("configmap/inv-shop-dev") is None
    done = shop.inv("deploy", "--identities", "identity.txt")
    assert "2 created" in done.stderr
    assert "hidden" not in done.stdout + done.stderr


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry of the test's own; yields a folder in it."""
    port = free_port()
    config = tmp_path / "registry.yaml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\nlog: {{level: error}}\n"
    )
    child = subprocess.Popen(
        [binary("registry"), "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )
    try:
        assert wait_until_it_answers(port, lambda: child.poll() is not None)
        yield f"127.0.0.1:{port}/shop"
    finally:
        child.kill()
        child.wait(60)


def test_another_machine_can_go_back(shop: Shop, registry: str) -> None:
    """What was applied lies in the environment's registry with its evidence, and is verified from there."""
    settings = shop.path / "lockgate.yaml"
    settings.write_text(settings.read_text().rstrip() + f"\n    registry: {registry}\n")
    shop.inv("deploy")
    shop.write(OBJECTS.replace("key: one", "key: two"))
    shop.inv("deploy")
    shutil.rmtree(shop.path / ".lockgate" / "store")
    done = shop.inv("deploy.rollback")
    assert "1 configured" in done.stderr
    assert shop.place.get("configmap/a")["data"] == {"key": "one"}
