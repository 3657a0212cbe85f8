"""Licences from copyright files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from lockgate.build.copyright import names

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def machine_readable(*licences: str) -> str:
    """Return a file with one paragraph of files a licence."""
    paragraphs = [f"Files: {n}\nCopyright: x\nLicense: {one}\n" for n, one in enumerate(licences)]
    return HEAD + "\n" + "\n".join(paragraphs)


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("GPL-2+", ("GPL-2.0-or-later",)),
        ("GPL-2", ("GPL-2.0-only",)),
        ("LGPL-2.1+", ("LGPL-2.1-or-later",)),
        ("GFDL-1.3", ("GFDL-1.3-only",)),
        ("AGPL-3+", ("AGPL-3.0-or-later",)),
        ("Expat", ("MIT",)),
        ("BSD-3-clause", ("BSD-3-Clause",)),
        ("zlib", ("Zlib",)),
        ("Apache-2.0", ("Apache-2.0",)),
        ("public-domain", ("LicenseRef-public-domain",)),
        ("GPL-2+ with OpenSSL exception", ("LicenseRef-GPL-2-with-OpenSSL-exception",)),
        ("Artistic or GPL-1+", ("Artistic-1.0 OR GPL-1.0-or-later",)),
        ("ISC and LGPL-2.1+", ("ISC", "LGPL-2.1-or-later")),
        ("ISC and Expat or GPL-2", ("ISC AND MIT OR GPL-2.0-only",)),
        ("ISC or Expat, and GPL-2", ("GPL-2.0-only", "ISC OR MIT")),
        ("ISC and Expat, or GPL-2", ("(ISC AND MIT) OR GPL-2.0-only",)),
        ("???", ("LicenseRef-none",)),
    ],
)
def test_short_names(short: str, expected: tuple[str, ...]) -> None:
    """Short names become SPDX ids; "and" splits, "or" stays a choice, the unknown gets a reference."""
    assert names(machine_readable(short)) == expected


def test_sorted_once() -> None:
    """Every licence stands once, sorted."""
    assert names(machine_readable("Zlib", "Expat", "MIT")) == ("MIT", "Zlib")


def test_texts_do_not_count() -> None:
    """A paragraph that only holds the text of a licence adds none: it may be one of a choice."""
    text = machine_readable("Artistic or GPL-1+") + "\nLicense: Artistic\n The text.\n"
    assert names(text) == ("Artistic-1.0 OR GPL-1.0-or-later",)


def test_head_counts() -> None:
    """A licence in the head holds for the whole."""
    assert names(HEAD + "License: ISC\n") == ("ISC",)


def test_free_text() -> None:
    """In free text, the texts it points at and two well-known sentences are found."""
    text = (
        "This is Python.\nPYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n"
        "The GPL is in /usr/share/common-licenses/GPL-2.\n"
    )
    assert names(text) == ("LicenseRef-GPL-2", "Python-2.0")


@pytest.mark.parametrize("text", ["", "Do what you like.", HEAD])
def test_nothing_said(text: str) -> None:
    """A file that says nothing is not passed off as free of conditions."""
    assert names(text) == ("NOASSERTION",)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.booleans())
def test_always_a_valid_expression(text: str, machine: bool) -> None:
    """Whatever the file says, the result is not empty and each part is an SPDX expression."""
    licensing = get_spdx_licensing()  # type: ignore[no-untyped-call]
    found = names(machine_readable(text) if machine else text)
    assert found
    for one in found:
        licensing.parse(one)
