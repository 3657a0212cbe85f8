"""Which capabilities there are, and what follows from those that are missing."""

from __future__ import annotations

import msgspec
from hypothesis import given as example
from hypothesis import strategies as st

from lockgate.deploy.node import capabilities
from lockgate.deploy.node.model import Machine

EVERYTHING = Machine(
    engine="docker",
    version="28.0",
    capabilities=tuple(capabilities.NAMES),
    cgroups="v2",
    security=("seccomp",),
    kmsg=True,
)


def without(*names: str) -> Machine:
    """Return a machine that has all but some capabilities."""
    left = tuple(one for one in capabilities.NAMES if one not in names)
    return msgspec.structs.replace(EVERYTHING, capabilities=left)


def test_names_have_the_kernels_numbers() -> None:
    """A few fixed points of `linux/capability.h`."""
    numbers = {"CHOWN": 0, "NET_ADMIN": 12, "SYS_ADMIN": 21, "SYS_RESOURCE": 24, "BPF": 39}

    assert {name: capabilities.NAMES.index(name) for name in numbers} == numbers
    assert len(capabilities.NAMES) == 41


def test_a_bounding_set_is_read() -> None:
    """The set of a machine without CAP_SYS_RESOURCE has all others."""
    found = capabilities.parse_bounding("Name:\tx\nCapBnd:\t000001fffeffffff\nCapAmb:\t0\n")

    assert set(capabilities.NAMES) - set(found) == {"SYS_RESOURCE"}


@example(st.sets(st.sampled_from(capabilities.NAMES)))
def test_every_bounding_set_is_read(names: set[str]) -> None:
    """Any set comes back as it was, in the kernel's order."""
    bits = sum(1 << capabilities.NAMES.index(one) for one in names)

    found = capabilities.parse_bounding(f"CapBnd:\t{bits:016x}\n")

    assert set(found) == names
    assert list(found) == [one for one in capabilities.NAMES if one in names]


def test_a_node_is_given_what_it_needs_and_no_more() -> None:
    """Of all capabilities only the wanted ones are handed on; of those, only what there is."""
    everything = capabilities.given(capabilities.NAMES)

    assert set(everything) == set(capabilities.WANTED)
    assert not {"SYS_MODULE", "SYS_BOOT", "SYS_TIME", "SYS_RAWIO"} & set(everything)
    assert "SYS_RESOURCE" not in capabilities.given(without("SYS_RESOURCE").capabilities)


def test_a_whole_machine_lacks_nothing() -> None:
    """Where everything is there, nothing is said."""
    assert capabilities.lacks(EVERYTHING) == ()


def test_what_can_be_done_without_is_not_needed() -> None:
    """Without CAP_SYS_RESOURCE there is a node, and what follows is said."""
    (lack,) = capabilities.lacks(without("SYS_RESOURCE"))

    assert lack.what == "CAP_SYS_RESOURCE"
    assert not lack.needed
    assert "out-of-memory" in lack.so


def test_what_cannot_be_done_without_comes_first() -> None:
    """Without CAP_SYS_ADMIN there is no node; it stands before what is only a pity."""
    found = capabilities.lacks(msgspec.structs.replace(without("SYS_ADMIN"), kmsg=False))

    assert [(one.what, one.needed) for one in found] == [
        ("CAP_SYS_ADMIN", True),
        ("/dev/kmsg", False),
    ]
