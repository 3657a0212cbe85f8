"""Folders to work in for a while: `lockgate.base.scratch`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from lockgate.base.errors import StorageError
from lockgate.base.scratch import scratch, system_home

WORKER = textwrap.dedent("""
    import pathlib, subprocess, sys
    from lockgate.base.scratch import scratch
    with scratch(pathlib.Path(sys.argv[1])) as place:
        (place.path / "report.json").write_text("a secret")
        child = sys.argv[2:] and subprocess.Popen(["cat"], stdin=0, stdout=2, pass_fds=(place.lock,))
        print(place.path, child and child.pid, flush=True)
        sys.stdin.read()
""")


WITHOUT_RIGHTS = textwrap.dedent("""
    import os, pathlib, sys
    from lockgate.base import kernel
    from lockgate.base.scratch import scratch
    if os.geteuid() == 0:
        kernel.set_capabilities()
    with scratch(pathlib.Path(sys.argv[1])) as place:
        sealed = place.path / "outer" / "sealed"
        sealed.mkdir(parents=True)
        (sealed / "file").touch()
        (sealed / "link").symlink_to(sys.argv[2])
        sealed.chmod(0)
        sealed.parent.chmod(0o500)
    print(sorted(one.name for one in pathlib.Path(sys.argv[1]).iterdir()))
""")


def names(home: Path) -> list[str]:
    """Return the folders that are there."""
    return sorted(one.name for one in home.iterdir() if one.name != ".lock")


def killed(home: Path, *words: str) -> tuple[Path, int, subprocess.Popen[str]]:
    """Return the folder of a process that was killed at work, its child, and what holds the child's input."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(home), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdout is not None
    path, _, child = worker.stdout.readline().partition(" ")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)
    worker.stdout.close()
    return Path(path), int(child) if child.strip().isdigit() else 0, worker


def end(worker: subprocess.Popen[str]) -> None:
    """End the input of what a worker started."""
    assert worker.stdin is not None
    worker.stdin.close()


def test_a_folder_is_empty_private_and_goes_away(tmp_path: Path) -> None:
    """With everything in it, also when the work fails."""
    home = tmp_path / "work"

    def work() -> None:
        with scratch(home) as place:
            assert not list(place.path.iterdir())
            assert stat.S_IMODE(place.path.stat().st_mode) == 0o700
            (place.path / "deep").mkdir()
            (place.path / "deep" / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert names(home) == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """SIGKILL, so that nothing of it could tidy up."""
    path, _, worker = killed(tmp_path)
    end(worker)
    assert (path / "report.json").exists()
    with scratch(tmp_path) as place:
        assert names(tmp_path) == [place.path.parent.name]
    assert not path.parent.exists()


def test_what_a_living_process_uses_stays(tmp_path: Path) -> None:
    """Two at a time each have their own."""
    with scratch(tmp_path) as one:
        (one.path / "file").touch()
        with scratch(tmp_path) as other:
            assert (one.path / "file").exists()
            assert one.path != other.path
        assert (one.path / "file").exists()


def test_what_a_program_uses_that_outlived_its_parent_stays(tmp_path: Path) -> None:
    """Until that ends, too: the program holds the lock as well."""
    path, child, worker = killed(tmp_path, "child")
    handle = os.pidfd_open(child)
    with scratch(tmp_path):
        assert (path / "report.json").exists()
    end(worker)
    select.select([handle], [], [], 10)
    os.close(handle)
    with scratch(tmp_path):
        assert not path.exists()


def test_a_folder_that_was_never_locked_is_abandoned(tmp_path: Path) -> None:
    """Its maker was killed between the two."""
    (tmp_path / "work-1").mkdir()
    with scratch(tmp_path):
        pass
    assert names(tmp_path) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither one in the place of a folder nor one inside, nor one in the place of a lock."""
    home, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    (elsewhere / "in").mkdir(parents=True)
    (elsewhere / "keep").touch()
    (home / "work-1").mkdir(parents=True)
    (home / "work-1" / "link").symlink_to(elsewhere)
    (home / "work-2").symlink_to(elsewhere)
    (home / "work-3").mkdir()
    (home / "work-3" / "lock").symlink_to(elsewhere / "keep")
    with scratch(home):
        pass
    assert (elsewhere / "keep").exists()
    assert names(home) == ["work-2", "work-3"]


def test_what_is_not_of_this_kind_is_left_alone(tmp_path: Path) -> None:
    """A file, and a folder of another name."""
    (tmp_path / "work-1").touch()
    (tmp_path / "mine").mkdir()
    with scratch(tmp_path):
        pass
    assert names(tmp_path) == ["mine", "work-1"]


def test_another_users_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is in use is theirs to know."""
    (tmp_path / "work-1").mkdir()
    own = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: own + 1)
        with scratch(tmp_path):
            pass
    assert names(tmp_path) == ["work-1"]


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not be used"), scratch(tmp_path / "file" / "x"):
        pass


def test_what_nobody_may_write_is_removed_too(tmp_path: Path) -> None:
    """Also when root's right to write everything is not there to help; what a link names keeps its mode."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o750)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, str(tmp_path / "work"), str(elsewhere)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("['.lock']\n", "")
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o750


def test_work_that_ends_while_folders_are_listed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder stands in the list and is gone when it is looked at."""
    (tmp_path / "work-1").mkdir()
    listed = list(os.scandir(tmp_path))
    (tmp_path / "work-1").rmdir()
    look = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "scandir", lambda at: contextlib.nullcontext(listed) if at == tmp_path else look(at)
        )
        with scratch(tmp_path) as place:
            assert place.path.is_dir()


def test_the_home_in_the_systems_folder_is_this_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made once, and found again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = system_home()
    assert home == tmp_path / f"lockgate-{os.geteuid()}"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with scratch(system_home()) as place:
        assert place.path.is_relative_to(home)
        assert stat.S_IMODE(place.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["file", "link", "open", "another user's"])
def test_a_home_that_others_may_use_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody can make one of this name before us."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    user = os.geteuid() + (what == "another user's")
    home = tmp_path / f"lockgate-{user}"
    if what == "file":
        home.touch(mode=0o600)
    elif what == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        home.symlink_to(tmp_path / "elsewhere")
    else:
        home.mkdir(mode=0o700)
        home.chmod(0o770 if what == "open" else 0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: user)
        with pytest.raises(StorageError) as caught:
            system_home()
    assert "TMPDIR" in caught.value.hint or what == "file"
