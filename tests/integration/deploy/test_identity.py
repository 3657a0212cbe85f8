"""Processes of other lives, on the real kernel."""

from __future__ import annotations

import os
import subprocess

import msgspec

from lockgate.deploy import identity

_TRIES = 300
"""Without a look at its flags, a process that was about to end was seen alive in 1 to 2 of 100."""


def _alive_after_its_files() -> bool:
    """Kill a process, wait until its files are closed, and return whether it is alive then."""
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        known = identity.identify(child.pid)
        assert known is not None
        child.kill()
        child.stdout.read()
        return identity.alive(known)


def test_what_gave_up_its_files_is_not_alive() -> None:
    """Its lock is free then, and whoever takes that must not think that the service still runs."""
    assert [_alive_after_its_files() for _ in range(_TRIES)] == [False] * _TRIES


def test_one_that_runs_is_alive() -> None:
    """And another one with its number is not it."""
    known = identity.identify(os.getpid())
    assert known is not None
    assert identity.alive(known)
    assert not identity.alive(msgspec.structs.replace(known, started=known.started + 1))
