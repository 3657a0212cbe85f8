"""The sandbox of namespaces, asked from inside: what a service sees, may do and may not."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import NotReady, ToolError, UsageError
from lockgate.deploy import sandbox
from lockgate.deploy.local import logs
from lockgate.deploy.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.deploy.conftest import Images, Put

    from lockgate.deploy.model import Service
    from lockgate.deploy.world import World

pytestmark = pytest.mark.skipif(
    not sandbox.available(), reason="this kernel gives this user no namespaces"
)


def test_the_service_is_the_images_user_without_any_privilege(
    put: Put, images: Images, ask: Callable[[str], Any]
) -> None:
    """65532, whoever deploys; no capability in any set, no_new_privs."""
    seen = ask(put(images.make("1")).url + "/facts")
    assert seen["ids"] == [65532] * 4
    assert seen["capabilities"] == [0] * 5
    assert seen["no_new_privs"] == "1"
    if os.geteuid() == 0:
        assert seen["groups"] == []


def test_the_service_sees_its_image_and_nothing_of_the_machine(
    put: Put, images: Images, ask: Callable[[str], Any]
) -> None:
    """The root is the image's with the folders that every system has; no process but its own, no terminal."""
    seen = ask(put(images.make("1")).url + "/facts")
    assert set(seen["root"]) <= {"dev", "etc", "lib", "lib64", "proc", "srv", "sys", "tmp", "usr"}
    assert seen["dev"] == [
        "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero",
    ]  # fmt: skip
    assert seen["processes"] == [seen["pid"]]
    assert seen["stdin"] == "/dev/null"
    assert seen["hostname"] == "facts"
    assert seen["folder"] == "/srv"
    assert seen["time"] == 0


def test_the_environment_is_the_contract(
    put: Put, images: Images, ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image's variables and the deployer's, none of the machine's."""
    monkeypatch.setenv("SECRET", "hunter2")
    done = put(images.make("1"))
    seen = ask(done.url + "/facts")["environment"]
    seen.pop("LC_CTYPE", None)  # Python sets it for itself
    assert seen == {
        "PATH": "/usr/bin",
        "PYTHONHOME": "/usr",
        "LD_LIBRARY_PATH": "/usr/lib/host",
        "COLOUR": "blue",
        "HOME": "/tmp",
        "HOST": "127.0.0.1",
        "PORT": done.url.rpartition(":")[2],
        "LOCKGATE_IMAGE_DIGEST": done.digest,
        "LOCKGATE_REVISION": "3f2a9c1d" * 5,
    }


def test_what_the_service_may_and_may_not(
    put: Put, images: Images, ask: Callable[[str], Any]
) -> None:
    """It writes to /tmp, /dev/shm and its log; everything else is refused by the kernel."""
    tried = ask(put(images.make("1")).url + "/attempts")
    allowed = ("write /tmp", "write /dev/shm", "write stdout", "write null")
    assert {name: tried.pop(name) for name in allowed} == dict.fromkeys(allowed)
    # Process 1 of a namespace is immune to its own: the call succeeds and does nothing.
    assert tried.pop("kill init") is None
    assert set(tried.values()) <= {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.ENOENT,
    }
    assert {tried["write /"], tried["write /dev"]} == {errno.EROFS}


def test_what_the_service_writes_is_gone_with_it(
    put: Put, images: Images, ask: Callable[[str], Any], world: World
) -> None:
    """Neither the image's folder nor the machine keeps anything."""
    done = put(images.make("1"))
    ask(done.url + "/attempts")
    assert not list(world.run.rglob("new"))
    assert put(images.make("2")).digest != done.digest


def test_orphans_are_reaped(put: Put, images: Images, ask: Callable[[str], Any]) -> None:
    """Process 1 collects what the service left; no zombie stays."""
    url = put(images.make("1")).url
    assert ask(url + "/orphan") == [ask(url + "/facts")["pid"]]


def test_descendants_end_with_the_service(
    put: Put, images: Images, ask: Callable[[str], Any]
) -> None:
    """A process that left its session ends when the service is stopped; `_no_orphans` looks."""
    url = put(images.make("1")).url
    ask(url + "/leave")
    assert images.processes() == 2


def test_output_goes_to_the_log(put: Put, images: Images, world: World, service: Service) -> None:
    """Standard output and error of the service are what `logs` shows."""
    put(images.make("1"))
    text = logs(service.component, world)
    assert "version 1 listens" in text
    assert "GET /smoke" in text


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        (["/no/such/program"], "/no/such/program cannot be executed in /srv: No such file"),
        (["missing"], "missing cannot be executed in /srv: No such file on its PATH"),
        (["/srv/service.py"], "/srv/service.py cannot be executed in /srv: Permission denied"),
    ],
)
def test_a_program_that_cannot_run_is_named(
    put: Put, images: Images, entrypoint: list[str], words: str
) -> None:
    """The reason stands with the error."""
    with pytest.raises(NotReady, match="exit code 127") as caught:
        put(images.make("1", config={"Entrypoint": entrypoint}))
    assert words in caught.value.hint


def test_an_image_for_root_is_refused(put: Put, images: Images) -> None:
    """The local target never runs anything as root."""
    with pytest.raises(UsageError, match="only a number other than 0"):
        put(images.make("1", config={"User": "root"}))


def test_a_sandbox_that_cannot_be_made_is_a_tool_error(
    put: Put, images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The image is not to blame, and the service is never run without its sandbox."""
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(sandbox, "_LAUNCHER", broken)
    with pytest.raises(ToolError, match="sandbox could not be made") as caught:
        put(images.make("1"))
    assert "inv doctor" in caught.value.hint


def test_a_mount_point_that_is_a_link_is_refused(put: Put, images: Images) -> None:
    """An image cannot place the private file systems elsewhere; the kernel's reason is told."""
    with pytest.raises(ToolError, match="/tmp of the image is not a folder"):
        put(images.make("1", links={"tmp": "/srv"}))


def test_a_service_that_ends_before_the_launcher_speaks(service: Service) -> None:
    """The two write to one pipe in any order; how the service ended is not taken for a sandbox that was not made."""
    guard_read, guard = os.pipe()
    answers, status = os.pipe()
    os.write(status, f"ended 127\npid {os.getpid()}\n".encode())
    instance = Instance(
        service=service, digest="", manifest="", revision="", runner="namespaces", port=1, since=1,
        log="x.log",
    )  # fmt: skip
    started = sandbox.SandboxStarted(instance, guard, answers)

    started.identify()

    assert started.ended(0) == 127
    assert started.instance.process is not None
    for one in (guard_read, guard, answers, status):
        os.close(one)
