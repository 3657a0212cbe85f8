"""Records, locks and logs of a component."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.deploy import identity, state
from lockgate.deploy.model import Instance, ProcessId, Service, State

if TYPE_CHECKING:
    from pathlib import Path

INSTANCE = Instance(
    service=Service(component="app", port=8080, ready="/readyz", smoke="/"),
    digest="sha256:" + "a" * 64,
    manifest="sha256:" + "b" * 64,
    revision="",
    runner="namespaces",
    port=4711,
    since=1,
    process=ProcessId(pid=1, started=2, boot="3"),
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """Everything that was written is read again; without a file the record is empty."""
    assert state.read(tmp_path) == State()
    written = State(current=INSTANCE, wanted=True, other=INSTANCE)
    state.write(tmp_path, written)
    assert state.read(tmp_path) == written


@pytest.mark.parametrize("data", [b"", b"{}x", b'{"unknown":1}', b'{"wanted":"yes"}', b"[]"])
def test_a_damaged_record_is_an_error(tmp_path: Path, data: bytes) -> None:
    """It is never taken for the record of nothing."""
    (tmp_path / "state.json").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        state.read(tmp_path)
    assert "state.json" in caught.value.hint


def test_an_inherited_lock_holds_on(tmp_path: Path) -> None:
    """The lock is free once the last process that has its descriptor closed it, not before."""
    waited: list[str] = []
    with state.hold(tmp_path) as lock:
        inherited = os.dup(lock)
    told: list[str] = []

    def waiting() -> None:
        told.append("waits")
        os.close(inherited)

    with state.hold(tmp_path, waiting):
        waited.append("got it")
    assert (told, waited) == (["waits"], ["got it"])


def test_last_lines_are_the_last(tmp_path: Path) -> None:
    """The end of a log, whatever its bytes; of no log, nothing."""
    log = tmp_path / "app.log"
    assert state.last_lines(log, 3) == ""
    log.write_bytes(b"x" * (2 << 20) + b"\none\ntwo \xff\nthree\n")
    assert state.last_lines(log, 2) == "two \ufffd\nthree"


def test_a_process_is_known_by_more_than_its_number() -> None:
    """This process is alive; with another start or boot the same number is somebody else."""
    mine = identity.identify(os.getpid())
    assert mine is not None
    assert identity.alive(mine)
    assert not identity.alive(ProcessId(pid=mine.pid, started=mine.started + 1, boot=mine.boot))
    assert not identity.alive(ProcessId(pid=mine.pid, started=mine.started, boot="earlier"))


def test_a_number_without_a_process_is_nobody() -> None:
    """A number that the kernel never gives out; ending it is no error."""
    assert identity.identify(2**22 + 1) is None
    identity.end(ProcessId(pid=2**22 + 1, started=1, boot=""), 0)


def test_nobody_else_is_ended() -> None:
    """A process with the number but another start is left alone: here it would be this very one."""
    mine = identity.identify(os.getpid())
    assert mine is not None
    identity.end(ProcessId(pid=mine.pid, started=mine.started + 1, boot=mine.boot), 0)
