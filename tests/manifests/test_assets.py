"""Files of others that tests read are as they were taken, and of the version of the program that they are for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lockgate.build.gotools import catalogue

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets"

PROGRAMS = {"argo-cd": "argocd", "flux": "source-controller"}
"""Which program of `tools/` the definitions in a folder are for."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_definitions_are_those_that_are_listed(name: str) -> None:
    """Every file has the digest in `SHA256SUMS`, and there is no other."""
    folder = ASSETS / name
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in lines}
    own = {"README.md", "LICENSE", "SHA256SUMS"}
    found = {
        one.name: hashlib.sha256(one.read_bytes()).hexdigest()
        for one in folder.iterdir()
        if one.name not in own
    }

    assert found == listed
    assert "Apache License" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize(("name", "program"), PROGRAMS.items())
def test_definitions_are_of_the_version_of_the_program(name: str, program: str) -> None:
    """A newer program comes with newer definitions."""
    version = catalogue(ROOT)[program].version

    assert f"| {version} |" in (ASSETS / name / "README.md").read_text()
