"""Private keys: from a file, from the environment, or made for development.

A key is opened when something is signed, and not before: what is signed already is recognised by the public
half alone, without the 100 ms that opening an encrypted key takes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lockgate.base.errors import KeyRefused
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.sign import keybox, pem
from lockgate.sign.public_key import MARK, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ENVIRONMENT = "env://"
PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the name of a variable

PRIVATE_FILE, PUBLIC_FILE = "cosign.key", "cosign.pub"

_PLAIN = "PRIVATE KEY"
"""Label of unencrypted PKCS#8 (RFC 5958)."""


class Signer(Protocol):
    """Signs bytes with one key."""

    @property
    def development(self) -> bool:
        """True for a development key."""
        ...

    @property
    def fingerprint(self) -> str:
        """The sha256 of the public key's DER form, in hexadecimal."""
        ...

    def public_key(self) -> PublicKey:
        """Return the public half."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`: ECDSA with SHA-256, DER, the same for the same bytes."""
        ...


class LocalSigner:
    """A private key in this process. It is opened, and its password asked for, when it is needed."""

    def __init__(
        self,
        block: pem.Pem,
        *,
        what: str,
        name: str,
        password: Callable[[], bytes],
        public: PublicKey | None = None,
    ) -> None:
        _check_label(block, what)
        self._block, self._what, self._name = block, what, name
        self._password = password
        self._public = public
        self._private: EllipticCurvePrivateKey | None = None

    @property
    def development(self) -> bool:
        """True for a development key: either of its files says so."""
        return MARK in self._block.preamble or self.public_key().development

    @property
    def fingerprint(self) -> str:
        """The sha256 of the public key's DER form, in hexadecimal."""
        return self.public_key().fingerprint

    def public_key(self) -> PublicKey:
        """Return the public half; opens the private key when there was no public file.

        Raises:
            KeyRefused: the key cannot be opened.
        """
        return self._public or self._half(self._open())

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`; RFC 6979 makes it the same each time.

        Raises:
            KeyRefused: the key cannot be opened, or is not that of its public file.
        """
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._open().sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))

    def _open(self) -> EllipticCurvePrivateKey:
        if self._private is None:
            private = _private_key(self._block, self._what, self._password)
            public = self._half(private)
            if self._public is not None and self._public.spki != public.spki:
                raise KeyRefused(
                    f"{self._what} is not the private half of the public key beside it "
                    f"({self._public.short})",
                    hint="remove the public file, or write it again: `cosign public-key --key …`",
                )
            self._private, self._public = private, public
        return self._private

    def _half(self, private: EllipticCurvePrivateKey) -> PublicKey:
        return _public_half(private, self._name, development=MARK in self._block.preamble)


def load(
    spec: str,
    *,
    root: Path,
    environ: Mapping[str, str],
    ask: Callable[[str], str] | None,
) -> Signer:
    """Return the signer that a setting names. Nothing is opened yet.

    Args:
        spec: path of a private key, absolute or relative to `root`; or `env://NAME`, whose variable holds
            the key in PEM form.
        root: the folder of `lockgate.yaml`.
        environ: the process's environment; `COSIGN_PASSWORD` is the password when it is set.
        ask: asks a person for a password; None without a terminal.

    Raises:
        KeyRefused: the file or the variable is not there.
    """

    def password() -> bytes:
        if PASSWORD in environ:
            return _bytes(environ[PASSWORD])
        if ask is None:
            raise KeyRefused(
                f"key {spec} has a password, and there is no terminal to ask for it",
                hint=f"set `{PASSWORD}`",
            )
        return ask(f"password of {spec}: ").encode()

    if spec.startswith(ENVIRONMENT):
        name = spec.removeprefix(ENVIRONMENT)
        if not environ.get(name):
            raise KeyRefused(
                f"the environment variable {name} is not set, and the key should be in it",
                hint=f"set `{name}` to the key in PEM form",
            )
        what = f"private key {spec}"
        block = pem.parse(_bytes(environ[name]), what=what)
        return LocalSigner(block, what=what, name=name, password=password)
    path, what = root / spec, f"private key {spec}"
    beside = path.with_suffix(".pub")
    public = None
    if path.suffix == ".key" and beside.is_file():
        public = PublicKey.parse(_read(beside), name=path.stem)
    block = pem.parse(_read(path), what=what)
    return LocalSigner(block, what=what, name=path.stem, password=password, public=public)


def development_key(folder: Path) -> Signer:
    """Return the development key of this machine, made on first use.

    The folder is its owner's alone, the private file too, and both files carry `MARK`. The password is empty,
    so scrypt protects nothing here and its cheapest known parameters are taken.

    Raises:
        StorageError: the folder cannot be written.
        KeyRefused: the files are there and damaged.
    """
    private, public = folder / PRIVATE_FILE, folder / PUBLIC_FILE
    # The public file is written last: where it is, the pair is complete.
    if not public.is_file():
        _make_folder(folder)
        with exclusive(folder / ".lock"):
            if not public.is_file():
                _make_development_pair(private, public)
    found = PublicKey.parse(_read(public), name="development")
    what = f"development key {private}"
    return LocalSigner(
        pem.parse(_read(private), what=what),
        what=what,
        name="development",
        password=lambda: b"",
        # Whatever the file says: a key in this folder is a development key.
        public=PublicKey(found.spki, found.name, development=True),
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise storage_error(error, folder) from error


def _make_development_pair(private: Path, public: Path) -> None:
    if private.is_file():
        # An earlier run was ended between the two files.
        what = f"development key {private}"
        key = _private_key(pem.parse(_read(private), what=what), what, lambda: b"")
        half = _public_half(key, "development", development=True)
        atomic_write(public, half.pem())
        return
    sealed, open_half = make_pair(b"", development=True)
    atomic_write(private, sealed, mode=0o600)
    atomic_write(public, open_half)


def make_pair(password: bytes, *, development: bool = False) -> tuple[bytes, bytes]:
    """Return a new key pair in PEM form: the private half, encrypted as cosign does, and the public one."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    cost = keybox.LEGACY if development else keybox.STANDARD
    box = keybox.seal(pkcs8, password, cost)
    sealed = pem.write(keybox.LABEL, box, preamble=MARK if development else "")
    return sealed, _public_half(key, "new", development=development).pem()


