"""The real Argo CD syncs what `inv config.push` pushed: its application controller, its repo server and Redis.

They run as processes beside an API server of their own. Objects are compared with what the artifact holds.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.apiserver import ROOT, ApiServer, running
from tests.cluster.definitions import define
from tests.cluster.published import TAG, Published, publish, wrong_digest
from tests.enclosure import enclosure
from tests.integration.registries import command, debian_program, serve
from tests.machine import free_port
from tests.service import Service, built, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.registries import Running

ASSETS = ROOT / "tests" / "assets" / "argo-cd"
NAMESPACE = "argocd"
SECONDS = 300.0
"""How long Argo CD may take for one application. It takes a few; its first start on a busy machine, more."""

RESYNC = 10
"""Seconds after which it compares an application again: should it begin before it has seen the Secret of the registry,
the usual two minutes would be waited for."""

_PART = {"app.kubernetes.io/part-of": "argocd"}
SETTINGS: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": NAMESPACE, "labels": _PART},
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "argocd-secret", "namespace": NAMESPACE, "labels": _PART},
        "stringData": {"server.secretkey": "of no use here: there is no server for people"},
    },
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    },
)
"""What its install manifest brings, but for the pods: `manifests/core-install.yaml` of the same version."""


class ArgoCD:
    """Argo CD's servers, and the API server that they work for."""

    def __init__(self, server: ApiServer, services: tuple[Service, ...]) -> None:
        self._server, self._services = server, services

    def repository(self, name: str, url: str) -> None:
        """Tell it of a registry's repository, as a person would: a Secret of type `oci`, plain HTTP on loopback."""
        apply(
            self._server,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": {"argocd.argoproj.io/secret-type": "repository"},
                },
                "stringData": {
                    "type": "oci",
                    "url": url,
                    "insecureOCIForceHttp": "true",
                },
            },
        )

    def application(
        self,
        name: str,
        artifact: Published,
        revision: str,
        *,
        holds: Callable[[dict[str, Any]], bool],
    ) -> dict[str, Any]:
        """Have an `Application` that syncs by itself into a namespace of its name; return its status once it `holds`."""
        apply(
            self._server,
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": artifact.url, "targetRevision": revision, "path": "."},
                    "destination": {
                        "server": "https://kubernetes.default.svc",
                        "namespace": name,
                    },
                    "syncPolicy": {
                        "automated": {},
                        "syncOptions": ["CreateNamespace=true"],
                        "retry": {"limit": 5, "backoff": {"duration": "1s", "maxDuration": "5s"}},
                    },
                },
            },
        )
        until = time.monotonic() + SECONDS
        while True:
            status: dict[str, Any] = self.get(NAMESPACE, f"applications.argoproj.io/{name}").get(
                "status", {}
            )
            if holds(status):
                return status
            for one in self._services:
                assert not one.ended, one.log()
            assert time.monotonic() < until, self._said(status)
            time.sleep(0.2)

    def get(self, namespace: str, what: str) -> dict[str, Any]:
        """Return an object; empty when it is not there."""
        done = self._server.kubectl(
            "-n", namespace, "get", what, "-o", "json", "--ignore-not-found"
        )
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def _said(self, status: dict[str, Any]) -> str:
        return "\n".join([json.dumps(status), *(one.log() for one in self._services)])


