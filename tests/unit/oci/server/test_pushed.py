"""What is kept for repositories is found by name, and a damaged list is an error and not an empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import UsageError
from lockgate.oci import pushed
from lockgate.oci.layout import listing
from lockgate.oci.manifest import MANIFEST, Descriptor

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.oci.layout import Layout

ZERO = "sha256:" + "0" * 64


def write(folder: Path, repository: str, *referrers: Descriptor) -> Path:
    """Write a list of referrers of ZERO."""
    path = pushed.list_path(folder, repository, ZERO)
    path.parent.mkdir(parents=True)
    path.write_bytes(listing(referrers))
    return path


def test_repositories_are_found_at_any_depth(tmp_path: Path) -> None:
    """One may lie below another; its folders are not taken for repositories."""
    for place in ("a/_blobs/sha256", "a/b/_blobs", "a/b/c/_manifests", "d"):
        (tmp_path / place).mkdir(parents=True)
    assert sorted(pushed.holders(tmp_path, "_blobs")) == ["a", "a/b"]
    assert list(pushed.holders(tmp_path, "_manifests")) == ["a/b/c"]
    assert list(pushed.holders(tmp_path / "absent", "_blobs")) == []


def test_lists_of_all_repositories_are_read(tmp_path: Path) -> None:
    """Each entry of each; of what nobody refers to there is none."""
    one, other = (Descriptor.of(MANIFEST, data) for data in (b"1", b"2"))
    write(tmp_path, "a", one)
    write(tmp_path, "a/b", one, other)
    assert pushed.listed(tmp_path, "a", ZERO) == (one,)
    assert pushed.listed(tmp_path, "c", ZERO) == ()
    found = sorted(entry.digest for entry in pushed.everywhere(tmp_path, ZERO))
    assert found == sorted([one.digest, one.digest, other.digest])


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schemaVersion":2}'])
def test_a_damaged_list_is_an_error(layout: Layout, data: bytes) -> None:
    """Evidence is not hidden by damaging its list."""
    write(layout.root / pushed.FOLDER, "a").write_bytes(data)
    with pytest.raises(UsageError):
        layout.referrers(ZERO)
