"""The Todo app with its PostgreSQL on a real Kubernetes: deployed, reached, upgraded, rolled back."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.integration.conftest import Repository, copy_project
from tests.node import until

from lockgate.deploy.node.pki import PODS

if TYPE_CHECKING:
    from tests.node import Cluster

ROOT = Path(__file__).parents[3]
LOAD = Path(__file__).with_name("load.py")
DATABASE = ".lockgate/records/postgres/image.json"
"""The record of its database's image."""

SECONDS = 1800
"""How long the load runs at most."""

VISITOR = "lockgate.tests/visitor"
"""Label of pods that may reach the app. In its namespace nothing may reach anything without a NetworkPolicy."""

LOADER = "lockgate.tests/loader"
"""Label of the pod with the load, which may reach any pod's address."""

VISIT = """
import time, urllib.request
for path in ("/version", "/"):
    answer = None
    while answer is None:
        try:
            answer = urllib.request.urlopen("http://todo" + path, timeout=60)
        except OSError as error:
            print("not yet:", error, flush=True)
            time.sleep(0.2)
    print(answer.read().decode(), flush=True)
"""
"""Prints what the app answers once it serves. The rules that let a new pod reach it follow a moment after its start."""

DIAL = """
import socket, sys, time
while True:
    said = []
    for place in sys.argv[1:]:
        host, port = place.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            said.append("open")
        except socket.gaierror:
            said.append("unknown")
        except OSError:
            said.append("closed")
    print(*said, flush=True)
    time.sleep(0.2)
"""
"""Says again and again which of some places take a connection."""


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """This repository, for the tests' cluster; the app is built, scanned and signed, its database is not."""
    made = copy_project(tmp_path_factory.mktemp("shop") / "repository")
    shutil.copytree(ROOT / "k8s", made.path / "k8s", ignore=shutil.ignore_patterns("secrets"))
    settings = yaml.safe_load((made.path / "lockgate.yaml").read_text())
    settings["scan"] = {"database": "embedded"}
    # The node's own platform is enough: the other one is built elsewhere.
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    settings["build"] = {"platforms": [f"linux/{architecture}"]}
    settings["environments"] = {
        "dev": {
            "target": "cluster",
            "namespace": "NAMESPACE",
            "registry": f"{cluster.registry}/todo",
            "kubeconfig": str(cluster.kubeconfig),
            "context": cluster.context,
            "database_max_age_days": 36500,
        }
    }
    (made.path / "lockgate.yaml").write_text(yaml.safe_dump(settings))
    made.commit("settings of the test")
    for stage in ("build", "scan", "sign"):
        made.inv(stage)
    assert not (made.path / DATABASE).exists()
    return made


@pytest.fixture
def namespace(cluster: Cluster, namespace: str, shop: Repository) -> str:
    """A namespace for one test, into which `dev` is deployed and where its inventory lies."""
    for file in ("lockgate.yaml", "k8s/overlays/dev/kustomization.yaml"):
        path = shop.path / file
        text, count = re.subn(r"(?m)^( *namespace): .*$", rf"\1: {namespace}", path.read_text())
        assert count == 1
        path.write_text(text)
    shop.commit("a namespace of the test's own")
    return namespace


@pytest.fixture
def deployed(cluster: Cluster, shop: Repository, namespace: str) -> str:
    """Deploy it, and let visitors reach it; return what was said."""
    to_app = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "todo"}}}
    said = shop.inv("deploy", "-e", "dev").stderr
    let_out(cluster, namespace, VISITOR, to_app)
    return said


def let_out(cluster: Cluster, namespace: str, label: str, to: dict[str, Any]) -> None:
    """Let pods with a label reach a peer, which is that of a NetworkPolicy."""
    cluster.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": label.rpartition("/")[2], "namespace": namespace},
            "spec": {
                "podSelector": {"matchLabels": {label: "yes"}},
                "policyTypes": ["Egress"],
                "egress": [{"to": [to]}],
            },
        }
    )


