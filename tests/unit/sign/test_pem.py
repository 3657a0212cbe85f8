"""PEM blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import KeyRefused
from lockgate.sign import pem


@given(st.binary(min_size=1, max_size=400), st.sampled_from(["", "one line of text"]))
def test_what_is_written_can_be_read(body: bytes, preamble: str) -> None:
    """Label, bytes and the text before the block come back."""
    found = pem.parse(pem.write("PUBLIC KEY", body, preamble=preamble), what="key")
    assert (found.label, found.body, found.preamble.strip()) == ("PUBLIC KEY", body, preamble)


def test_lines_are_64_characters() -> None:
    """RFC 7468, section 2: writers wrap at 64."""
    lines = pem.write("PUBLIC KEY", b"x" * 100).decode().splitlines()
    assert [len(line) for line in lines[1:-1]] == [64, 64, 8]


def test_windows_line_ends_are_read() -> None:
    """A key that went through another system is the same key."""
    data = pem.write("PUBLIC KEY", b"x" * 100)
    assert pem.parse(data.replace(b"\n", b"\r\n"), what="key").body == b"x" * 100


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"not a key", "holds no key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "holds no key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no key"),
        (pem.write("PUBLIC KEY", b"a") * 2, "holds several keys"),
        (pem.write("PUBLIC KEY", b"a") + b"-----BEGIN PRIVATE KEY-----\n", "holds no key"),
        (b"-----BEGIN PUBLIC KEY-----\nA*AA\n-----END PUBLIC KEY-----\n", "base64"),
        (b"-----BEGIN PUBLIC KEY-----\nAAA\n-----END PUBLIC KEY-----\n", "base64"),
        (b"x" * (pem.MAX_BYTES + 1), "larger than a key"),
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    """One line says what is wrong with the file, and what to do."""
    with pytest.raises(KeyRefused, match=message) as caught:
        pem.parse(data, what="key release.pub")
    assert "release.pub" in caught.value.message
    assert caught.value.hint
