"""The engine that tests run containers on: private, and gone with whoever started it, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engine import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine import Engine

OWNER = """
import sys
from tests import engine
with engine._private() as found:
    print(found.socket if isinstance(found, engine.Engine) else found, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a program that has a private engine; give it, and the engine's folder."""
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        assert said.endswith("docker.sock"), said
        try:
            yield child, Path(said).parent
        finally:
            child.kill()


def processes(folder: Path) -> list[int]:
    """Return the processes that were started with this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def ended(pids: list[int]) -> None:
    """Wait until processes have ended."""
    import select

    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            assert select.select([handle], [], [], 180)[0], f"process {pid} lives on"
            os.close(handle)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a private engine")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_owner(engine: Engine, number: signal.Signals) -> None:
    """Ctrl-C or SIGKILL: no process, mount, bridge or file of it is left."""
    assert engine.host
    with owner() as (child, folder):
        pids = processes(folder)
        bridges = {f"lgt{pid}" for pid in pids} & set(os.listdir("/sys/class/net"))
        assert len(bridges) == 1
        os.kill(child.pid, number)
        ended(pids)

    assert not folder.exists()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert bridges.isdisjoint(os.listdir("/sys/class/net"))
    assert processes(folder) == []


ASKS = """
def test_it(engine):
    assert engine.host
"""


@pytest.mark.parametrize(("word", "code"), [("", 0), ("required", 1), ("never", 0)])
def test_no_engine_is_said(word: str, code: int, tmp_path: Path) -> None:
    """Where there can be no engine a test is skipped with the reason, and fails where one is required."""
    (tmp_path / "test_one.py").write_text(ASKS)
    root = str(Path(__file__).parents[2])
    variables = {
        "PATH": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/none",
        "PYTHONPATH": os.pathsep.join([root, *sys.path]),
        VARIABLE: word,
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "tests.engine", "-p", "no:cacheprovider", "."],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == code, done.stdout
    said = " ".join(done.stdout.split())
    assert ("never" if word == "never" else "no docker engine answers") in said
    assert ("1 error" if code else "1 skipped") in said
