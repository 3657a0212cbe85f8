"""The real node for all tests of this folder."""

from __future__ import annotations

from tests.node import cluster, namespace, probe

__all__ = ["cluster", "namespace", "probe"]
