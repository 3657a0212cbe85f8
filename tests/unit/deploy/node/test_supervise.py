"""Process 1 of the node, run as a process of its own over small programs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.deploy.node import pki
from lockgate.deploy.node.inside import plan
from lockgate.deploy.node.inside.settle import _forward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAIN = """
import ctypes, pathlib, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to it, as to process 1
from lockgate.deploy.node.inside import plan, supervise
read = plan.from_json(pathlib.Path(sys.argv[1]).read_text(), {"address": "", "forward": ""})
sys.exit(supervise.Supervisor(read, path=sys.argv[2], logs=pathlib.Path(sys.argv[3])).run())
"""

API = """
import ast, sys
from lockgate.deploy.node.inside import ask
left = list(ast.literal_eval(sys.argv[4]))
def send(*_):
    said = left.pop(0)
    if not isinstance(said, tuple):
        raise OSError(said)
    return said
ask.Asker._send = lambda self, method, url, path="", body=None: send()
"""
"""What the API server answers to changes, in turn: status and body, or the words of a connection that broke."""

SERVE = (
    "import socket, sys, time\n"
    "door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[1]); door.listen()\n"
    "print('serving', flush=True)\n"
)

SECONDS = 90


class Node:
    """A supervisor that runs."""

    def __init__(
        self,
        folder: Path,
        parts: tuple[plan.Part, ...],
        seconds: int,
        answers: tuple[tuple[int, bytes] | str, ...],
    ) -> None:
        secrets = pki.files(
            "dev", api="https://127.0.0.1:1", context="c", now=int(time.time()), seconds=999
        )
        for name in ("ca.crt", "node.crt", "node.key"):
            (folder / name).write_bytes(secrets[f"{pki.PKI}/{name}"].data)
        whole = plan.Plan(
            parts=parts,
            changes=(plan.Change("/api/v1/namespaces/a", {"kind": "Namespace"}),),
            api="https://127.0.0.1:1",
            api_part="api",
            conditions=(),
            authority=str(folder / "ca.crt"),
            client=(str(folder / "node.crt"), str(folder / "node.key")),
            seconds=seconds,
        )
        (folder / "node.json").write_bytes(plan.to_json(whole))
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", API + MAIN),
                *(str(folder / "node.json"), "/usr/bin:/bin", str(folder), repr(answers)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next events."""
        assert self.process.stdout is not None
        return [json.loads(self.process.stdout.readline()) for _ in range(count)]

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for the end; return the exit code and the events that were not read yet."""
        out, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


def until(holds: Callable[[], bool]) -> None:
    """Wait for another process to get somewhere; fail the test when it never does."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path


@contextlib.contextmanager
def running(
    folder: Path,
    *parts: plan.Part,
    seconds: int = SECONDS,
    answers: tuple[tuple[int, bytes] | str, ...] = (),
) -> Iterator[Node]:
    """Run parts until the block ends."""
    node = Node(folder, parts, seconds, answers)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.process.terminate()
        node.process.communicate(timeout=SECONDS)


def python(name: str, code: str, *arguments: str, **more: Any) -> plan.Part:
    """Return a part that runs some Python."""
    return plan.Part(name, (sys.executable, "-c", code, *arguments), **more)


def server(name: str, folder: Path, then: str = "time.sleep(99)", **more: Any) -> plan.Part:
    """Return a part that is ready once its socket accepts, and then does something."""
    place = str(folder / f"{name}.sock")
    return python(name, SERVE + then, place, ready=(plan.Question("", socket=place),), **more)


def test_parts_are_ready_in_their_order(folder: Path) -> None:
    """A part starts after those that it needs; at the end the node is ready."""
    parts = (
        server("third", folder, after=("second",)),
        python("second", "pass", after=("first",)),
        server("first", folder),
    )
    with running(folder, *parts) as node:
        said = node.events(4)

    assert [(one["part"], one["state"]) for one in said] == [
        ("first", "ready"),
        ("second", "ready"),
        ("third", "ready"),
        ("node", "ready"),
    ]


def test_a_part_is_ready_when_it_answers_everything(folder: Path) -> None:
    """Each of its questions counts: one that opens its second socket late is ready late."""
    places = [str(folder / f"{name}.sock") for name in ("early", "late")]
    late = f"__import__('pathlib').Path({str(folder / 'go')!r})"
    code = (
        f"{SERVE}kept = door\n"
        f"while not {late}.exists(): time.sleep(0.01)\n"
        f"{SERVE.replace('[1]', '[2]')}time.sleep(99)"
    )
    asked = tuple(plan.Question("", socket=one) for one in places)
    both = plan.Part("both", (sys.executable, "-c", code, *places), ready=asked)
    first = server("first", folder)
    go = python("go", "pass", after=("first",))
    # It lets `both` go on only after `go` was said to be ready; which of these two is told first is open.
    tell = python("tell", f"{late}.touch()", after=("go",))
    with running(folder, both, first, go, tell) as node:
        said = [one["part"] for one in node.events(5)]

    assert said[:2] == ["first", "go"]
    assert sorted(said[2:4]) == ["both", "tell"]
    assert said[4] == "node"


