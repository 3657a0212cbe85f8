"""The API server in memory keeps the promises that the real one keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.contract import PROMISES
from tests.miniature import Miniature

from lockgate.deploy.kube.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_promise(promise: Callable[[Client, str], None]) -> None:
    """Each one."""
    promise(Client(Miniature(), patience=0), "default")
