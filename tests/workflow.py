"""Workflows of docs/github, as far as tests need GitHub: what they hold, and their steps run by bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = Path(__file__).parents[1] / "docs" / "github"


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """Return every step of a workflow."""
    return [step for job in jobs(path).values() for step in job["steps"]]


def runner(folder: Path) -> dict[str, str]:
    """Return the variables that a step finds on GitHub, with files in a folder."""
    names = ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ENV")
    return {"RUNNER_TEMP": str(folder), **{one: str(folder / one.lower()) for one in names}}


def shell(
    step: Mapping[str, Any], folder: Path, variables: Mapping[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash, ending at the first failure."""
    options = ["--noprofile", "--norc", "-eo", "pipefail"]
    done = subprocess.run(
        ["bash", *options, "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, f"{step['run']}\n{done.stdout}\n{done.stderr}"
    return done


def write_wrapper(root: Path) -> None:
    """Write `./inv` into a repository: it runs the library that these tests run."""
    path = root / "inv"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lockgate.tasks.program "$@"\n')
    path.chmod(0o755)


def key_pair() -> tuple[str, str]:
    """Make a release key; return both halves as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    made = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private = made.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def given(step: Mapping[str, Any], expressions: Mapping[str, str]) -> dict[str, str]:
    """Return a step's variables with the values of their expressions."""
    return {
        name: expressions[value.removeprefix("${{ ").removesuffix(" }}")]
        for name, value in step.get("env", {}).items()
    }
