"""Private keys."""

from __future__ import annotations

import base64
import functools
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from lockgate.base.errors import KeyRefused, StorageError
from lockgate.sign import keybox, keys, pem
from lockgate.sign.keys import development_key, load, public_keys
from lockgate.sign.local import make_pair
from lockgate.sign.public_key import MARK, PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.sign.keys import Signer


@functools.cache
def cheap_pair(password: bytes, number: int = 0) -> tuple[bytes, bytes]:
    """Return a key pair with the cheapest scrypt, another one for each number."""
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    spki = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    private = pem.write(keybox.LABEL, keybox.seal(pkcs8, password, keybox.LEGACY))
    return private, PublicKey(spki, f"{number}").pem()


def from_file(path: Path, environ: Mapping[str, str] | None = None) -> Signer:
    """Load a key without a terminal."""
    return load(path.name, root=path.parent, environ=environ or {}, ask=None)


def works(signer: Signer) -> None:
    """Check that a signer's halves belong together."""
    signer.public_key().verify(signer.sign(b"data"), b"data")


def test_an_encrypted_key_opens_with_its_password(tmp_path: Path) -> None:
    """`COSIGN_PASSWORD` opens the key, and its public file is the other half."""
    private, public = cheap_pair(b"pw")
    (tmp_path / "cosign.key").write_bytes(private)
    (tmp_path / "cosign.pub").write_bytes(public)
    signer = from_file(tmp_path / "cosign.key", {"COSIGN_PASSWORD": "pw"})
    works(signer)
    assert not signer.development
    assert signer.fingerprint == PublicKey.parse(public, name="").fingerprint


def test_a_person_is_asked_on_a_terminal(tmp_path: Path) -> None:
    """Without the variable the password is asked for, once, and only when something is signed."""
    private, public = cheap_pair(b"pw")
    (tmp_path / "cosign.key").write_bytes(private)
    (tmp_path / "cosign.pub").write_bytes(public)
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "pw"

    signer = load("cosign.key", root=tmp_path, environ={}, ask=ask)
    assert signer.fingerprint
    assert asked == []
    works(signer)
    works(signer)
    assert asked == ["password of cosign.key: "]


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    """A run without a terminal ends with a clear error instead of waiting."""
    (tmp_path / "cosign.key").write_bytes(cheap_pair(b"pw")[0])
    with pytest.raises(KeyRefused, match="no terminal") as caught:
        from_file(tmp_path / "cosign.key").sign(b"data")
    assert "COSIGN_PASSWORD" in caught.value.hint


def test_an_empty_variable_is_an_empty_password(tmp_path: Path) -> None:
    """As with cosign, a set and empty variable is a password."""
    (tmp_path / "cosign.key").write_bytes(cheap_pair(b"")[0])
    works(from_file(tmp_path / "cosign.key", {"COSIGN_PASSWORD": ""}))


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    """The key stays shut, with exit code 4."""
    (tmp_path / "cosign.key").write_bytes(cheap_pair(b"pw")[0])
    with pytest.raises(KeyRefused, match="password is wrong") as caught:
        from_file(tmp_path / "cosign.key", {"COSIGN_PASSWORD": "guess"}).sign(b"data")
    assert caught.value.exit_code == 4


def test_the_old_label_is_read(tmp_path: Path) -> None:
    """Keys of older releases of cosign open too."""
    private = cheap_pair(b"")[0].replace(b"SIGSTORE", b"COSIGN")
    (tmp_path / "old.key").write_bytes(private)
    works(from_file(tmp_path / "old.key", {"COSIGN_PASSWORD": ""}))


def test_a_key_from_the_environment(tmp_path: Path) -> None:
    """`env://NAME` reads the key from a variable."""
    private = cheap_pair(b"pw")[0].decode()
    environ = {"RELEASE_KEY": private, "COSIGN_PASSWORD": "pw"}
    signer = load("env://RELEASE_KEY", root=tmp_path, environ=environ, ask=None)
    works(signer)
    assert signer.public_key().name == "RELEASE_KEY"


@pytest.mark.parametrize("environ", [{}, {"RELEASE_KEY": ""}])
def test_an_unset_variable_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    """The error names the variable."""
    with pytest.raises(KeyRefused, match="RELEASE_KEY is not set"):
        load("env://RELEASE_KEY", root=tmp_path, environ=environ, ask=None)


@pytest.mark.parametrize("scheme", ["", "env://"])
def test_a_key_in_the_place_of_its_name_is_not_shown(scheme: str, tmp_path: Path) -> None:
    """Whoever pasted a key into the settings does not find it in the log of a CI job."""
    spec = f"{scheme}-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n"
    for read in (
        lambda: load(spec, root=tmp_path, environ={}, ask=None),
        lambda: public_keys([spec], root=tmp_path, environ={}),
    ):
        with pytest.raises(KeyRefused, match="where its name belongs") as caught:
            read()
        assert "MC4C" not in caught.value.message + caught.value.hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The error names the path, when the key is named and not later."""
    with pytest.raises(KeyRefused, match=r"none\.key cannot be read") as caught:
        from_file(tmp_path / "none.key")
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"garbage", b"\0" * 100])
def test_an_unreadable_file_is_refused(data: bytes, tmp_path: Path) -> None:
    """An empty or foreign file is refused when it is loaded."""
    (tmp_path / "bad.key").write_bytes(data)
    with pytest.raises(KeyRefused):
        from_file(tmp_path / "bad.key")


def test_a_public_key_is_refused_where_a_private_one_is_needed(tmp_path: Path) -> None:
    """The mix-up is named, with the file to take."""
    (tmp_path / "cosign.pub").write_bytes(cheap_pair(b"")[1])
    with pytest.raises(KeyRefused, match="is a public key") as caught:
        from_file(tmp_path / "cosign.pub")
    assert "cosign.key" in caught.value.hint


def test_a_foreign_public_file_is_refused(tmp_path: Path) -> None:
    """When the file beside the key is another key's, nothing is signed."""
    (tmp_path / "cosign.key").write_bytes(cheap_pair(b"")[0])
    (tmp_path / "cosign.pub").write_bytes(cheap_pair(b"", 1)[1])
    with pytest.raises(KeyRefused, match="not the private half"):
        from_file(tmp_path / "cosign.key", {"COSIGN_PASSWORD": ""}).sign(b"data")


