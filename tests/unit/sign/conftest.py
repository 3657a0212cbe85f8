"""The world of `world.py` as fixtures."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from tests.unit.sign import world as worlds
from tests.unit.sign.world import NOW, World, make_signer

from lockgate.scan.model import Finding
from lockgate.sign.public_key import MARK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.sign.local import LocalSigner


@pytest.fixture(scope="session")
def signer() -> LocalSigner:
    """The key of the release."""
    return make_signer("release")


@pytest.fixture(scope="session")
def stranger() -> LocalSigner:
    """A key that nobody trusts."""
    return make_signer("stranger")


@pytest.fixture(scope="session")
def developer() -> LocalSigner:
    """A key that carries the mark of a development key."""
    return make_signer("development", MARK)


@pytest.fixture
def high() -> Finding:
    """A finding that closes a gate."""
    return Finding(
        kind="vuln",
        id="CVE-2026-1234",
        severity="HIGH",
        title="",
        package="libexpat1",
        version="1",
        fixed="2",
        target="debian",
        path="",
        purl="",
        aliases=(),
        platforms=("linux/amd64",),
        layer="",
    )


@pytest.fixture
def now() -> int:
    """Shortly after the verdict."""
    return NOW + 60


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Return worlds in one layout; `salt` gives another image."""
    return functools.partial(worlds.make_world, tmp_path)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world whose gate is open."""
    return make_world()
