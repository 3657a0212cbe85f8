"""`inv cluster.*` up to where an engine would be needed: which cluster is meant, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tasks.conftest import Mini

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: production
contexts:
- {name: here, context: {cluster: here, user: me}}
- {name: production, context: {cluster: here, user: me}}
clusters:
- {name: here, cluster: {server: "http://127.0.0.1:9"}}
users:
- {name: me, user: {}}
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without engine, kind, k3d and kubeconfig."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")
    monkeypatch.setenv("CONTAINER_HOST", "tcp://192.0.2.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("lockgate.deploy.node.others.installed", lambda: None)


def settings(mini: Mini, cluster: str) -> None:
    """Add a section to the settings."""
    with (mini.path / "lockgate.yaml").open("a") as file:
        file.write(f"cluster: {cluster}\n")


@pytest.mark.parametrize("task", ["cluster.up", "cluster.status", "cluster.down"])
def test_without_an_engine_the_reader_learns_what_to_do(mini: Mini, task: str) -> None:
    """No engine is a missing tool, and the hint names the ways out."""
    answer = mini.inv(task)

    assert answer.code == 6
    assert "needs a container engine" in answer.err
    assert "start docker" in answer.err
    assert "`context`" in answer.err


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ("dockerd", "start docker: as root `systemctl start docker`"),
        ("apt-get", "as root `apt-get install docker.io`"),
        ("zypper", "install and start docker, or podman as root;"),
    ],
)
def test_the_way_to_an_engine_is_the_machines(
    mini: Mini, monkeypatch: pytest.MonkeyPatch, there: str, hint: str
) -> None:
    """It is installed and does not run, or is one command away on Debian, or is to be found by the reader.

    dockerd lies where the PATH of an ordinary user does not lead.
    """

    def which(name: str, path: str = "") -> str | None:
        return name if name == there and (name != "dockerd" or "/usr/sbin" in path) else None

    monkeypatch.setattr("lockgate.tasks.clustering.shutil.which", which)
    assert hint in mini.inv("cluster.up").err


def test_a_name_that_cannot_be_one_is_refused(mini: Mini) -> None:
    """A name is a host name and part of a path."""
    answer = mini.inv("cluster.up", "--name", "../other")

    assert answer.code == 2
    assert "cannot be the name of a cluster" in answer.err


def test_the_current_context_is_never_taken_unasked(mini: Mini, tmp_path: Path) -> None:
    """A kubeconfig without a context that the settings name is refused, and so nobody's production is used."""
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(KUBECONFIG)
    settings(mini, "{provider: kubeconfig}")

    answer = mini.inv("cluster.status")

    assert answer.code == 2
    assert "name the context" in answer.err


def given(mini: Mini) -> None:
    """Let the settings name a cluster that does not answer."""
    (mini.path / "kubeconfig").write_text(KUBECONFIG)
    settings(mini, "{context: here, kubeconfig: kubeconfig}")


def test_a_cluster_that_does_not_answer_is_not_ready(mini: Mini) -> None:
    """The status says why on stdout and ends with 5; so does `up`, with an error."""
    given(mini)

    status = mini.inv("cluster.status")
    assert status.code == 5
    assert "failed  (kubeconfig)" in status.out
    assert "does not list its nodes" in status.out

    up = mini.inv("cluster.up")
    assert up.code == 5
    assert "does not list its nodes" in up.err


def test_a_cluster_that_was_there_is_not_removed(mini: Mini) -> None:
    """`down` refuses what it did not make."""
    given(mini)

    for words in (("cluster.down",), ("cluster.down", "--plan")):
        answer = mini.inv(*words)

        assert answer.code == 2
        assert "it is not removed" in answer.err


@pytest.mark.parametrize("words", [("cluster.down",), ("cluster.down", "--plan")])
def test_a_cluster_of_kind_that_others_made_is_not_removed(
    mini: Mini, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """It has the name of the settings by chance."""
    kind = tmp_path / "bin" / "kind"
    kind.parent.mkdir()
    kind.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/calls\necho dev\n")
    kind.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kind.parent}:/usr/bin:/bin")
    settings(mini, "{provider: kind}")

    answer = mini.inv(*words)

    assert answer.code == 2
    assert "was not made here" in answer.err
    assert "delete" not in (tmp_path / "calls").read_text()


def test_a_kubeconfig_that_is_missing_is_named(mini: Mini) -> None:
    """The path stands in the error."""
    settings(mini, "{context: here, kubeconfig: nowhere/config}")

    answer = mini.inv("cluster.status")

    assert answer.code == 2
    assert "nowhere/config" in answer.err


def test_a_context_that_is_missing_is_named(mini: Mini) -> None:
    """So does the context."""
    (mini.path / "kubeconfig").write_text(KUBECONFIG)
    settings(mini, "{context: there, kubeconfig: kubeconfig}")

    answer = mini.inv("cluster.status")

    assert answer.code == 2
    assert "has no context 'there'" in answer.err


def test_kind_is_used_where_it_is(
    mini: Mini, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With kind on PATH the cluster would be its, under the name of the settings."""
    kind = tmp_path / "bin" / "kind"
    kind.parent.mkdir()
    kind.write_text("#!/bin/sh\n")
    kind.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kind.parent}:/usr/bin:/bin")
    monkeypatch.setattr("lockgate.deploy.node.others.installed", lambda: "kind")

    answer = mini.inv("cluster.up", "--plan")

    assert answer.code == 0
    assert "would be made by kind, as dev" in answer.err
    assert "kind is on PATH" in answer.err


@pytest.mark.parametrize(
    ("cluster", "word"),
    [
        ("{name: UPPER}", "cluster.name"),
        ("{registry_port: 70000}", "cluster.registry_port"),
        ("{provider: minikube}", "cluster.provider"),
        ("{registryport: 1}", "registry_port"),
    ],
)
def test_wrong_settings_are_named(mini: Mini, cluster: str, word: str) -> None:
    """What the section cannot say is an error that names the field, or the nearest right one."""
    settings(mini, cluster)

    answer = mini.inv("cluster.status")

    assert answer.code == 2
    assert word in answer.err
