"""One small Sigstore for all tests of this folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.sign.keyless.instance import ISSUER, SUBJECT, Instance, Made

from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.trusted_root import TrustedRoot

if TYPE_CHECKING:
    from collections.abc import Callable

RELEASE = Identity(SUBJECT, ISSUER, "release")

STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'


@pytest.fixture(scope="session")
def instance() -> Instance:
    """The instance."""
    return Instance()


@pytest.fixture(scope="session")
def root(instance: Instance) -> TrustedRoot:
    """What is trusted of it."""
    return parsed(instance.root())


@pytest.fixture(scope="session")
def make(instance: Instance) -> Callable[..., Made]:
    """Return bundles; without arguments one of a statement, logged in the older kind of log."""

    def make(content: bytes = STATEMENT, **more: Any) -> Made:
        return Made(instance, content, **more)

    return make


def parsed(content: dict[str, Any]) -> TrustedRoot:
    """Read a trusted root."""
    return TrustedRoot.parse(json.dumps(content).encode())
