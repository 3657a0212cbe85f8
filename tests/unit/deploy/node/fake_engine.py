"""An engine that works in memory: containers and volumes with labels, files in containers, logs."""

from __future__ import annotations

import fnmatch
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import CommandFailed
from lockgate.base.process import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

READY = (
    {
        "part": "container",
        "state": "ready",
        "cgroups": "v2",
        "iptables": "nft",
        "address": "192.0.2.2",
    },
    {"part": "etcd", "state": "ready", "seconds": 0.1},
    {"part": "node", "state": "ready", "seconds": 5.0},
)


@dataclass
class Container:
    """One container."""

    name: str
    labels: dict[str, str]
    options: list[str]
    state: str = "created"
    code: int = 0
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    """Content and mode by path."""
    said: list[dict[str, Any]] = field(default_factory=list)


class KilledError(Exception):
    """Stands for a SIGKILL of whoever calls the engine."""


class FakeEngine:
    """Answers the calls that a node needs as docker does."""

    name = "docker"

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.words: list[tuple[str, ...]] = []
        """What was called."""
        self.kill_at = ""
        """Call before which the caller is killed: `start`."""
        self.says: tuple[dict[str, Any], ...] = READY
        """What a container that is started says."""

    def call(self, *words: str, timeout: float = 60, stdin: bytes | None = None) -> Completed:
        """Do what docker would."""
        del timeout
        verb = " ".join(words[:2]) if words[0] in ("container", "volume") else words[0]
        if self.kill_at == verb:
            self.kill_at = ""
            raise KilledError
        self.words.append(words)
        rest = list(words[len(verb.split()) :])
        actions: dict[str, Callable[[list[str], bytes | None], str | bytes]] = {
            "info": self._info,
            "context": lambda *_: "unix:///nowhere",
            "ps": self._ps,
            "container inspect": self._inspect,
            "volume create": self._volume_create,
            "volume ls": self._volume_ls,
            "volume rm": self._volume_rm,
            "create": self._create,
            "cp": self._cp,
            "start": self._start,
            "logs": lambda rest, _: self._log(rest[-1]),
            "rm": self._rm,
        }
        out = actions[verb](rest, stdin)
        return Completed(0, out if isinstance(out, bytes) else out.encode(), b"")

    def _info(self, *_: Any) -> str:
        about = {"ServerVersion": "28", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp"]}
        return json.dumps(about)

    @staticmethod
    def _fits(labels: dict[str, str], rest: list[str]) -> bool:
        wanted = [one.removeprefix("--filter=label=") for one in rest if "--filter=label=" in one]
        return all(labels.get(one.partition("=")[0]) == one.partition("=")[2] for one in wanted)

    def _ps(self, rest: list[str], _: Any) -> str:
        found = [key for key, one in self.containers.items() if self._fits(one.labels, rest)]
        if "--quiet" in rest:
            return "\n".join(found)
        return "\n".join(f"{key} {self.containers[key].name}" for key in found)

    def _inspect(self, rest: list[str], _: Any) -> str:
        one = self.containers[rest[0]]
        published = [
            word.removeprefix("--publish=127.0.0.1:").split(":")
            for word in one.options
            if word.startswith("--publish=")
        ]
        bindings = {f"{inner}/tcp": [{"HostPort": outer}] for outer, inner in published}
        return json.dumps(
            [
                {
                    "Id": rest[0],
                    "State": {"Status": one.state, "StartedAt": "then", "ExitCode": one.code},
                    "Config": {"Labels": one.labels},
                    "HostConfig": {"PortBindings": bindings},
                }
            ]
        )

    @staticmethod
    def _labels(rest: list[str]) -> dict[str, str]:
        words = [one.removeprefix("--label=") for one in rest if one.startswith("--label=")]
        return {one.partition("=")[0]: one.partition("=")[2] for one in words}

    def _volume_create(self, rest: list[str], _: Any) -> str:
        self.volumes[rest[-1]] = self._labels(rest)
        return rest[-1]

    def _volume_ls(self, rest: list[str], _: Any) -> str:
        return "\n".join(name for name, one in self.volumes.items() if self._fits(one, rest))

    def _volume_rm(self, rest: list[str], _: Any) -> str:
        if any(f"--volume={rest[0]}:" in " ".join(one.options) for one in self.containers.values()):
            raise CommandFailed(["docker", "volume", "rm"], 1, "volume is in use")
        del self.volumes[rest[0]]
        return rest[0]

    def _create(self, rest: list[str], _: Any) -> str:
        (name,) = [one.removeprefix("--name=") for one in rest if one.startswith("--name=")]
        if any(one.name == name for one in self.containers.values()):
            raise CommandFailed(["docker", "create"], 125, "the name is already in use")
        key = f"{len(self.words):064x}"
        self.containers[key] = Container(name, self._labels(rest), rest)
        return key + "\n"

    def _cp(self, rest: list[str], stdin: bytes | None) -> bytes:
        if rest[0] == "-":
            container = self.containers[rest[1].partition(":")[0]]
            with tarfile.open(fileobj=io.BytesIO(stdin or b"")) as tar:
                for member in tar:
                    if (file := tar.extractfile(member)) is not None:
                        container.files[f"/{member.name}"] = (file.read(), member.mode)
            return b""
        key, _, path = rest[0].partition(":")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            data, _mode = self.containers[key].files[path]
            info = tarfile.TarInfo(path.rpartition("/")[2])
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        return packed.getvalue()

    def _start(self, rest: list[str], _: Any) -> str:
        one = self.containers[rest[0]]
        one.state, one.code, one.said = "running", 0, list(self.says)
        if one.said[-1]["state"] == "failed":
            one.state, one.code = "exited", 1
        return rest[0]

    def _log(self, key: str) -> str:
        return "".join(json.dumps(one) + "\n" for one in self.containers[key].said)

    def _rm(self, rest: list[str], _: Any) -> str:
        del self.containers[rest[-1]]
        return rest[-1]

    def stream(self, *words: str) -> Any:
        """Return a process that prints a container's log."""
        import subprocess

        self.words.append(words)
        return subprocess.Popen(
            ["printf", "%s", self._log(words[-1])],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def called(self, pattern: str) -> list[tuple[str, ...]]:
        """Return the calls whose words fit a pattern."""
        return [one for one in self.words if fnmatch.fnmatch(" ".join(one), pattern)]
