"""Files that survive: whole or not there, one holder at a time, and the disk's errors explained."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.errors import StorageError
from lockgate.base.files import atomic_create, atomic_write, exclusive, storage_error


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(one.name for one in folder.iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.binary(), st.binary())
def test_the_content_is_the_last_one(tmp_path: Path, first: bytes, second: bytes) -> None:
    """What was written last is there, whole, and nothing else."""
    path = tmp_path / "file"
    atomic_write(path, first)
    atomic_write(path, second)
    assert path.read_bytes() == second
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_mode_is_the_one_asked_for(tmp_path: Path, umask: int) -> None:
    """The umask has no say: a key is private, a record readable."""
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "record", b"")
        atomic_write(tmp_path / "key", b"", mode=0o600)
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o7777 for one in tmp_path.iterdir()}
    assert modes == {"record": 0o644, "key": 0o600}


def test_a_private_file_is_never_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode is right before the first byte is on the disk."""
    seen = []
    real = os.fsync

    def fsync(handle: int) -> None:
        seen.append((os.fstat(handle).st_mode & 0o777, os.fstat(handle).st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "key", b"secret", mode=0o600)
    assert seen == [(0o600, 6)]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """The folder of the file need not exist."""
    atomic_write(tmp_path / "a/b/c", b"x")
    assert (tmp_path / "a/b/c").read_bytes() == b"x"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Writing through a link that others placed would overwrite their choice of file."""
    (tmp_path / "victim").write_bytes(b"old")
    (tmp_path / "link").symlink_to("victim")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "victim").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failure_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Whatever fails, the old file is whole and no temporary file stays."""
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=str(path)):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_ctrl_c_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt in the middle cleans up as well, and stays an interrupt."""
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_write_that_stops_half_way_leaves_the_old_content(tmp_path: Path) -> None:
    """The kernel takes only a part of the bytes: the file keeps its old content, whole."""
    path = tmp_path / "file"
    atomic_write(path, b"old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            atomic_write(path, b"n" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_kill_in_the_middle_leaves_the_old_content(tmp_path: Path) -> None:
    """SIGKILL before the rename: readers see the old bytes, and the next write succeeds."""
    path = tmp_path / "file"
    atomic_write(path, b"old")
    script = (
        "import os, signal, sys; from pathlib import Path; from lockgate.base import files\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.atomic_write(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=120, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    atomic_write(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_a_new_file_is_whole_and_has_its_mode(tmp_path: Path) -> None:
    """Its folder is made when it is absent, and no temporary file stays."""
    path = tmp_path / "folder" / "file"
    assert atomic_create(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
def test_what_has_the_name_of_a_new_file_stays(tmp_path: Path, kind: str) -> None:
    """Whatever it is, and nothing else is left."""
    path = tmp_path / "file"
    if kind == "file":
        path.write_bytes(b"old")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "absent")
    before = path.lstat()
    assert not atomic_create(path, b"new")
    assert path.lstat() == before
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod"])
def test_a_new_file_that_cannot_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Neither under its name nor under another."""

    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        atomic_create(tmp_path / "file", b"new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["file/below", "folder"])
def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path, where: str) -> None:
    """A file where a folder should be, and the other way round."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as caught:
        atomic_write(tmp_path / where, b"x")
    assert caught.value.hint
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so(code: int) -> None:
    """A full disk and a full quota are one thing for a person: make room, run it again."""
    found = storage_error(OSError(code, "x"), Path("/store"))
    assert isinstance(found, StorageError)
    assert found.message == "/store could not be written: the disk is full"
    assert "free some space" in found.hint


def test_other_errors_keep_the_systems_words() -> None:
    """Any other error says what the system said, even when it has no number."""
    assert (
        "Permission denied" in storage_error(PermissionError(errno.EACCES, "x"), Path("p")).message
    )
    assert "strange" in storage_error(OSError("strange"), Path("p")).message


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    """Two processes add to one number a hundred times each, and nothing is lost."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    script = (
        "import sys; from pathlib import Path; from lockgate.base.files import exclusive\n"
        "counter = Path(sys.argv[1])\n"
        "for _ in range(100):\n"
        "    with exclusive(counter.with_name('lock')):\n"
        "        counter.write_text(str(int(counter.read_text()) + 1))\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, str(counter)]) for _ in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert counter.read_text() == "200"


def test_who_waits_is_told_once(tmp_path: Path) -> None:
    """`waiting` is called when another holds the lock, before the wait, and not otherwise."""
    told = threading.Event()
    order = []

    def second() -> None:
        with exclusive(tmp_path / "lock", waiting=told.set):
            order.append("second")

    with exclusive(tmp_path / "lock", waiting=lambda: order.append("never")):
        other = threading.Thread(target=second)
        other.start()
        assert told.wait(timeout=60)
        order.append("first")
    other.join(timeout=60)
    assert order == ["first", "second"]


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    """SIGKILL leaves no lock behind."""
    script = (
        "import os, signal, sys; from pathlib import Path; from lockgate.base.files import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "lock")], timeout=120, check=False)
    with exclusive(tmp_path / "lock", waiting=lambda: pytest.fail("the lock is still held")):
        pass


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    """The block's own error passes unchanged, also an OSError, and the lock is free."""
    with pytest.raises(OSError, match="mine"), exclusive(tmp_path / "lock"):
        raise OSError("mine")
    with exclusive(tmp_path / "lock", waiting=lambda: pytest.fail("the lock is still held")):
        pass


def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """A lock file below a file: no traceback."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError), exclusive(tmp_path / "file/lock"):
        pytest.fail("entered without a lock")


def test_a_file_system_without_locks_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has no lock to give, the block is not entered."""
    import fcntl

    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError, match="No locks"), exclusive(tmp_path / "lock"):
        pytest.fail("entered without a lock")