def test_a_part_that_ends_ends_the_node(folder: Path) -> None:
    """The event names the part, how it ended, and its last lines; the exit code is 1."""
    with running(
        folder, server("good", folder), server("bad", folder, "print('oh'); sys.exit(3)")
    ) as node:
        code, said = node.end()

    assert code == 1
    assert said[-1] == {
        "part": "bad",
        "state": "failed",
        "why": "ended with exit code 3",
        "log": ["serving", "oh"],
    }


def test_a_part_that_is_killed_says_by_what(folder: Path) -> None:
    """A signal is told as one."""
    kill = "import os; os.kill(os.getpid(), 9)"
    with running(folder, server("bad", folder, kill)) as node:
        code, said = node.end()

    assert code == 1
    assert said[-1]["why"] == "ended by signal 9"


def test_a_program_that_is_not_there_is_named(folder: Path) -> None:
    """A part whose program is missing fails at once."""
    absent = plan.Part("absent", ("no-such-program",), ready=(plan.Question("", socket="/none"),))
    with running(folder, absent) as node:
        code, said = node.end()

    assert (code, said[-1]["part"]) == (1, "absent")
    assert "No such file" in said[-1]["why"]


def test_a_part_that_is_never_ready_has_a_time_limit(folder: Path) -> None:
    """A part that runs and does not answer ends the node after its time."""
    # A shell speaks within milliseconds, also on a busy machine.
    command = ("sh", "-c", "echo waiting; exec sleep 99")
    silent = plan.Part("silent", command, ready=(plan.Question("", socket=str(folder / "none")),))
    with running(folder, silent, seconds=2) as node:
        code, said = node.end()

    assert code == 1
    assert said[-1]["why"] == "is not ready after 2 s"
    assert said[-1]["log"] == ["waiting"]


def test_an_api_server_that_has_just_begun_is_asked_again(folder: Path) -> None:
    """No answer, and errors that pass, do not end the node: the change is made again until it is taken."""
    answers = ("timed out", (503, b"starting"), (500, b"etcd"), (201, b""))
    with running(folder, server("api", folder), answers=answers) as node:
        said = node.events(2)

    assert [(one["part"], one["state"]) for one in said] == [("api", "ready"), ("node", "ready")]


def test_a_change_that_is_refused_ends_the_node(folder: Path) -> None:
    """What the API server does not take, it does not take the second time."""
    answers = ((403, b"not you"), (201, b""))
    with running(folder, server("api", folder), answers=answers) as node:
        code, said = node.end()

    assert code == 1
    assert said[-1]["why"] == "/api/v1/namespaces/a: 403 not you"


def test_a_change_has_a_time_limit(folder: Path) -> None:
    """An API server that never gives an answer ends the node, with what the connection ended in."""
    answers = ("timed out",) * 999
    with running(folder, server("api", folder), seconds=2, answers=answers) as node:
        code, said = node.end()

    assert code == 1
    assert said[-1]["why"] == "/api/v1/namespaces/a: timed out"


def test_asked_to_end_it_ends_the_parts(folder: Path) -> None:
    """SIGTERM reaches the parts, which have none of their signals blocked; the exit code is 0."""
    polite = (
        "import signal\n"
        "def bye(*_): print('bye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye); print('armed', flush=True)\n"
        "while True: time.sleep(99)\n"
    )
    with running(folder, server("polite", folder, polite)) as node:
        node.events(2)
        until(lambda: "armed" in (folder / "polite.log").read_text())
        node.process.send_signal(signal.SIGTERM)
        code, said = node.end()

    assert (code, said) == (0, [])
    assert (folder / "polite.log").read_text().splitlines()[-1] == "bye"


def test_orphans_are_reaped(folder: Path) -> None:
    """A process that lost its parent and ends is no part: it is reaped, and the node goes on."""
    orphan = (
        "import os\n"
        "if os.fork() == 0:\n"
        "    if (child := os.fork()) == 0: os._exit(7)\n"
        "    print(child, flush=True); os._exit(0)\n"
        "os.wait(); print('done', flush=True)\n"
        "time.sleep(99)\n"
    )
    with running(folder, server("parent", folder, orphan)) as node:
        said = node.events(2)
        log = folder / "parent.log"
        until(lambda: log.read_text().endswith("done\n"))
        pid = log.read_text().splitlines()[-2]
        until(lambda: not Path("/proc", pid).exists())
        assert node.process.poll() is None

    assert said[-1]["part"] == "node"


@pytest.mark.parametrize(
    ("resolver", "line"),
    [
        ("nameserver 192.0.2.53\n", "forward . /etc/resolv.conf"),
        ("nameserver 127.0.0.53\noptions edns0\n", ""),
        ("nameserver fe80::1%eth0\n", "forward . /etc/resolv.conf"),
        ("search example.org\n", ""),
        ("", ""),
        ("nameserver\nnameserver nonsense\n", ""),
    ],
)
def test_names_are_passed_on_to_resolvers_that_pods_reach(resolver: str, line: str) -> None:
    """A resolver on loopback is the machine's own, and CoreDNS would ask itself."""
    assert _forward(resolver) == line
