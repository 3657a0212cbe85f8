"""Programs without a network: what the kernel takes away, asked from inside.

`tests/integration/deploy` runs this file a second time as a user without privileges.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lockgate.base import namespaces
from lockgate.base.errors import CommandFailed
from lockgate.base.process import run

SOURCE = Path(namespaces.__file__).parents[2]
ROOT = os.geteuid() == 0

needs_namespaces = pytest.mark.skipif(
    not namespaces.available(), reason="this kernel gives this user no network namespaces"
)

LOOK = """
import json, os, socket

def reach(address):
    with socket.socket() as link:
        link.settimeout(2)
        return link.connect_ex(address)

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "loopback": reach(("127.0.0.1", 9)),
    "outside": reach(("192.0.2.1", 9)),
    "namespace": os.readlink("/proc/self/ns/net"),
    "capabilities": {name: int(status[name], 16) for name in status if name.startswith("Cap")},
    "no_new_privs": status["NoNewPrivs"].strip(),
}))
"""


def look() -> dict[str, Any]:
    """Return what a program sees inside."""
    ran = run(namespaces.offline([sys.executable, "-I", "-c", LOOK]), timeout=60)
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


@needs_namespaces
def test_only_loopback_exists() -> None:
    """Loopback answers (that nobody listens); every other address is unreachable, in another namespace."""
    seen = look()
    assert seen["interfaces"] == ["lo"]
    assert seen["loopback"] == errno.ECONNREFUSED
    assert seen["outside"] == errno.ENETUNREACH
    assert seen["namespace"] != os.readlink("/proc/self/ns/net")  # noqa: PTH115


@needs_namespaces
def test_the_user_stays_the_same() -> None:
    """Files that the program makes belong to who started it."""
    assert look()["ids"] == [os.getuid(), os.geteuid(), os.getgid(), os.getegid()]


@needs_namespaces
def test_privileges_are_gone() -> None:
    """No capability is left nor can be gained; root keeps the one to read and write files."""
    seen = look()
    left = 1 << 1 if ROOT else 0
    assert seen["no_new_privs"] == "1"
    assert seen["capabilities"] == {
        "CapInh": 0,
        "CapPrm": left,
        "CapEff": left,
        "CapBnd": left,
        "CapAmb": 0,
    }


@needs_namespaces
def test_it_has_the_programs_exit_code() -> None:
    """The launcher is replaced by the program, so signals and codes are the program's."""
    assert run(namespaces.offline(["sh", "-c", "exit 7"]), timeout=60, accept=(7,)).code == 7
    with pytest.raises(CommandFailed) as caught:
        run(namespaces.offline(["sh", "-c", "kill -9 $$"]), timeout=60)
    assert caught.value.code == -signal.SIGKILL


@needs_namespaces
@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/dev/null", 126)])
def test_what_cannot_be_executed_is_told_as_a_shell_does(program: str, code: int) -> None:
    """127: not there; 126: not executable. PATH without unreadable folders, where 126 would be right."""
    command = namespaces.offline([program])
    ran = run(command, timeout=60, accept=(code,), env={"PATH": "/usr/bin:/bin"})
    assert program in ran.stderr.decode()


@needs_namespaces
def test_another_parent_is_refused() -> None:
    """Bound to a process that is not its parent, nothing is run: it could not die with it."""
    command = namespaces.offline(["echo", "ran"])
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", '"$@"; exit $?', "sh", *command], timeout=60)
    assert caught.value.code == 125
    assert "sandbox could not be made" in caught.value.stderr_tail


PARENT = """
import os, subprocess, sys
from lockgate.base.namespaces import offline
child = subprocess.Popen(offline(["sh", "-c", "echo up; exec sleep 60"]))
child.wait()
"""


@needs_namespaces
def test_it_dies_with_its_parent() -> None:
    """A SIGKILL to the process that started it ends it too; its end of the pipe closes."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.fspath(SOURCE)},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    parent.kill()
    ended = select.select([parent.stdout], [], [], 60)[0]
    assert ended
    assert parent.communicate(timeout=60)[0] == b""


def test_elsewhere_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Linux the answer is no, and nothing is tried."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert namespaces.available.__wrapped__() is False


def test_a_kernel_that_refuses_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When the rehearsal fails the answer is no; the program alone would have run."""
    refusing = tmp_path / "refusing.py"
    refusing.write_text("raise SystemExit(125)")
    monkeypatch.setattr(namespaces, "_LAUNCHER", refusing)
    assert namespaces.available.__wrapped__() is False
