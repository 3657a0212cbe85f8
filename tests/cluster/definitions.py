"""Definitions of kinds that others wrote, as an API server must know them before their controllers run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.node import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apiserver import ApiServer


def define(server: ApiServer, folder: Path) -> None:
    """Apply every definition in a folder of `tests/assets`; return once their kinds can be used."""
    server.kubectl("apply", "--server-side", *(f"-f{one}" for one in sorted(folder.glob("*.yaml"))))
    until(lambda: _established(server), f"the kinds of {folder.name}")


def _established(server: ApiServer) -> bool:
    """Whether the API server serves every kind that is defined.

    `kubectl wait` fails on a status that has no conditions yet, so it is not what waits.
    """
    found = json.loads(server.kubectl("get", "crd", "-o", "json").stdout)["items"]
    return all(
        any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in one.get("status", {}).get("conditions") or ()
        )
        for one in found
    )
