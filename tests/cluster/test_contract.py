"""The real API server keeps the promises that the one in memory of the unit tests makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.contract import PROMISES

from lockgate.deploy.kube.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.conftest import Place


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_promise(promise: Callable[[Client, str], None], place: Place) -> None:
    """Each one, in a namespace of its own."""
    promise(Client(place.connection(), patience=60), place.namespace)