def public_keys(paths: Sequence[str], *, root: Path) -> tuple[PublicKey, ...]:
    """Return the public keys in files, each named by its file.

    Raises:
        KeyRefused: a file is not there or is not a public key.
    """
    return tuple(PublicKey.parse(_read(root / one), name=Path(one).stem) for one in paths)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(pem.MAX_BYTES + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise KeyRefused(
            f"key {path} cannot be read: {reason}", hint="check `key` in `lockgate.yaml`"
        ) from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _check_label(block: pem.Pem, what: str) -> None:
    if block.label == "PUBLIC KEY":
        raise KeyRefused(
            f"{what} is a public key where the private one is needed",
            hint="name the file with the private half, usually `cosign.key`",
        )
    if block.label not in (keybox.LABEL, keybox.OLD_LABEL, _PLAIN):
        raise KeyRefused(
            f"{what} holds a block {block.label!r}, which is not read here",
            hint="bring it into cosign's form with `cosign import-key-pair --key …`",
        )


def _private_key(
    block: pem.Pem, what: str, password: Callable[[], bytes]
) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if block.label == _PLAIN:
        pkcs8 = block.body
    else:
        pkcs8 = keybox.unseal(block.body, password(), what=what)
    try:
        key = load_der_private_key(pkcs8, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused(f"{what} is damaged", hint="restore the key file from a copy") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise KeyRefused(
            f"{what} is not an ECDSA key on P-256 but {kind}",
            hint="make one with `cosign generate-key-pair`",
        )
    return key


def _public_half(key: EllipticCurvePrivateKey, name: str, *, development: bool) -> PublicKey:
    from cryptography.hazmat.primitives import serialization as form

    spki = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(spki, name, development)
