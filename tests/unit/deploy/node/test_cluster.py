"""Up, down and status over an engine that works in memory."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.deploy.node.fake_engine import READY, FakeEngine, KilledError

from lockgate.base.errors import NotReady, RemoteError, ToolRefused, UsageError
from lockgate.deploy.node import cluster, configuration, machine, pki
from lockgate.deploy.node.capabilities import NAMES
from lockgate.deploy.node.container import Place
from lockgate.deploy.node.model import ClusterNode, NodeImage, Ports

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.deploy.engine import Engine

NOW = 1_800_000_000
IMAGE = NodeImage(
    manifest="sha256:" + "1" * 64,
    platform="linux/amd64",
    versions={"etcd": "v3.6.8"},
    pause="localhost/lockgate/pause:1",
    dns="localhost/lockgate/coredns:1",
)
NODE = ClusterNode(
    name="dev", ready=True, kubelet="v1.35.4", runtime="containerd://1.7", address="192.0.2.2"
)


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's daemon may do everything, whatever this machine's may."""
    bits = (1 << len(NAMES)) - 1
    monkeypatch.setattr(machine, "_daemon_status", lambda _: f"CapBnd:\t{bits:016x}\n")
    # Which ports are free on this machine is not the question here.
    monkeypatch.setattr(cluster, "claim", lambda wanted: wanted or 40_001)


@pytest.fixture
def engine() -> FakeEngine:
    """An engine without any container."""
    return FakeEngine()


def world(engine: FakeEngine, folder: Path, name: str = "dev", **more: Any) -> cluster.World:
    """Return a cluster on the engine."""
    told: list[Any] = []
    given = {
        "image": lambda: (IMAGE, "image-id"),
        "wanted": Ports(0, 5000),
        "nodes": lambda *_: (NODE,),
        "told": told.append,
    }
    return cluster.World(place=Place(cast("Engine", engine), folder, name), **{**given, **more})


def test_a_cluster_is_made_and_ready(engine: FakeEngine, tmp_path: Path) -> None:
    """One container and one volume, the secrets in it, and a kubeconfig that only its owner reads."""
    here = world(engine, tmp_path)

    assert cluster.up(here, now=NOW) == "created"

    (container,) = engine.containers.values()
    assert container.state == "running"
    assert list(engine.volumes) == [container.name]
    assert container.files[f"{pki.PKI}/ca.key"][1] == 0o600
    assert configuration.PLAN in container.files
    assert here.kubeconfig.read_bytes() == container.files[pki.KUBECONFIG][0]
    assert stat.S_IMODE(here.kubeconfig.stat().st_mode) == 0o600


def test_no_secret_is_an_argument(engine: FakeEngine, tmp_path: Path) -> None:
    """Keys reach the container through a pipe: no call of the engine has one among its words."""
    cluster.up(world(engine, tmp_path), now=NOW)

    assert not engine.called("*PRIVATE KEY*")
    assert not engine.called("*--env*")


def test_it_is_given_no_more_than_it_needs(engine: FakeEngine, tmp_path: Path) -> None:
    """No `--privileged`, no host namespace; every capability is dropped before some are added."""
    cluster.up(world(engine, tmp_path), now=NOW)

    (container,) = engine.containers.values()
    words = container.options
    assert "--cap-drop=ALL" in words
    assert "--cgroupns=private" in words
    assert not [one for one in words if "privileged" in one or one.endswith("=host")]
    published = [one for one in words if one.startswith("--publish=")]
    assert published == ["--publish=127.0.0.1:40001:6443", "--publish=127.0.0.1:5000:5000"]


def test_a_second_up_changes_nothing(engine: FakeEngine, tmp_path: Path) -> None:
    """A cluster that is ready is left as it is, and nothing is built for it."""
    cluster.up(world(engine, tmp_path), now=NOW)
    before = dict(engine.containers)

    def never() -> tuple[NodeImage, str]:
        raise AssertionError("no image is needed")

    assert cluster.up(world(engine, tmp_path, image=never), now=NOW) == "unchanged"
    assert engine.containers == before


def test_one_that_was_stopped_is_started(engine: FakeEngine, tmp_path: Path) -> None:
    """Its container, and so what is in it, stays the same."""
    cluster.up(world(engine, tmp_path), now=NOW)
    (key,) = engine.containers
    engine.containers[key].state = "exited"

    assert cluster.up(world(engine, tmp_path), now=NOW) == "started"
    assert list(engine.containers) == [key]


@pytest.mark.parametrize("moment", ["volume create", "create", "cp", "start", "container inspect"])
def test_after_a_kill_the_next_one_completes(
    engine: FakeEngine, tmp_path: Path, moment: str
) -> None:
    """Killed before any call that changes something, the next `up` ends with one cluster that is ready."""
    engine.kill_at = moment
    with pytest.raises(KilledError):
        cluster.up(world(engine, tmp_path), now=NOW)

    cluster.up(world(engine, tmp_path), now=NOW)

    (container,) = engine.containers.values()
    assert container.state == "running"
    assert list(engine.volumes) == [container.name]
    assert cluster.status(world(engine, tmp_path)).phase == "ready"


