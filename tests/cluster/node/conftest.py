"""The real node for all tests of this folder."""

from __future__ import annotations

from tests.node import cluster, namespace, node_parts, probe, repository

__all__ = ["cluster", "namespace", "node_parts", "probe", "repository"]
