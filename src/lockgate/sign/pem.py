"""PEM (RFC 7468): one block of base64 between two labelled lines, and the text before it."""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from typing import NamedTuple

from lockgate.base.errors import KeyRefused

_BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t\r]*$",
    re.MULTILINE | re.DOTALL,
)

MAX_BYTES = 64 * 1024
"""Largest key file that is read; real ones have less than 4 kB."""


class Pem(NamedTuple):
    """One block."""

    label: str
    """`PUBLIC KEY`."""
    body: bytes
    """The bytes that the base64 stands for."""
    preamble: str
    """Text before the block. Readers of keys skip it (RFC 7468, section 5.2)."""


def parse(data: bytes, *, what: str) -> Pem:
    """Read the one PEM block in `data`.

    Args:
        data: a key file's bytes.
        what: how to name the key in an error.

    Raises:
        KeyRefused: there is none, more than one, or its base64 is broken.
    """
    if not data.strip():
        raise KeyRefused(f"{what} is empty", hint="make a key pair with `cosign generate-key-pair`")
    if len(data) > MAX_BYTES:
        raise KeyRefused(f"{what} is larger than a key can be", hint="check the path")
    begun = data.count(b"-----BEGIN")
    # The pattern looks for the end of every beginning, so that it is tried on one alone.
    blocks = list(_BLOCK.finditer(data)) if begun == 1 else []
    if not blocks:
        found = "several keys" if data.count(b"-----END") > 1 else "no key"
        raise KeyRefused(
            f"{what} holds {found} in PEM form",
            hint="it needs one block between -----BEGIN … KEY----- and -----END … KEY-----",
        )
    block = blocks[0]
    try:
        body = base64.b64decode(b"".join(block[2].split()), validate=True)
    except binascii.Error:
        raise KeyRefused(
            f"{what} is damaged: its base64 cannot be read", hint="restore it from a copy"
        ) from None
    preamble = data[: block.start()].decode("utf-8", "replace")
    return Pem(block[1].decode(), body, preamble)


def write(label: str, body: bytes, *, preamble: str = "") -> bytes:
    """Return a block with lines of 64 characters, after a line of text when one is given."""
    lines = [preamble] if preamble else []
    lines.append(f"-----BEGIN {label}-----")
    lines += textwrap.wrap(base64.b64encode(body).decode(), 64)
    lines.append(f"-----END {label}-----")
    return ("\n".join(lines) + "\n").encode()
