"""Indexes of packages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import MirrorError
from lockgate.build.packages_index import PackagesIndex


def paragraph(name: str, version: str, *more: str) -> str:
    """Return one package of an index."""
    lines = [
        f"Package: {name}",
        f"Version: {version}",
        *more,
        "Architecture: amd64",
        "Description: words\n about it",
        f"Filename: pool/main/{name}_{version}.deb",
        "Size: 10",
        "SHA256: " + "0" * 64,
    ]
    return "\n".join(lines) + "\n"


def index(*paragraphs: str, archive: str = "main") -> PackagesIndex:
    """Return an index of some packages."""
    found = PackagesIndex()
    found.read(["\n".join(paragraphs).encode()], archive=archive)
    return found


def test_fields() -> None:
    """A candidate has what the lock and the resolver need, the source without its version."""
    more = ("Source: glibc (2.40)", "Pre-Depends: a (>= 1),\n b", "Depends: c", "Provides: libc")
    found = index(paragraph("libc6", "2.41", *more)).get("libc6")
    assert found is not None
    assert (found.source, found.archive, found.size) == ("glibc", "main", 10)
    assert (found.needs, found.provides) == ("a (>= 1),\n b, c", "libc")


def test_newest_version_stays() -> None:
    """Of two suites the newer version counts, in whichever order they are read."""
    found = index(paragraph("tiny", "1.10"))
    found.read([paragraph("tiny", "1.9").encode()], archive="security")
    assert found.get("tiny") == index(paragraph("tiny", "1.10")).get("tiny")
    found.read([paragraph("tiny", "1.11").encode()], archive="security")
    candidate = found.get("tiny")
    assert candidate is not None
    assert (candidate.version, candidate.archive) == ("1.11", "security")


def test_first_of_equal_versions_stays() -> None:
    """When two suites have the same version, the first suite's file is taken."""
    found = index(paragraph("tiny", "1.0"))
    found.read([paragraph("tiny", "1.0-0").encode()], archive="security")
    candidate = found.get("tiny")
    assert candidate is not None
    assert candidate.archive == "main"


@settings(deadline=None)
@given(st.integers(1, 400))
def test_pieces_of_any_length(length: int) -> None:
    """How the bytes arrive does not matter."""
    data = "\n".join(paragraph(f"tiny{n}", "1.0") for n in range(5)).encode()
    found = PackagesIndex()
    pieces = [data[start : start + length] for start in range(0, len(data), length)]
    found.read(pieces, archive="main")
    assert len(found) == 5
    assert found.get("tiny4") == index(data.decode()).get("tiny4")


def test_providers() -> None:
    """Who provides a virtual package is found sorted by name, with the version provided."""
    found = index(
        paragraph("mawk", "1.3", "Provides: awk"),
        paragraph("gawk", "5.2", "Provides: awk (= 5), gawk-doc"),
    )
    assert [(version, one.name) for version, one in found.providers("awk")] == [
        ("5", "gawk"),
        ("", "mawk"),
    ]
    assert found.providers("perl") == ()


@pytest.mark.parametrize("field", ["Version", "Filename", "Size", "SHA256", "Architecture"])
def test_missing_field(field: str) -> None:
    """A package without a field that it must have is an error that names it."""
    lines = paragraph("tiny", "1.0").splitlines()
    text = "\n".join(line for line in lines if not line.startswith(f"{field}:"))
    with pytest.raises(MirrorError, match=f"tiny without a usable .*{field}"):
        index(text)
