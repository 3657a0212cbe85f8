"""The target `local` as a machine of states: what runs after every success, failure and interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import (
    DigestMismatch,
    NotReady,
    SignatureInvalid,
    StorageError,
    SubjectMismatch,
    UsageError,
)
from lockgate.deploy import state
from lockgate.deploy.local import deploy, logs, rollback, status, stop
from lockgate.deploy.model import HISTORY, Deployment, Service, State
from tests.unit.deploy.conftest import Behaviour, Machine, Passed, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.deploy.world import World

Deploy = "Callable[..., Deployment]"


@pytest.fixture
def put(world: World, store: Store, service: Service) -> Callable[..., Deployment]:
    """Deploy a verified image."""
    times = iter(range(1000, 9999))

    def run(passed: Passed, port: int = 8080, **changes: Any) -> Deployment:
        there = world._replace(**changes)
        return deploy(passed, service, there, layout=store.layout, port=port, now=next(times))

    return run