def test_the_mark_of_the_private_file_counts(tmp_path: Path) -> None:
    """A development key whose public half lost its mark is still a development key."""
    private, public = make_pair(b"", development=True)
    (tmp_path / "cosign.key").write_bytes(private)
    (tmp_path / "cosign.pub").write_bytes(public.replace(MARK.encode(), b""))
    assert from_file(tmp_path / "cosign.key").development


def test_the_development_key_is_made_once(tmp_path: Path) -> None:
    """The first use makes a key, later ones find it."""
    first, second = development_key(tmp_path / "keys"), development_key(tmp_path / "keys")
    assert first.fingerprint == second.fingerprint
    assert first.development
    assert second.sign(b"data") == first.sign(b"data")
    works(first)


def test_the_development_key_is_its_owners(tmp_path: Path) -> None:
    """The folder and the private half are closed to others, whatever the umask and an older mode."""
    (tmp_path / "keys").mkdir(mode=0o755)
    development_key(tmp_path / "keys")
    modes = {
        name: stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode)
        for name in (".", keys.PRIVATE_FILE)
    }
    assert modes == {".": 0o700, keys.PRIVATE_FILE: 0o600}


def test_both_files_of_the_development_key_are_marked(tmp_path: Path) -> None:
    """Whoever gets a copy of either file can see what it is."""
    development_key(tmp_path)
    for name in (keys.PRIVATE_FILE, keys.PUBLIC_FILE):
        assert (tmp_path / name).read_text().startswith(MARK)
    (copied,) = public_keys([keys.PUBLIC_FILE], root=tmp_path)
    assert copied.development


def test_a_key_in_the_folder_is_a_development_key(tmp_path: Path) -> None:
    """Taking the mark off the files does not make the key another one."""
    development_key(tmp_path)
    for name in (keys.PRIVATE_FILE, keys.PUBLIC_FILE):
        path = tmp_path / name
        path.write_text(path.read_text().replace(MARK, ""))
    assert development_key(tmp_path).development


def test_an_interrupted_first_use_goes_on(tmp_path: Path) -> None:
    """When a run was ended between the two files, the next one completes the same pair."""
    first = development_key(tmp_path)
    (tmp_path / keys.PUBLIC_FILE).unlink()
    second = development_key(tmp_path)
    assert second.fingerprint == first.fingerprint
    works(second)


def test_many_first_uses_at_once_make_one_key(tmp_path: Path) -> None:
    """Eight runs that start together all sign with one key."""
    found: list[str] = []
    start = threading.Barrier(8)

    def use() -> None:
        start.wait(60)
        found.append(development_key(tmp_path / "keys").fingerprint)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """A file in the folder's place is named."""
    (tmp_path / "keys").write_text("")
    with pytest.raises(StorageError, match="keys"):
        development_key(tmp_path / "keys")


def test_a_lost_private_half_is_named(tmp_path: Path) -> None:
    """With the private file gone the error names it."""
    development_key(tmp_path)
    (tmp_path / keys.PRIVATE_FILE).unlink()
    with pytest.raises(KeyRefused, match=keys.PRIVATE_FILE):
        development_key(tmp_path)


def test_public_keys_are_named_by_their_files(tmp_path: Path) -> None:
    """A trusted key is called like its file."""
    (tmp_path / "release.pub").write_bytes(cheap_pair(b"")[1])
    (found,) = public_keys(["release.pub"], root=tmp_path)
    assert found.name == "release"
    with pytest.raises(KeyRefused, match=r"none\.pub"):
        public_keys(["none.pub"], root=tmp_path)


def test_a_public_key_from_the_environment(tmp_path: Path) -> None:
    """`env://NAME` gives a public key, named by its variable; an unset one is an error, not no key."""
    environ = {"RELEASE_PUB": cheap_pair(b"")[1].decode()}
    (found,) = public_keys(["env://RELEASE_PUB"], root=tmp_path, environ=environ)
    assert found.name == "RELEASE_PUB"
    with pytest.raises(KeyRefused, match="RELEASE_PUB is not set"):
        public_keys(["env://RELEASE_PUB"], root=tmp_path, environ={})


def test_the_private_half_is_base64_of_cosigns_box(tmp_path: Path) -> None:
    """The file has the outer form that cosign writes."""
    development_key(tmp_path)
    text = (tmp_path / keys.PRIVATE_FILE).read_text()
    lines = text.splitlines()
    assert lines[1] == "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"
    assert base64.b64decode("".join(lines[2:-1])).startswith(b'{"cipher"')
