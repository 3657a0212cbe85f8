"""A cluster comes up, comes back, and goes, whatever happened to it or to those who made it."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cluster.node.made import Made
from tests.node import INV, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine import Engine
    from tests.node import Parts


@pytest.fixture(scope="module")
def cluster(engine: Engine, repository: Path, node_parts: Parts) -> Iterator[Made]:
    """A cluster of `inv cluster.up`; its image was made before, where what it takes is shown."""
    made = Made(repository, engine, "test")
    made.down()
    made.up()
    yield made
    made.down()


@pytest.fixture
def other(cluster: Made) -> Iterator[Made]:
    """Another cluster of the same repository, not made yet."""
    made = Made(cluster.root, cluster.engine, "other")
    yield made
    made.down()


def test_the_status_is_the_clusters(cluster: Made) -> None:
    """The node is ready, and the versions of all that it runs are told."""
    (node,) = cluster.look()["nodes"]

    assert node["ready"]
    assert node["kubelet"] == cluster.versions["kubelet"]
    assert node["address"] == cluster.address


def test_a_second_up_changes_nothing(cluster: Made) -> None:
    """`cluster.up` of a cluster that runs says `unchanged`; its container is the same one."""
    before = cluster.containers()

    answer = cluster.inv("cluster.up", seconds=180)

    assert "test  unchanged" in answer.stderr
    after = cluster.containers()
    assert before == after != []


def test_the_kubeconfig_is_its_owners(cluster: Made) -> None:
    """Nobody else can read the kubeconfig, and it lies in the repository's own folder."""
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    assert cluster.kubeconfig.is_relative_to(cluster.root / ".lockgate")


def test_whether_policies_are_enforced_is_said(cluster: Made) -> None:
    """`cluster.up` and `cluster.status` say that NetworkPolicies are; `test_node` shows that it is true."""
    assert cluster.status["policies"] == "enforced"
    assert re.search(r"(?m)^ *policies +enforced$", cluster.inv("cluster.status").stdout)
    assert "NetworkPolicies are enforced" in cluster.inv("cluster.up").stderr


def test_two_clusters_have_nothing_in_common(cluster: Made, other: Made) -> None:
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


def test_a_cluster_that_was_stopped_comes_back(other: Made) -> None:
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


def test_a_part_that_ends_ends_the_node(other: Made) -> None:
    """No part is started again in silence: the node ends, the status says why, `cluster.up` starts it again."""
    other.up()
    (container,) = other.containers()
    other.call_engine("exec", container, "python3", "-c", KILL_SCHEDULER)

    # While its other parts still end, the API server may be the first that is missed.
    until(lambda: other.look()["why"] == "kube-scheduler ended by signal 9", "the node ends")
    assert other.look()["phase"] == "failed"
    other.up()
    assert other.look()["phase"] == "ready"


KILL_SCHEDULER = """
import contextlib, os, pathlib
for one in pathlib.Path("/proc").glob("[0-9]*/comm"):
    with contextlib.suppress(OSError):  # processes come and go
        if one.read_text().strip() == "kube-scheduler":
            os.kill(int(one.parent.name), 9)
            break
"""


def test_a_part_that_does_not_start_says_why(other: Made) -> None:
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


MOMENTS = {"volume": "volume create", "created": "container create", "running": "container start"}
"""The engine's own words for them."""
EVENT = "--format={{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}"


def killed_when(cluster: Made, seen: str) -> None:
    """Start `cluster.up`, and kill it as soon as the engine tells of a moment; it tells while it happens."""
    events = ["docker", "events", f"--since={time.time():.9f}", EVENT]
    with (
        subprocess.Popen(
            events, env=cluster.environment, stdout=subprocess.PIPE, text=True
        ) as watch,
        subprocess.Popen(
            [*INV, "cluster.up", "--name", cluster.name],
            cwd=cluster.root,
            env=cluster.environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ) as child,
    ):
        late = threading.Timer(300, watch.kill)
        late.start()
        try:
            moment, name = MOMENTS[seen], f"lockgate-{cluster.name}-"
            for line in watch.stdout or ():
                if line.startswith(moment) and name in line:
                    break
            else:
                pytest.fail(f"the engine never told of {moment!r}")
            assert child.poll() is None, f"it was too quick to be killed at {seen!r}"
        finally:
            late.cancel()
            child.send_signal(signal.SIGSTOP)
            below = started_by(child.pid)
            child.kill()
            watch.kill()
    # What docker's client was told goes on without it, and is no part of the moment.
    until(lambda: not any(Path(f"/proc/{one}/exe").exists() for one in below), "docker's client")


def started_by(pid: int) -> list[str]:
    """Return the processes that a process, which is stopped, has started; none when it has ended."""
    try:
        found = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return " ".join(found).split()


@pytest.mark.parametrize("seen", ["volume", "created", "running"])
def test_up_after_a_kill_completes(other: Made, seen: str) -> None:
    """Killed at any point, `cluster.up` leaves what the next one completes."""
    killed_when(other, seen)

    other.up()

    assert len(other.containers()) == len(other.volumes()) == 1
    assert other.get("node", "other")["metadata"]["name"] == "other"


@pytest.mark.parametrize("seen", ["volume", "running"])
def test_down_after_a_kill_cleans(other: Made, seen: str) -> None:
    """Whatever a killed `cluster.up` left, `cluster.down` removes."""
    killed_when(other, seen)

    other.down()

    assert other.containers() == other.volumes() == []
    assert other.look()["phase"] == "absent"


def test_a_lost_kubeconfig_comes_back(cluster: Made) -> None:
    """`cluster.up` of a cluster that runs writes the kubeconfig again when it is gone."""
    before = cluster.kubeconfig.read_bytes()
    cluster.kubeconfig.unlink()

    cluster.inv("cluster.up", seconds=180)

    assert cluster.kubeconfig.read_bytes() == before


def test_a_plan_changes_nothing(other: Made) -> None:
    """`--plan` says what would happen, and neither a container nor a file is made."""
    answer = other.inv("cluster.up", "--plan", "--name", "other", seconds=180)

    assert "other  absent; would be a node in one container" in answer.stderr
    assert other.containers() == other.volumes() == []
    assert "nothing to remove" in other.inv("cluster.down", "--plan", "--name", "other").stderr


def test_a_port_that_is_taken_is_named(cluster: Made, other: Made) -> None:
    """Two clusters cannot have one registry port: the second says which port and which setting."""
    port = cluster.registry.rpartition(":")[2]
    settings = cluster.root / "lockgate.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("registry_port: 0", f"registry_port: {port}"))
    try:
        answer = other.inv("cluster.up", "--name", "other", code=2, seconds=180)
    finally:
        settings.write_text(text)

    assert f"port {port} on 127.0.0.1 cannot be used" in answer.stderr
    assert "`registry_port` under `cluster`" in answer.stderr
    assert other.containers() == []
