"""Unit tests: no network, and nothing of the person's or the CI's environment."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that change what Lockgate does are unset; a test sets the one that it is about."""
    for name in os.environ:
        if name.startswith(("LOCKGATE_", "GIT_", "PIP_")) or name in (
            "CI",
            "NO_COLOR",
            "SOURCE_DATE_EPOCH",
        ):
            monkeypatch.delenv(name)
