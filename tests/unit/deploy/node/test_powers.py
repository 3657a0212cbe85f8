"""What a node is given, as arguments of an engine's client."""

from __future__ import annotations

from typing import Any

from lockgate.deploy.node.model import Machine
from lockgate.deploy.node.powers import powers


def words(capabilities: tuple[str, ...] = ("NET_ADMIN",), **about: Any) -> list[str]:
    """Return the arguments on a machine."""
    given: dict[str, Any] = {
        "engine": "docker",
        "version": "28",
        "cgroups": "v2",
        "security": (),
        "kmsg": False,
    }
    machine = Machine(capabilities=capabilities, **{**given, **about})
    return powers(machine, capabilities).arguments()


def test_every_capability_is_dropped_before_some_are_added() -> None:
    """Not `--privileged`, which gives what nobody asked for."""
    found = words(("NET_ADMIN", "SYS_ADMIN"))

    assert [one for one in found if one.startswith("--cap-")] == [
        "--cap-drop=ALL",
        "--cap-add=NET_ADMIN",
        "--cap-add=SYS_ADMIN",
    ]
    assert "--privileged" not in found


def test_what_confines_containers_is_off_where_it_is_on() -> None:
    """An engine without AppArmor refuses an option of it."""
    assert "--security-opt=apparmor=unconfined" in words(security=("apparmor", "seccomp"))
    assert "--security-opt=label=disable" in words(security=("selinux",))
    assert [one for one in words() if "security" in one] == ["--security-opt=seccomp=unconfined"]


def test_the_kernels_messages_are_shown_to_who_may_read_them() -> None:
    """The device alone is of no use."""
    assert "--device=/dev/kmsg" in words(("SYSLOG",), kmsg=True)
    assert "--device=/dev/kmsg" not in words(kmsg=True)
    assert "--device=/dev/kmsg" not in words(("SYSLOG",))


def test_limits_that_cannot_be_raised_are_asked_for_as_they_are() -> None:
    """Else the engine asks for its own."""
    assert "--ulimit=nofile=20000:20000" in words(limits={"nofile": 20_000})
    assert not [one for one in words() if "ulimit" in one]
