"""What people are told of an inventory in a cluster."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from lockgate.config.resource import ResourceId
from lockgate.deploy.kube.model import InventoryStatus, ObjectStatus
from lockgate.oci.digest import Digest
from lockgate.tasks import deploy_words

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def status(**more: Any) -> InventoryStatus:
    """Return an inventory with one artifact, applied to its end."""
    found = InventoryStatus(
        inventory="shop/shop-dev",
        context="dev",
        artifact=ONE,
        source="https://git.example/shop",
        revision="abc",
        applied=1_700_000_000,
        pending="",
        holder="",
        objects=(),
    )
    return msgspec.structs.replace(found, **more)


def test_what_was_applied_is_said() -> None:
    """Artifact, source, revision, and when, in the time of this machine."""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_700_000_000))
    assert deploy_words.status_lines(status()) == [
        f"{ONE.short}  https://git.example/shop  abc  {day}"
    ]


def test_what_nobody_said_is_a_dash() -> None:
    """A source and a revision are not always known."""
    (line,) = deploy_words.status_lines(status(source="", revision=""))
    assert line.startswith(f"{ONE.short}  -  -  ")


def test_what_did_not_come_to_its_end_is_said() -> None:
    """Or who works on it right now."""
    assert deploy_words.status_lines(status(artifact="", pending=TWO)) == [
        f"interrupted: {TWO.short} was not applied to its end"
    ]
    lines = deploy_words.status_lines(status(artifact="", pending=TWO, holder="ann on host"))
    assert lines == ["ann on host works on it"]


def test_each_object_is_one_line() -> None:
    """With what it lacks, and whether somebody changed it."""
    one = ResourceId(group="", kind="Pod", namespace="shop", name="a")
    found = status(
        objects=(ObjectStatus(id=one, phase="failed", message="a\nb\x1b[2J", touched="yes"),)
    )
    (line,) = deploy_words.object_lines(found)
    assert line == f"{'Pod/shop/a':<48} {'failed':<12} a?b?[2J  changed by somebody else"
