"""What a killed run left in the system's folder for temporary files: the next run removes it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING

import pytest

from lockgate.base.scratch import scratch, system_home

if TYPE_CHECKING:
    from pathlib import Path

AT_WORK = {
    "kustomize": """
        from lockgate.config.kustomize import Kustomize
        Kustomize((str(folder / "bin" / "program"),), "kustomize v5").build(folder)
    """,
    "patch": """
        from lockgate.config import patch, resource
        from lockgate.config.kustomize import Kustomize
        objects = resource.parse(b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", where="a")
        read = patch.read(folder / "patch.yaml")
        patch.apply(objects, [read], Kustomize((str(folder / "bin" / "program"),), "kustomize v5"))
    """,
    "trivy": """
        from lockgate.scan.trivy_install import locate
        locate(str(folder / "bin"), folder / "cache")
    """,
    "check": """
        from lockgate.base.settings import Component
        from lockgate.build.check_work import private_copy
        with private_copy(folder, Component(path="app", entrypoint=("a",)), folder / "bin") as work:
            work.run("program")
    """,
}
"""Each does the work whose program kills it."""

BEGIN = "import pathlib, sys\nfolder = pathlib.Path(sys.argv[1])\n"

PROGRAM = """\
#!/bin/sh
kill -9 $PPID
if [ -e "{wait}" ]; then read line < "{wait}"; fi
exit 0
"""
"""It ends at once, or when nobody holds the other end of a pipe any more."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with all that the work needs; the system's folder for temporary files is another."""
    for name in ("app", "bin", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "app" / "main.py").write_text("x = 1\n")
    (tmp_path / "patch.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {word: hunter2}\n"
    )
    for name in ("program", "trivy"):
        path = tmp_path / "bin" / name
        path.write_text(PROGRAM.format(wait=tmp_path / "wait"))
        path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def kill(what: str, folder: Path) -> None:
    """Do some work in a process of its own that is killed in the middle."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(AT_WORK[what]), str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def ended(work: Path) -> None:
    """Wait until nothing holds the lock of some work any more."""
    with (work / "lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def left(folder: Path) -> list[Path]:
    """Return the folders of work that are there."""
    return sorted((folder / "temporary").glob("*/work-*"))


@pytest.mark.parametrize("what", AT_WORK)
def test_the_next_work_of_any_kind_removes_it(what: str, folder: Path) -> None:
    """Nothing else is left where everybody's files are, and what is left is its owner's alone."""
    kill(what, folder)
    assert len(left(folder)) == (2 if what == "patch" else 1)
    assert os.listdir(folder / "temporary") == [f"lockgate-{os.geteuid()}"]
    assert {one.stat().st_mode & 0o777 for one in left(folder)} == {0o700}
    for one in left(folder):
        ended(one)
    with scratch(system_home()) as place:
        assert left(folder) == [place.path.parent]
    assert left(folder) == []


def test_what_a_test_of_a_component_uses_that_outlived_the_check_stays(folder: Path) -> None:
    """Until that ends, too."""
    os.mkfifo(folder / "wait")
    handle = os.open(folder / "wait", os.O_RDWR)
    try:
        kill("check", folder)
        (work,) = left(folder)
        with scratch(system_home()):
            assert (work / "in" / "copy" / "app" / "main.py").exists()
    finally:
        os.close(handle)
    ended(work)
    with scratch(system_home()):
        assert not work.exists()