@pytest.mark.parametrize("moment", ["volume create", "create", "cp", "start"])
def test_after_a_kill_down_leaves_nothing(engine: FakeEngine, tmp_path: Path, moment: str) -> None:
    """Killed before any call that changes something, `down` removes what is there."""
    engine.kill_at = moment
    with pytest.raises(KilledError):
        cluster.up(world(engine, tmp_path), now=NOW)

    cluster.down(world(engine, tmp_path))

    assert (engine.containers, engine.volumes) == ({}, {})


def test_down_removes_its_own_only(engine: FakeEngine, tmp_path: Path) -> None:
    """Another cluster of the folder, the same name of another folder, and strangers stay."""
    cluster.up(world(engine, tmp_path / "a"), now=NOW)
    cluster.up(world(engine, tmp_path / "a", "other"), now=NOW)
    cluster.up(world(engine, tmp_path / "b"), now=NOW)
    engine.volumes["stranger"] = {}

    removed = cluster.down(world(engine, tmp_path / "a"))

    assert len(removed) == 3
    assert len(engine.containers) == 2
    assert len(engine.volumes) == 3
    assert not (tmp_path / "a" / "dev").exists()
    assert (tmp_path / "a" / "other" / "kubeconfig").exists()


def test_down_of_nothing_is_nothing(engine: FakeEngine, tmp_path: Path) -> None:
    """A cluster that is not there is gone already."""
    assert cluster.down(world(engine, tmp_path)) == ()


FAILED = {
    "part": "kubelet",
    "state": "failed",
    "why": "ended with exit code 1",
    "log": ["first", "the reason"],
}


def test_a_part_that_fails_shows_its_log(engine: FakeEngine, tmp_path: Path) -> None:
    """The error names the part, how it ended, and its last lines; the status says it too."""
    engine.says = (READY[0], FAILED)

    with pytest.raises(NotReady) as caught:
        cluster.up(world(engine, tmp_path), now=NOW)

    assert "kubelet of the cluster dev ended with exit code 1" in caught.value.message
    assert "the reason" in caught.value.message
    found = cluster.status(world(engine, tmp_path))
    assert (found.phase, found.why) == ("failed", "kubelet ended with exit code 1")


def test_a_node_that_ends_without_a_word_is_no_success(engine: FakeEngine, tmp_path: Path) -> None:
    """A log that stops before the node is ready is an error."""
    engine.says = READY[:2]

    with pytest.raises(NotReady, match="ended before it was ready"):
        cluster.up(world(engine, tmp_path), now=NOW)


def test_a_machine_that_cannot_is_told_so(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a capability that a node needs, nothing is built or made, and the capability is named."""
    monkeypatch.setattr(machine, "_daemon_status", lambda _: "CapBnd:\t0000000000001000\n")

    with pytest.raises(ToolRefused, match="CAP_SYS_ADMIN"):
        cluster.up(world(engine, tmp_path), now=NOW)

    assert (engine.containers, engine.volumes) == ({}, {})


def test_an_engine_without_root_is_told_so(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rootless engine is refused by name, and told what to use instead."""
    monkeypatch.setattr(machine, "_docker", lambda _: ("28", "2", (), True))

    with pytest.raises(ToolRefused, match="runs without root") as caught:
        cluster.up(world(engine, tmp_path), now=NOW)

    assert "kind" in caught.value.hint


def test_a_taken_port_names_its_setting(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint is the setting of the cluster, not that of a deployment."""

    def taken(wanted: int) -> int:
        if wanted == 5000:
            raise UsageError("port 5000 on 127.0.0.1 cannot be used: taken")
        return 40_001

    monkeypatch.setattr(cluster, "claim", taken)

    with pytest.raises(UsageError) as caught:
        cluster.up(world(engine, tmp_path), now=NOW)

    assert "registry_port" in caught.value.hint
    assert engine.containers == {}


def test_the_status_tells_what_there_is(engine: FakeEngine, tmp_path: Path) -> None:
    """Addresses, versions, what was found inside, and until when."""
    here = world(engine, tmp_path)
    cluster.up(here, now=NOW)

    found = cluster.status(here)

    assert found.phase == "ready"
    assert found.api == "https://127.0.0.1:40001"
    assert found.registry == "registry.localhost:5000"
    assert found.nodes == (NODE,)
    assert found.versions == IMAGE.versions
    assert (found.cgroups, found.iptables) == ("v2", "nft")
    assert found.until == NOW + 365 * 86_400


def test_the_status_of_nothing_is_absent(engine: FakeEngine, tmp_path: Path) -> None:
    """Before the first `up`, and nothing is made by asking."""
    found = cluster.status(world(engine, tmp_path))

    assert (found.phase, found.kubeconfig, found.nodes) == ("absent", "", ())
    assert not list(tmp_path.iterdir())


def test_an_api_server_that_does_not_answer_is_not_ready(
    engine: FakeEngine, tmp_path: Path
) -> None:
    """A container that runs is no proof: who does not answer is told as failed."""
    here = world(engine, tmp_path)
    cluster.up(here, now=NOW)

    def silent(*_: object) -> tuple[ClusterNode, ...]:
        raise RemoteError("no answer")

    found = cluster.status(here._replace(nodes=silent))

    assert (found.phase, found.why) == ("failed", "no answer")
