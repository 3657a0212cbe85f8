"""SOPS is handed the bytes and hands back plain ones; nothing of them is written or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import ToolError, ToolMissing
from lockgate.config.sops import Sops

if TYPE_CHECKING:
    from pathlib import Path


def program(folder: Path, body: str) -> Path:
    """Write a program."""
    path = folder / "sops"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_bytes_go_in_and_the_plain_ones_come_out(tmp_path: Path) -> None:
    """By standard input and output: no file holds them."""
    path = program(tmp_path, 'echo "args: $*"; cat')
    found = Sops(lambda: path)(b"sealed", where="s.yaml")
    assert found.endswith(b"sealed")
    assert b"--decrypt --input-type yaml --output-type yaml /dev/stdin" in found


def test_it_sees_where_keys_are_and_no_other_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords of other tools are not its business."""
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "/keys")
    monkeypatch.setenv("COSIGN_PASSWORD", "hunter2")
    path = program(tmp_path, "/usr/bin/env")
    found = Sops(lambda: path)(b"", where="s.yaml")
    assert b"SOPS_AGE_KEY_FILE=/keys" in found
    assert b"hunter2" not in found


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("MAC mismatch. File has ABC, computed DEF", "the file was changed"),
        ("Failed to get the data key required", "none of the keys here opens it"),
        ("value hunter2 is bad", "it refused the file"),
    ],
)
def test_its_complaint_is_told_without_values(says: str, why: str, tmp_path: Path) -> None:
    """Known reasons in our words; nothing else of what it printed."""
    path = program(tmp_path, f"echo '{says}' >&2; exit 1")
    with pytest.raises(ToolError) as caught:
        Sops(lambda: path)(b"", where="s.yaml")
    assert f"s.yaml could not be opened by sops: {why}" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_without_the_program_the_error_is_that_it_is_missing(tmp_path: Path) -> None:
    """A file that is sealed is not passed over."""
    with pytest.raises(ToolMissing):
        Sops(lambda: tmp_path / "gone")(b"", where="s.yaml")
