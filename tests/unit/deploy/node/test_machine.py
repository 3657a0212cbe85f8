"""What the engine and the kernel say of what a container may be given."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from lockgate.base.errors import ToolError, ToolRefused
from lockgate.base.process import Completed
from lockgate.deploy.node import machine
from lockgate.deploy.node.capabilities import parse_bounding

if TYPE_CHECKING:
    from lockgate.deploy.engine import Engine

DOCKER: dict[str, Any] = {
    "ServerVersion": "28.2.2",
    "CgroupVersion": "2",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
}

PODMAN: dict[str, Any] = {
    "version": {"Version": "4.3.1"},
    "host": {
        "cgroupVersion": "v1",
        "security": {"seccompEnabled": True, "selinuxEnabled": True, "rootless": False},
    },
}


class Answers:
    """An engine that says one thing when it is asked about itself."""

    def __init__(self, name: str, info: bytes) -> None:
        self.name, self._info = name, info

    def call(self, *words: str) -> Completed:
        """Answer `info`, and nothing else."""
        if words[0] != "info":
            raise ToolError("no such command")
        return Completed(0, self._info, b"")


def engine(name: str, info: object) -> Engine:
    """Return such an engine."""
    return cast("Engine", Answers(name, json.dumps(info).encode()))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No daemon is at the end of the socket."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


def test_docker_is_understood() -> None:
    """Version, cgroups, and what confines containers; what is no confinement is left out."""
    found = machine.look(engine("docker", DOCKER))

    assert (found.engine, found.version, found.cgroups) == ("docker", "28.2.2", "v2")
    assert found.security == ("apparmor", "seccomp")


def test_podman_is_understood() -> None:
    """The same of podman, which says it in other words."""
    found = machine.look(engine("podman", PODMAN))

    assert (found.engine, found.version, found.cgroups) == ("podman", "4.3.1", "v1")
    assert found.security == ("seccomp", "selinux")


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("docker", {**DOCKER, "SecurityOptions": ["name=rootless"]}),
        ("podman", {**PODMAN, "host": {**PODMAN["host"], "security": {"rootless": True}}}),
    ],
)
def test_an_engine_without_root_is_refused(name: str, info: object) -> None:
    """It could start the container, and kubelet in it would fail in ways that nobody understands."""
    with pytest.raises(ToolRefused, match=f"{name} runs without root"):
        machine.look(engine(name, info))


def test_words_that_are_no_json_are_an_error() -> None:
    """What cannot be read is not taken for a machine that lacks nothing."""
    with pytest.raises(ToolError, match="no JSON"):
        machine.look(cast("Engine", Answers("docker", b"Cannot connect")))


def test_the_daemon_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bounding set is that of the process which listens at the engine's socket: here, this one's."""
    place = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(place))
        door.listen()

        found = machine.look(engine("docker", DOCKER))

    assert found.capabilities == parse_bounding(Path("/proc/self/status").read_text())


@pytest.mark.parametrize(
    ("name", "info", "capabilities", "limits"),
    [
        ("podman", PODMAN, (), {"nofile": 20_000, "nproc": 20_000}),
        ("podman", PODMAN, ("SYS_RESOURCE",), {}),
        ("docker", DOCKER, (), {}),
    ],
)
def test_limits_that_podman_cannot_raise_are_known(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    info: object,
    capabilities: tuple[str, ...],
    limits: dict[str, int],
) -> None:
    """Without the capability for it, podman's own defaults would keep every container from starting."""
    monkeypatch.setattr(machine, "parse_bounding", lambda _: capabilities)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 20_000))

    assert machine.look(engine(name, info)).limits == limits
