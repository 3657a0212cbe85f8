"""Signed `InRelease` files."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysequoia import Cert, SignatureMode, Tsk, sign

from lockgate.base.errors import MirrorError, SignatureInvalid, Stale
from lockgate.build.release import IndexFile, archive_keys, parse, verify

if TYPE_CHECKING:
    from tests.unit.build.conftest import Archive

NOW = 1_790_000_000
HASH = "ab" * 32
TEXT = f"""\
Origin: Debian
Suite: stable
Codename: trixie
Version: 13.7
Date: Sat, 12 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
MD5Sum:
 {"0" * 32} 5 main/other
SHA256:
 {HASH}  10 main/binary-amd64/Packages.xz
 {HASH} 20 main/binary-arm64/Packages.xz
"""


def certificate(key: Tsk) -> bytes:
    """Return a key's public half."""
    return str(key.extract_certificate()).encode()


def clear(key: Tsk, text: str) -> bytes:
    """Sign as the archive does."""
    return sign(key.signer(), text.encode(), mode=SignatureMode.CLEAR)


def test_pinned_keys_are_those_of_the_readme() -> None:
    """Every committed key has the file name, fingerprint and expiry that the README's table says."""
    folder = resources.files("lockgate.build") / "keys"
    rows = re.findall(
        r"^\| `(\S+\.asc)` \| `([0-9A-F ]+)` \| (\S+) \|$",
        (folder / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    said = {
        name: (fingerprint.replace(" ", "").lower(), until) for name, fingerprint, until in rows
    }
    found = {}
    for file in folder.iterdir():
        if file.name.endswith(".asc"):
            (key,) = Cert.split_bytes(file.read_bytes())
            assert key.expiration is not None
            found[file.name] = (key.fingerprint, key.expiration.date().isoformat())
    assert found == said
    assert len(archive_keys()) == len(found) == 6


def test_verify(archive_key: Tsk, other_key: Tsk) -> None:
    """One pinned key among those given is enough."""
    keys = [certificate(other_key), certificate(archive_key)]
    assert verify(clear(archive_key, TEXT), keys, what="x") == TEXT.encode()


def test_text_around_the_signature_is_dropped(archive_key: Tsk) -> None:
    """Lines before and after the signed text are not believed."""
    signed = b"Codename: sid\n\n" + clear(archive_key, TEXT) + b"\nCodename: sid\n"
    assert b"sid" not in verify(signed, [certificate(archive_key)], what="x")


def test_other_key(archive_key: Tsk, other_key: Tsk) -> None:
    """A signature by a key that is not pinned is refused, with no backtrace in the message."""
    with pytest.raises(
        SignatureInvalid, match="not signed by a pinned Debian archive key"
    ) as caught:
        verify(clear(other_key, TEXT), [certificate(archive_key)], what="x")
    assert "\n" not in caught.value.message
    assert "build.mirror" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"13.7", b"13.8"),
        lambda data: data.replace(b"trixie", b"forky"),
        lambda data: data[: len(data) // 2],
        lambda _: b"<html>captive portal</html>",
        lambda _: TEXT.encode(),
        lambda _: b"",
    ],
    ids=["version", "codename", "cut off", "html", "unsigned", "empty"],
)
def test_changed(archive_key: Tsk, change: object) -> None:
    """Anything but the signed text is refused."""
    assert callable(change)
    with pytest.raises(SignatureInvalid):
        verify(change(clear(archive_key, TEXT)), [certificate(archive_key)], what="x")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_bit(archive_key: Tsk, data: st.DataObject) -> None:
    """Whatever bit flips, the result is the signed text or a refusal."""
    signed = bytearray(clear(archive_key, TEXT))
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = verify(bytes(signed), [certificate(archive_key)], what="x")
    except SignatureInvalid:
        return
    # White space at the ends of lines is not covered by cleartext signatures (RFC 9580, 7.2).
    assert [line.rstrip() for line in found.splitlines()] == TEXT.encode().splitlines()


def test_pinned_keys_refuse_the_miniature(archive: Archive) -> None:
    """The pinned keys do not verify an archive of somebody else."""
    archive.publish()
    signed = (archive.root / "main/dists/trixie/InRelease").read_bytes()
    with pytest.raises(SignatureInvalid):
        verify(signed, archive_keys(), what="x")


def test_parse() -> None:
    """A release says what it is, when it was made, and which files it vouches for."""
    found = parse(TEXT.encode(), suite="trixie", now=NOW, what="x")
    assert (found.suite, found.version, found.by_hash) == ("trixie", "13.7", True)
    assert found.date == 1_789_199_741
    assert found.files["main/binary-amd64/Packages.xz"] == IndexFile(10, HASH)
    assert "main/other" not in found.files


@pytest.mark.parametrize(
    ("old", "new"),
    [("Codename: trixie", "Codename: bookworm"), ("Debian", "Ubuntu"), ("Codename: trixie\n", "")],
)
def test_another_suite(old: str, new: str) -> None:
    """A mirror cannot serve another suite or distribution in the place of this one."""
    with pytest.raises(MirrorError, match="Debian `trixie` was asked for"):
        parse(TEXT.replace(old, new).encode(), suite="trixie", now=NOW, what="x")


def test_suite_name_is_not_enough() -> None:
    """A moving name such as `stable` is not taken for a codename."""
    with pytest.raises(MirrorError, match="`stable` was asked for"):
        parse(TEXT.encode(), suite="stable", now=NOW, what="x")


@pytest.mark.parametrize(("until", "valid"), [("07:55:41", True), ("07:55:40", False)])
def test_valid_until(until: str, valid: bool) -> None:
    """A release is good up to the second that it names, and too old after it."""
    text = f"Valid-Until: Sat, 12 Sep 2026 {until} UTC\n{TEXT}".encode()
    if valid:
        parse(text, suite="trixie", now=1_789_199_741, what="x")
    else:
        with pytest.raises(Stale, match="was valid until"):
            parse(text, suite="trixie", now=1_789_199_741, what="x")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Date: Sat, 12 Sep 2026 07:55:41 UTC", "Date: yesterday"),
        (f" {HASH}  10 main/binary-amd64", f" {HASH[:-1]}  10 main/binary-amd64"),
        (f" {HASH}  10 main/binary-amd64", f" {HASH} ten main/binary-amd64"),
        (f" {HASH}  10 main/binary-amd64", f" {HASH} 10 two words"),
        ("Origin: Debian\n", "Origin: Debian\n\n"),
        ("Origin", "Codename: trixie\nOrigin"),
    ],
)
def test_not_in_the_form(old: str, new: str) -> None:
    """Signed text that is not in the form is refused too."""
    with pytest.raises(MirrorError):
        parse(TEXT.replace(old, new).encode(), suite="trixie", now=NOW, what="x")


def test_not_text() -> None:
    """Bytes that are not UTF-8 are refused."""
    with pytest.raises(MirrorError, match="not readable"):
        parse(b"Origin: \xff\n", suite="trixie", now=NOW, what="x")