def apply(server: ApiServer, *objects: dict[str, Any]) -> None:
    """Have objects."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))


def synced(status: dict[str, Any]) -> bool:
    """Whether an application is synced, and what it did is known."""
    operation = status.get("operationState", {})
    said = (status.get("sync", {}).get("status"), operation.get("phase"))
    return said == ("Synced", "Succeeded")


def failed(status: dict[str, Any]) -> bool:
    """Whether an application could not be compared; the condition is there before the status says so."""
    said = any(one["type"] == "ComparisonError" for one in status.get("conditions", ()))
    return said and status.get("sync", {}).get("status") == "Unknown"


@pytest.fixture(scope="module")
def argocd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCD]:
    """Argo CD on an API server of its own."""
    folder = tmp_path_factory.mktemp("argocd")
    program, redis_server = built("argocd"), debian_program("redis-server")
    with running(folder / "api-server") as server, contextlib.ExitStack() as stack:
        define(server, ASSETS)
        server.kubectl("create", "namespace", NAMESPACE)
        apply(server, *SETTINGS)
        redis_port, repo_port = free_port(), free_port()
        redis = stack.enter_context(serving(
            [redis_server, "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "",
             "--appendonly", "no", "--dir", str(folder)],
            folder / "redis.log", env={},
        ))  # fmt: skip
        environment = _environment(folder)
        repo = stack.enter_context(serving(
            [program, "--address=127.0.0.1", f"--port={repo_port}", "--disable-tls",
             "--metrics-address=127.0.0.1", f"--metrics-port={free_port()}",
             f"--redis=127.0.0.1:{redis_port}"],
            folder / "repo-server.log",
            env={**environment, "ARGOCD_BINARY_NAME": "argocd-repo-server"},
        ))  # fmt: skip
        _answers((redis, redis_port), (repo, repo_port))
        api_port = int(server.url.rpartition(":")[2])
        # It has no flag for the address of its metrics: they are on every one that it can see.
        network = stack.enter_context(enclosure((api_port, redis_port, repo_port)))
        kubeconfig = str(server.kubeconfig())
        controller = stack.enter_context(serving(
            [program, f"--kubeconfig={kubeconfig}", f"--namespace={NAMESPACE}", "--metrics-port=8082",
             f"--redis=127.0.0.1:{redis_port}", f"--repo-server=127.0.0.1:{repo_port}",
             "--repo-server-plaintext", f"--app-resync={RESYNC}", "--app-resync-jitter=0"],
            folder / "application-controller.log",
            env={
                **environment,
                "ARGOCD_BINARY_NAME": "argocd-application-controller",
                # The cluster that it runs in is the one of the kubeconfig.
                "ARGOCD_FAKE_IN_CLUSTER": "true",
                "KUBECONFIG": kubeconfig,
            },
            before=network.enter,
        ))  # fmt: skip
        network.open()
        yield ArgoCD(server, (redis, repo, controller))


def _environment(folder: Path) -> dict[str, str]:
    """Return variables that keep Argo CD's files in one folder."""
    made = {
        "HOME": "home",
        "TMPDIR": "tmp",
        "ARGOCD_TLS_DATA_PATH": "tls",
        "ARGOCD_SSH_DATA_PATH": "ssh",
        "ARGOCD_GPG_DATA_PATH": "gpg",
    }
    for name in made.values():
        (folder / name).mkdir()
    return {
        **{variable: str(folder / name) for variable, name in made.items()},
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
    }


def _answers(*servers: tuple[Service, int]) -> None:
    """Wait until servers listen at their ports."""
    until = time.monotonic() + 180
    for service, port in servers:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except OSError:
                assert not service.ended, service.log()
                assert time.monotonic() < until, service.log()
                time.sleep(0.05)


@pytest.fixture(scope="module", params=["distribution", "lockgate"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The registry that most run, and `inv registry.serve`."""
    home = tmp_path_factory.mktemp("registry")
    with command(home) if request.param == "lockgate" else serve(request.param, home) as one:
        yield one


@pytest.fixture(scope="module")
def artifact(
    argocd: ArgoCD, registry: Running, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """An artifact, of which Argo CD is told where it lies."""
    to = f"127.0.0.1:{registry.port}/team"
    argocd.repository(f"shop-{registry.kind}", f"oci://{to}/config-dev")
    return publish(tmp_path_factory.mktemp("shop"), to)


def test_argocd_syncs_it_by_digest(argocd: ArgoCD, registry: Running, artifact: Published) -> None:
    """Its revision is our digest, and every object of ours is in the cluster as the artifact has it."""
    name = f"digest-{registry.kind}"
    found = argocd.application(name, artifact, artifact.digest, holds=synced)

    assert found["sync"]["revision"] == artifact.digest
    assert found["operationState"]["syncResult"]["revision"] == artifact.digest
    wanted = list(yaml.safe_load_all(artifact.yaml))
    assert {(one["kind"], one["name"]) for one in found["resources"]} == {
        (one["kind"], one["metadata"]["name"]) for one in wanted
    }
    for one in wanted:
        live = argocd.get(name, f"{one['kind']}/{one['metadata']['name']}")
        assert live, f"{one['kind']} is not there"
        assert holds_all(live, {key: value for key, value in one.items() if key != "metadata"})


def holds_all(live: Any, wanted: Any) -> bool:
    """Whether an object has all that is wanted; the API server adds defaults."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and holds_all(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(live) == len(wanted) and all(map(holds_all, live, wanted))
    return bool(live == wanted)


def test_argocd_syncs_it_by_tag(argocd: ArgoCD, registry: Running, artifact: Published) -> None:
    """The tag is resolved to our digest."""
    found = argocd.application(f"tag-{registry.kind}", artifact, TAG, holds=synced)

    assert found["sync"]["revision"] == artifact.digest


def test_argocd_syncs_the_newest_of_a_range(
    argocd: ArgoCD, registry: Running, artifact: Published
) -> None:
    """Tags that hold only evidence are no versions, and are not in its way."""
    found = argocd.application(f"range-{registry.kind}", artifact, ">=1 <2", holds=synced)

    assert found["sync"]["revision"] == artifact.digest


def test_a_digest_that_is_not_there_is_an_error(
    argocd: ArgoCD, registry: Running, artifact: Published
) -> None:
    """So that the tests above can fail."""
    name = f"absent-{registry.kind}"
    digest = wrong_digest(artifact.digest)
    found = argocd.application(
        name,
        artifact,
        digest,
        holds=lambda status: failed(status) and "not found" in status["conditions"][0]["message"],
    )

    assert f"{digest}: not found" in found["conditions"][0]["message"]
    assert argocd.get(name, "configmap/web") == {}
