"""Start-up is a budget: a listing and a cached run load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.tasks.conftest import Mini

HEAVY = {
    "pydantic", "pydantic_core", "httpx2", "cryptography", "rich", "yaml", "sigstore",
    "cyclonedx", "pysequoia", "nacl", "zstandard", "packaging", "packageurl", "license_expression",
    "installer", "asyncio", "urllib.request", "ssl", "http.client", "email",
}  # fmt: skip
"""What costs a tenth of a second together, or more. Invoke loads some of it itself, which is its own affair."""

SPY = """\
import atexit, json, sys
atexit.register(lambda: open({place!r}, "w").write(json.dumps(sorted(sys.modules))))
from invoke.main import program
program.run(["inv", *{arguments!r}])
"""


def loaded(
    folder: Path, mini: Mini, *arguments: str, env: Mapping[str, str] | None = None
) -> set[str]:
    """Return the modules that a command loads, run in a process of its own that must end well."""
    place = folder / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", SPY.format(place=str(place), arguments=arguments)],
        cwd=mini.path,
        env=mini.environment | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(place.read_text()))


def test_the_task_modules_load_no_library(mini: Mini, tmp_path: Path) -> None:
    """`inv --list` needs Invoke and the task modules, nothing of what the stages work with."""
    bare = loaded(tmp_path, mini, "--version")
    found = loaded(tmp_path, mini, "--list")

    assert "lockgate.tasks.build" in found
    assert (found - bare) & (HEAVY | {"msgspec"}) == set()
    assert not [one for one in found if one.startswith(("lockgate.build", "lockgate.oci"))]


@pytest.mark.parametrize(
    "command",
    ["build scan sign", "build --why", "flow", "deploy.status", "scan --plan", "sign --plan"],
)
def test_a_cached_run_loads_no_library(command: str, built_mini: Mini, tmp_path: Path) -> None:
    """When nothing changed, records are read and compared: no checker, no cryptography, no network."""
    bare = loaded(tmp_path, built_mini, "--version")
    found = loaded(tmp_path, built_mini, *command.split())

    assert "lockgate.tasks.session" in found
    assert (found - bare) & HEAVY == set()


def test_a_first_run_does_load_them(mini: Mini, tmp_path: Path) -> None:
    """The names above are those of libraries that a first run really loads."""
    # With a cache of its own, so that packages are fetched.
    search = {"LOCKGATE_CACHE": str(tmp_path / "cache")}
    found = loaded(tmp_path, mini, "build", "scan", "sign", env=search)

    assert {"pydantic", "cryptography", "httpx2", "cyclonedx"} <= found
