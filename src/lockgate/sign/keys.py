"""Keys by the name that settings give them: a file, a variable, a Kubernetes Secret, a plug-in, or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lockgate.base.errors import KeyRefused
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.sign import pem, plugin
from lockgate.sign.local import PASSWORD, LocalSigner, make_pair, private_key, public_half
from lockgate.sign.public_key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ENVIRONMENT, KUBERNETES = "env://", "k8s://"

PRIVATE_FILE, PUBLIC_FILE = "cosign.key", "cosign.pub"


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
        """Return the signature over `data`, by the algorithm of `public_key`."""
        ...


def load(
    spec: str,
    *,
    root: Path,
    environ: Mapping[str, str],
    ask: Callable[[str], str] | None,
) -> Signer:
    """Return the signer that a setting names. Nothing is opened yet.

    Args:
        spec: path of a private key, absolute or relative to `root`; `env://NAME`, whose variable holds the
            key in PEM form; `k8s://namespace/name`, a Secret as cosign makes it; or `NAME://…` of a plug-in.
        root: the folder of `lockgate.yaml`.
        environ: the process's environment; `COSIGN_PASSWORD` is the password when it is set.
        ask: asks a person for a password; None without a terminal.

    Raises:
        KeyRefused: the file or the variable is not there, or the plug-in is not.
        UsageError, ToolMissing, CommandFailed: the Secret cannot be read.
    """
    _check_is_name(spec)

    def password() -> bytes:
        if PASSWORD in environ:
            return _bytes(environ[PASSWORD])
        if ask is None:
            raise KeyRefused(
                f"key {spec} has a password, and there is no terminal to ask for it",
                hint=f"set `{PASSWORD}`",
            )
        return ask(f"password of {spec}: ").encode()

    name, what = _name(spec), f"private key {spec}"
    if spec.startswith(ENVIRONMENT):
        block = pem.parse(_variable(spec, environ), what=what)
        return LocalSigner(block, what=what, name=name, password=password)
    if spec.startswith(KUBERNETES):
        return _from_secret(spec, environ, password)
    if plugin.matches(spec):
        return plugin.load(spec)
    path = root / spec
    beside = path.with_suffix(".pub")
    public = None
    if path.suffix == ".key" and beside.is_file():
        public = PublicKey.parse(_read(beside), name=name)
    block = pem.parse(_read(path), what=what)
    return LocalSigner(block, what=what, name=name, password=password, public=public)


def _from_secret(
    spec: str, environ: Mapping[str, str], password: Callable[[], bytes]
) -> LocalSigner:
    from lockgate.sign import kubectl

    fields = kubectl.secret(spec, environ=environ)
    name, what = _name(spec), f"private key {spec}"
    kept = fields.get(kubectl.PASSWORD)
    half = fields.get(kubectl.PUBLIC)
    return LocalSigner(
        pem.parse(kubectl.field(fields, kubectl.PRIVATE, spec), what=what),
        what=what,
        name=name,
        password=password if kept is None else lambda: kept,
        public=None if half is None else PublicKey.parse(half, name=name),
    )


def has_development_key(folder: Path) -> bool:
    """Return whether `development_key` would make none, since the pair is there."""
    # The public file is written last: where it is, the pair is complete.
    return (folder / PUBLIC_FILE).is_file()


def development_key(folder: Path) -> Signer:
    """Return the development key of this machine, made on first use.

    The folder is its owner's alone, the private file too, and both files carry `MARK`. The password is empty,
    so scrypt protects nothing here and its cheapest known parameters are taken.

    Raises:
        StorageError: the folder cannot be written.
        KeyRefused: the files are there and damaged.
    """
    private, public = folder / PRIVATE_FILE, folder / PUBLIC_FILE
    if not has_development_key(folder):
        _make_folder(folder)
        with exclusive(folder / ".lock"):
            if not has_development_key(folder):
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
        key = private_key(pem.parse(_read(private), what=what), what, lambda: b"")
        half = public_half(key, "development", development=True)
        atomic_write(public, half.pem())
        return
    sealed, open_half = make_pair(b"", development=True)
    atomic_write(private, sealed, mode=0o600)
    atomic_write(public, open_half)


def public_keys(
    specs: Sequence[str], *, root: Path, environ: Mapping[str, str] = os.environ
) -> tuple[PublicKey, ...]:
    """Return public keys, each named by its file, variable or Secret.

    Args:
        specs: paths, absolute or relative to `root`; or `env://NAME`, `k8s://namespace/name`, `NAME://…` of a
            plug-in, as for `load`.
        root: the folder of `lockgate.yaml`.
        environ: the process's environment.

    Raises:
        KeyRefused: one is not there or is not a public key.
        UsageError, ToolMissing, CommandFailed: a Secret cannot be read.
    """
    return tuple(_public_key(one, root, environ) for one in specs)


def _public_key(spec: str, root: Path, environ: Mapping[str, str]) -> PublicKey:
    _check_is_name(spec)
    name = _name(spec)
    if spec.startswith(ENVIRONMENT):
        return PublicKey.parse(_variable(spec, environ), name=name)
    if spec.startswith(KUBERNETES):
        from lockgate.sign import kubectl

        fields = kubectl.secret(spec, environ=environ)
        return PublicKey.parse(kubectl.field(fields, kubectl.PUBLIC, spec), name=name)
    if plugin.matches(spec):
        return plugin.load(spec).public_key()
    hint = "check the path: `public_keys` in `lockgate.yaml`, or `--key`"
    return PublicKey.parse(_read(root / spec, hint=hint), name=name)


def _check_is_name(spec: str) -> None:
    if "-----BEGIN" in spec:
        # Every other error would repeat it, and so print it into the log of a CI job.
        raise KeyRefused(
            "a key itself stands where its name belongs",
            hint="write it into a file, or a variable that `env://NAME` names; one that was in "
            "`lockgate.yaml` is no secret any more",
        )


def _name(spec: str) -> str:
    """Return what people call a key: `release` for `keys/release.pub` and for `k8s://prod/release`."""
    return spec.removeprefix(ENVIRONMENT) if spec.startswith(ENVIRONMENT) else Path(spec).stem


def _variable(spec: str, environ: Mapping[str, str]) -> bytes:
    name = spec.removeprefix(ENVIRONMENT)
    if not environ.get(name):
        raise KeyRefused(
            f"the environment variable {name} is not set, and the key should be in it",
            hint=f"set `{name}` to the key in PEM form",
        )
    return _bytes(environ[name])


def _read(path: Path, *, hint: str = "check `key` in `lockgate.yaml`") -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(pem.MAX_BYTES + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise KeyRefused(f"key {path} cannot be read: {reason}", hint=hint) from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