def objects(shop: Repository, cluster: Cluster) -> str:
    """Return the objects of the artifact that was deployed last, as YAML, from the registry."""
    subject = json.loads(shop.inv("config.inspect", "-e", "dev", "--json").stdout)["subject"]
    place = f"{cluster.registry}/todo/config-dev@{subject}"
    return shop.inv("config.pull", place, "-e", "dev", "--verify").stdout


def replicas(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Return the status of the Deployment."""
    status: dict[str, Any] = cluster.get("deployment/todo", f"--namespace={namespace}")["status"]
    return status


def run_pod(
    cluster: Cluster,
    namespace: str,
    name: str,
    script: str,
    *arguments: str,
    place: str = "",
    **labels: str,
) -> None:
    """Run a Python program in a pod beside the app, in the app's own image and under the same rules.

    Args:
        cluster: where.
        namespace: that of the app.
        name: of the pod.
        script: the program.
        arguments: its own.
        place: another namespace for the pod.
        labels: of the pod, beside its name.
    """
    found = cluster.get("deployment/todo", f"--namespace={namespace}")["spec"]["template"]["spec"]
    container = found["containers"][0]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": place or namespace,
            "labels": {"app.kubernetes.io/name": name, **labels},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": found["securityContext"],
            "containers": [
                {
                    "name": "run",
                    "image": container["image"],
                    "command": ["python3", "-c", script, *arguments],
                    "securityContext": container["securityContext"],
                }
            ],
        },
    }
    cluster.apply(pod)


def logs(cluster: Cluster, namespace: str, name: str) -> list[str]:
    """Return what a pod has said so far, line by line."""
    return cluster.kubectl("logs", name, f"--namespace={namespace}", code=None).stdout.splitlines()


def counts(cluster: Cluster, namespace: str) -> list[int]:
    """Return how many requests the load has made, how many of them added a task, and how many failed."""
    lines = [
        line for line in logs(cluster, namespace, "load") if re.fullmatch(r"\d+ \d+ \d+", line)
    ]
    return [int(one) for one in lines[-1].split()] if lines else [0, 0, 0]


def settled(cluster: Cluster, namespace: str) -> bool:
    """Whether the controllers have said of two replicas all that they have to say; then their words stay."""
    of = f"--namespace={namespace}"
    budget = cluster.get("poddisruptionbudget/todo", of).get("status", {})
    scaler = cluster.get("horizontalpodautoscaler/todo", of).get("status", {})
    # Once it has scaled it looks for metrics, which are not there, and has no more to say after that.
    scaled = any(one["type"] == "ScalingActive" for one in scaler.get("conditions") or ())
    counted = (
        replicas(cluster, namespace).get("availableReplicas"),
        budget.get("currentHealthy"),
        scaler.get("currentReplicas"),
        scaler.get("desiredReplicas"),
    )
    return scaled and counted == (2, 2, 2, 2)


def page(cluster: Cluster, namespace: str, name: str) -> str:
    """Return what the Service answers to a pod, under `/version` and `/`."""
    run_pod(cluster, namespace, name, VISIT, **{VISITOR: "yes"})
    until(lambda: "</html>" in "\n".join(logs(cluster, namespace, name)), "the page")
    return "\n".join(logs(cluster, namespace, name))


def test_it_is_deployed_and_reached(
    cluster: Cluster, namespace: str, shop: Repository, deployed: str
) -> None:
    """Two replicas are ready, with the images by the digests that were built; the Service answers, and says its own."""
    assert "all pinned, all verified" in deployed
    # Its database is built on demand, and it was the manifests that demanded it.
    assert (shop.path / DATABASE).exists()
    # A new Deployment begins with one; the autoscaler looks every 15 s and brings the other.
    until(lambda: replicas(cluster, namespace).get("readyReplicas") == 2, "two replicas")
    image = cluster.get("deployment/todo", f"--namespace={namespace}")["spec"]["template"]["spec"][
        "containers"
    ][0]["image"]
    assert image == f"{cluster.registry}/todo/app@{shop.subject}"
    seen = page(cluster, namespace, "first-visit")
    assert '"name":"todo"' in seen
    assert f'"digest":"{shop.subject}"' in seen


def test_nobody_else_reaches_the_app_or_its_database(
    cluster: Cluster, namespace: str, shop: Repository, deployed: str
) -> None:
    """Only the app reaches its database; only whom a policy names, and who is in its namespace, the app."""
    assert deployed
    names = ("todo:80", "postgres:5432")
    elsewhere = tuple(one.replace(":", f".{namespace}:") for one in names)
    outside = f"{namespace}-outside"
    cluster.kubectl("create", "namespace", outside)
    try:
        run_pod(cluster, namespace, "visitor", DIAL, *names, **{VISITOR: "yes"})
        run_pod(cluster, namespace, "stranger", DIAL, *names)
        run_pod(cluster, namespace, "outsider", DIAL, *elsewhere, place=outside)

        for name, place, wanted in (
            ("visitor", namespace, "open closed"),
            ("stranger", namespace, "closed closed"),
            ("outsider", outside, "closed closed"),
        ):
            until(lambda: logs(cluster, place, name)[-1:] == [wanted], f"{name}: {wanted}")  # noqa: B023
        # The app itself reaches its database: the page has what is in it.
        assert "</html>" in page(cluster, namespace, "meanwhile")
    finally:
        cluster.kubectl("delete", "namespace", outside, "--wait=false")


def test_deployed_again_nothing_changes(
    cluster: Cluster, namespace: str, shop: Repository, deployed: str
) -> None:
    """Neither for Lockgate nor for kubectl: what is there is what the artifact says."""
    assert deployed
    again = shop.inv("deploy", "-e", "dev", "--json").stdout
    assert {one["action"] for one in json.loads(again)["changes"]} == {"unchanged"}
    # kubectl reads an object and then asks what would become of it: nobody may write its status in between.
    until(
        lambda: settled(cluster, namespace), "the controllers have said all that they have to say"
    )
    different = cluster.kubectl(
        "diff", "--server-side", "-f", "-", stdin=objects(shop, cluster), code=None
    )
    assert (different.returncode, different.stdout) == (0, "")


def test_an_upgrade_and_the_way_back_fail_no_request(
    cluster: Cluster, namespace: str, shop: Repository, deployed: str
) -> None:
    """Under a constant load: a new version takes over, the old one comes back, and no task is lost."""
    assert deployed
    before = shop.subject
    # By address: the rules of a policy that names pods follow a new one later than its Service may.
    let_out(cluster, namespace, LOADER, {"ipBlock": {"cidr": PODS}})
    run_pod(cluster, namespace, "load", LOAD.read_text(), "todo", str(SECONDS), **{LOADER: "yes"})
    until(lambda: counts(cluster, namespace)[0] > 50, "the load")

    shop.edit("app/todo/health.py", 'VERSION = "1.0.0"', 'VERSION = "1.1.0"')
    shop.commit("a new version")
    for stage in ("build", "scan", "sign"):
        shop.inv(stage, "-c", "app")
    assert shop.subject != before
    shop.inv("deploy", "-e", "dev")
    # The old pods answer until they are gone, which a complete rollout does not wait for.
    visits = itertools.count()
    until(
        lambda: '"version":"1.1.0"' in page(cluster, namespace, f"after-upgrade-{next(visits)}"),
        "the new version",
    )
    upgraded = counts(cluster, namespace)
    assert upgraded[2] == 0, logs(cluster, namespace, "load")

    shop.inv("deploy.rollback", "-e", "dev")
    until(
        lambda: '"version":"1.0.0"' in page(cluster, namespace, f"after-rollback-{next(visits)}"),
        "the old version",
    )
    until(lambda: counts(cluster, namespace)[0] > upgraded[0] + 50, "more load")
    total, adds, failed = counts(cluster, namespace)
    assert failed == 0, logs(cluster, namespace, "load")
    assert adds >= total // 25
    cluster.kubectl("delete", "pod/load", f"--namespace={namespace}")
    assert page(cluster, namespace, "last-visit").count(">load ") >= adds
