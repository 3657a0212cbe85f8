"""Killed at any moment, the flow leaves a whole store, and the next run finishes with the same digest."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import scanner

from lockgate.base import namespaces
from lockgate.base.files import exclusive
from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Repository

INV = (sys.executable, "-m", "lockgate.tasks.program")

SEED = 20261121
MOMENTS = 12
"""Kills in a row. Each leaves what it did, so that later ones fall into later stages too."""
MOST = 60
"""Runs until there were as many kills: the faster the machine, the more of them end before."""


@contextlib.contextmanager
def start(repository: Repository, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the flow up to the signature, in a process group of its own; it is killed when the block ends before it."""
    with subprocess.Popen(
        [*INV, "build", "scan", "sign"],
        cwd=repository.path,
        env={**os.environ, "LOCKGATE_QUIET": "", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


def finish_undisturbed(repository: Repository, like: Repository) -> None:
    """Run to the end; the result is that of a repository where nothing was killed."""
    repository.inv("build", "scan", "sign")
    assert repository.subject == like.subject
    assert repository.damaged() == []
    assert "5 of 5" in repository.inv("verify").stdout
    assert leftovers(repository) == []


def leftovers(repository: Repository) -> list[str]:
    """Return records and cache entries that are no JSON: what is there must be whole."""
    wrong = []
    for folder in ("records", "cache"):
        for path in (repository.path / ".lockgate" / folder).rglob("[!.]*.json"):
            try:
                json.loads(path.read_bytes())
            except ValueError:
                wrong.append(str(path))
    return wrong


@pytest.fixture
def same(settled: Repository, finished: Repository) -> Repository:
    """A fresh copy of the very commit that was built in `finished`."""
    shutil.rmtree(settled.path)
    shutil.copytree(finished.path, settled.path, ignore=shutil.ignore_patterns(".lockgate", "out"))
    return settled


@pytest.fixture
def endless(tmp_path: Path) -> dict[str, str]:
    """The environment in which the `trivy` on PATH never ends: a flow that scans is there until it is ended."""
    return scanner(tmp_path / "bin", "0.76.0", "exec sleep 600")


def naming(repository: Repository) -> contextlib.AbstractContextManager[None]:
    """Hold the lock under which a build names its image: until then it makes layers, and does not end."""
    return exclusive(Layout.create(repository.store).root / ".lock")


def test_sigkill_at_any_moment(same: Repository, finished: Repository) -> None:
    """After each of many kills the store is whole, and the run after the last one ends as if nothing was."""
    chance = random.Random(SEED)  # noqa: S311 - it chooses moments
    killed = 0
    for _ in range(MOST):
        if killed == MOMENTS:
            break
        with start(same) as child:
            try:
                # Most work is in the first seconds of what is left to do.
                child.wait(timeout=0.15 + chance.expovariate(1 / 0.8))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=60)
                killed += 1
            else:
                # It had only little left to do: the next one begins with nothing.
                shutil.rmtree(same.path / ".lockgate")
        if same.store.exists():
            assert same.damaged() == []
        assert leftovers(same) == []

    assert killed == MOMENTS
    finish_undisturbed(same, finished)


@pytest.mark.parametrize("word", ["wheels", "→", "gate"])
def test_sigkill_after_each_line(word: str, same: Repository, finished: Repository) -> None:
    """Killed right after each event that the flow tells of, the next run takes up from there."""
    with start(same) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if word in line.decode():
                os.killpg(child.pid, signal.SIGKILL)
                break
        else:
            pytest.fail(f"the flow never said {word!r}")
        child.wait(timeout=60)

    assert same.damaged() == []
    finish_undisturbed(same, finished)


@pytest.mark.parametrize("word", ["wheels", "→"])
def test_ctrl_c_is_130_and_the_next_run_continues(
    word: str, same: Repository, finished: Repository, endless: dict[str, str]
) -> None:
    """SIGINT to the group, as a terminal sends it: one line, exit 130, nothing of ours lives on.

    However late the signal comes, the flow is still there: it waits to name the image, or for the scanner.
    """
    held = naming(same) if word == "wheels" else contextlib.nullcontext()
    with held, start(same, **endless) as child:
        assert child.stderr is not None
        said = b""
        for line in child.stderr:
            said += line
            if word in line.decode():
                os.killpg(child.pid, signal.SIGINT)
                break
        said += child.communicate(timeout=300)[1]

    assert child.returncode == 130, said.decode()
    assert said.decode().splitlines()[-1] == "stopped by Ctrl-C; what was finished is kept"
    assert b"Traceback" not in said
    assert scanners(same.path) == []
    assert same.damaged() == []
    finish_undisturbed(same, finished)


@pytest.mark.skipif(
    not namespaces.available(),
    reason="without namespaces a scanner may outlive a flow that is killed",
)
def test_a_killed_flow_leaves_no_scanner_behind(same: Repository, endless: dict[str, str]) -> None:
    """Trivy runs in a session of its own, and ends with the process that started it."""
    with start(same, **endless) as child:
        while not scanners(same.path):
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=60)

    deadline = time.monotonic() + 60
    while scanners(same.path):
        assert time.monotonic() < deadline, "trivy lives on"
        time.sleep(0.02)


def scanners(root: Path) -> list[int]:
    """Return the processes that look at an image of this repository's store."""
    store, found = root / ".lockgate" / "store", []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            view = (process / "cwd").readlink() / "image" / "blobs"
            if view.readlink().is_relative_to(store):
                found.append(int(process.name))
        except OSError:
            continue  # it ended, is another's, or looks at nothing
    return found
