"""A cluster comes up, comes back, and goes, whatever happened to it or to those who made it."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.node import INV, Cluster, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def other(cluster: Cluster) -> Iterator[Cluster]:
    """Another cluster of the same repository, not made yet."""
    made = Cluster(cluster.root, cluster.engine, "other")
    yield made
    made.down()


def test_two_clusters_have_nothing_in_common(cluster: Cluster, other: Cluster) -> None:
    """A second cluster has ports, a registry and objects of its own; its end leaves the first one alone."""
    assert other.look()["phase"] == "absent"

    other.up()

    assert other.status["api"] != cluster.status["api"]
    assert other.registry != cluster.registry
    other.kubectl("create", "namespace", "only-here")
    assert cluster.kubectl("get", "namespace", "only-here", code=None).returncode != 0
    home = other.kubeconfig.parent
    said = other.down()
    assert "removed: container lockgate-other-" in said
    assert other.containers() == other.volumes() == []
    assert not home.exists()
    assert cluster.look()["phase"] == "ready"
    assert "nothing to remove" in other.down()


def test_a_cluster_that_was_stopped_comes_back(other: Cluster) -> None:
    """After its container was stopped, as by a restart of the machine, `cluster.up` has all of it again."""
    other.up()
    other.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    (container,) = other.containers()
    other.call_engine("stop", container)
    assert other.look()["phase"] == "stopped"

    said = other.up()

    assert "other  started" in said
    assert other.containers() == [container]
    assert other.get("configmap", "kept")["data"] == {"a": "b"}


def test_a_part_that_ends_ends_the_node(other: Cluster) -> None:
    """No part is started again in silence: the node ends, the status says why, `cluster.up` starts it again."""
    other.up()
    (container,) = other.containers()
    other.call_engine("exec", container, "python3", "-c", KILL_SCHEDULER)

    until(lambda: other.look()["phase"] == "failed", "the node ends")
    assert other.look()["why"] == "kube-scheduler ended by signal 9"
    other.up()
    assert other.look()["phase"] == "ready"


KILL_SCHEDULER = """
import os, pathlib
for one in pathlib.Path("/proc").glob("[0-9]*/comm"):
    if one.read_text().strip() == "kube-scheduler":
        os.kill(int(one.parent.name), 9)
"""


def test_a_part_that_does_not_start_says_why(other: Cluster) -> None:
    """When a part cannot start, the error names it and shows the last lines of its log."""
    other.up()
    (container,) = other.containers()
    other.call_engine("exec", container, "python3", "-c", SPOIL)
    other.call_engine("stop", container)

    answer = other.inv("cluster.up", "--name", "other", code=5)

    assert "kubelet of the cluster other ended with exit code 1" in answer.stderr
    assert "nonsense/v1" in answer.stderr
    assert "inv cluster.down" in answer.stderr


SPOIL = """
import json, pathlib
place = pathlib.Path("/etc/kubernetes/kubelet.yaml")
place.write_text(json.dumps({**json.loads(place.read_text()), "apiVersion": "nonsense/v1"}))
"""


def killed_when(cluster: Cluster, seen: str) -> None:
    """Start `cluster.up`, and kill it as soon as its output, or the engine, shows a word."""
    child = subprocess.Popen(
        [*INV, "cluster.up", "--name", cluster.name],
        cwd=cluster.root,
        env=cluster.environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        form = "--format={{.State}}"
        label = f"--filter=label=lockgate.cluster={cluster.name}"
        while child.poll() is None and time.monotonic() < end:
            state = cluster.call_engine("ps", "--all", label, form).strip()
            if seen == "volume" and cluster.volumes():
                break
            if state == seen:
                break
        assert child.poll() is None, f"it was too quick to be killed at {seen!r}"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)


@pytest.mark.parametrize("seen", ["volume", "created", "running"])
def test_up_after_a_kill_completes(other: Cluster, seen: str) -> None:
    """Killed at any point, `cluster.up` leaves what the next one completes."""
    killed_when(other, seen)

    other.up()

    assert len(other.containers()) == len(other.volumes()) == 1
    assert other.get("node", "other")["metadata"]["name"] == "other"


@pytest.mark.parametrize("seen", ["volume", "running"])
def test_down_after_a_kill_cleans(other: Cluster, seen: str) -> None:
    """Whatever a killed `cluster.up` left, `cluster.down` removes."""
    killed_when(other, seen)

    other.down()

    assert other.containers() == other.volumes() == []
    assert other.look()["phase"] == "absent"


def test_a_lost_kubeconfig_comes_back(cluster: Cluster) -> None:
    """`cluster.up` of a cluster that runs writes the kubeconfig again when it is gone."""
    before = cluster.kubeconfig.read_bytes()
    cluster.kubeconfig.unlink()

    cluster.inv("cluster.up", seconds=60)

    assert cluster.kubeconfig.read_bytes() == before


def test_a_plan_changes_nothing(other: Cluster) -> None:
    """`--plan` says what would happen, and neither a container nor a file is made."""
    answer = other.inv("cluster.up", "--plan", "--name", "other", seconds=60)

    assert "other  absent; would be a node in one container" in answer.stderr
    assert other.containers() == other.volumes() == []
    assert "nothing to remove" in other.inv("cluster.down", "--plan", "--name", "other").stderr


def test_a_port_that_is_taken_is_named(cluster: Cluster, other: Cluster) -> None:
    """Two clusters cannot have one registry port: the second says which port and which setting."""
    port = cluster.registry.rpartition(":")[2]
    settings = cluster.root / "lockgate.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("registry_port: 0", f"registry_port: {port}"))
    try:
        answer = other.inv("cluster.up", "--name", "other", code=2, seconds=120)
    finally:
        settings.write_text(text)

    assert f"port {port} on 127.0.0.1 cannot be used" in answer.stderr
    assert "`registry_port` under `cluster`" in answer.stderr
    assert other.containers() == []
