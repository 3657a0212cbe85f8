"""Encryption to several recipients, and key files as people have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import KeyRefused, UsageError
from lockgate.config import crypt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJgnNDpkUHIWEqRd1aKwUNXWDOFLEeXYbKKlhW1EQ3FY you@there"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a key file."""

    def made(text: str) -> Path:
        path = tmp_path / "keys.txt"
        path.write_text(text)
        return path

    return made


@pytest.fixture
def keys() -> list[tuple[str, str]]:
    """Private and public halves of two keys."""
    from pyrage import x25519

    made = [x25519.Identity.generate() for _ in range(2)]
    return [(str(one), str(one.to_public())) for one in made]


def test_each_of_several_recipients_can_open_it(
    keys: list[tuple[str, str]], write: Callable[[str], Path]
) -> None:
    """Key files may hold comments and empty lines."""
    public = write("# team\n\n" + "\n".join(one[1] for one in keys) + f"\n  {SSH}\n")
    sealed = crypt.seal(b"plain text", crypt.recipients(public))
    assert b"plain text" not in sealed
    for private, _ in keys:
        held = crypt.identities(write(f"# created: 2026\n# public key: age1…\n{private}\n"))
        assert crypt.opener(held)(sealed) == b"plain text"


def test_encryption_gives_other_bytes_each_time(
    keys: list[tuple[str, str]], write: Callable[[str], Path]
) -> None:
    """Which is why an encrypted artifact is not reproducible."""
    to = crypt.recipients(write(keys[0][1]))
    assert crypt.seal(b"plain", to) != crypt.seal(b"plain", to)


def test_without_an_identity_the_error_says_what_is_needed() -> None:
    """The hint names the flag and the variable."""
    with pytest.raises(KeyRefused, match="is encrypted, and no private key was given") as caught:
        crypt.opener(())(b"age-encryption.org/v1")
    assert "--identities" in caught.value.hint


def test_another_key_does_not_open_it(
    keys: list[tuple[str, str]], write: Callable[[str], Path]
) -> None:
    """It is refused by name."""
    sealed = crypt.seal(b"plain", crypt.recipients(write(keys[0][1])))
    held = crypt.identities(write(keys[1][0]))
    with pytest.raises(KeyRefused, match="cannot be decrypted"):
        crypt.opener(held)(sealed)


def test_a_changed_ciphertext_is_refused(
    keys: list[tuple[str, str]], write: Callable[[str], Path]
) -> None:
    """One bit is enough."""
    sealed = bytearray(crypt.seal(b"plain", crypt.recipients(write(keys[0][1]))))
    sealed[-1] ^= 1
    held = crypt.identities(write(keys[0][0]))
    with pytest.raises(KeyRefused, match="cannot be decrypted"):
        crypt.opener(held)(bytes(sealed))


def test_a_private_key_among_recipients_is_not_shown(
    keys: list[tuple[str, str]], write: Callable[[str], Path]
) -> None:
    """The line is named by its number: whoever made the mistake need not read the key in a log."""
    with pytest.raises(KeyRefused, match="line 2, is no public key") as caught:
        crypt.recipients(write(f"# mine\n{keys[0][0]}\n"))
    assert keys[0][0] not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("text", ["", "# nobody\n"])
def test_a_file_without_a_recipient_is_an_error(text: str, write: Callable[[str], Path]) -> None:
    """It does not mean that nothing is encrypted."""
    with pytest.raises(KeyRefused, match="names no recipient"):
        crypt.recipients(write(text))
    with pytest.raises(UsageError, match="nobody is named"):
        crypt.seal(b"plain", ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no private key"),
        ("# nothing\n", "holds no private key"),
        ("age1notakey\n", "no file of private keys"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nno\n", "no file of private keys"),
        ("age-encryption.org/v1\n-> scrypt x\n", "protected by a passphrase"),
    ],
)
def test_what_is_no_file_of_private_keys_is_refused(
    text: str, problem: str, write: Callable[[str], Path]
) -> None:
    """Each in its own words, with a hint."""
    with pytest.raises(KeyRefused) as caught:
        crypt.identities(write(text))
    assert problem in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("read", [crypt.recipients, crypt.identities])
def test_a_file_that_is_not_there_is_refused(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    """By its name."""
    with pytest.raises(KeyRefused, match=r"gone\.txt cannot be read"):
        read(tmp_path / "gone.txt")
