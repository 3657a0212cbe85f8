"""The real pip and the real package index: one small wheel, with its true hash and with a wrong one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.build.distribution import entries, packages
from lockgate.build.wheels import fetch

if TYPE_CHECKING:
    from pathlib import Path

TRUE = "9deba5723312380e77435581c6bf4935c94cbfab9b1ed33ef8d238ea168eb760"
"""sha256 of iniconfig-2.1.0-py3-none-any.whl."""


def download(folder: Path, text: str, platform: str = "linux/arm64") -> tuple[Path, ...]:
    """Fetch a lock of one line, for an image that is not this machine's."""
    lock = folder / "requirements.txt"
    lock.write_text(text)
    return fetch(lock, python="3.13", glibc="2.41", platform=platform, cache=folder / "cache")


def test_a_locked_wheel_is_downloaded(tmp_path: Path) -> None:
    """The bytes have the locked digest, and their metadata is read."""
    (wheel,) = download(tmp_path, f"iniconfig==2.1.0 \\\n    --hash=sha256:{TRUE}\n")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == TRUE
    (found,) = packages([wheel])
    assert (found.name, found.version, found.licences) == ("iniconfig", "2.1.0", ("MIT",))
    places = {one.path for one in entries([wheel], python="3.13")}
    assert "usr/local/lib/python3.13/dist-packages/iniconfig/__init__.py" in places


def test_a_marker_of_the_image_is_obeyed(tmp_path: Path) -> None:
    """What only the image's Python and machine need is downloaded, whatever this machine is."""
    marker = "python_version == '3.13' and platform_machine == 'aarch64'"
    assert len(download(tmp_path, f"iniconfig==2.1.0 ; {marker} --hash=sha256:{TRUE}\n")) == 1


def test_a_wrong_digest_is_not_trusted(tmp_path: Path) -> None:
    """The lock says other bytes: DigestMismatch names the package, and nothing is kept."""
    with pytest.raises(DigestMismatch, match=r"^iniconfig==2\.1\.0 does not have the digest"):
        download(tmp_path, f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}\n")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_version_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """No such wheel: the requirement is named."""
    with pytest.raises(UsageError, match=r"iniconfig==0\.0\.0 has no wheel"):
        download(tmp_path, f"iniconfig==0.0.0 --hash=sha256:{TRUE}\n")
