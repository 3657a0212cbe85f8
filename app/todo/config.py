"""Settings: the environment, read once into a frozen value.

| variable | meaning | when absent |
|---|---|---|
| `TODO_DATABASE_URL` | SQLAlchemy URL of the database | SQLite in memory |
| `TODO_DATABASE_PASSWORD_FILE` | a file that holds the database's password | the URL's, or none |
| `TODO_DATABASE_CA_FILE` | certificate authorities that PostgreSQL's certificate is checked with | not checked |
| `TODO_SECRET_KEY` | signs the session cookie and the form tokens | see the next row |
| `TODO_SECRET_KEY_FILE` | a file that holds that key | a random key |
| `LOCKGATE_IMAGE_DIGEST` | digest of the image that runs | null in `/version` |
| `LOCKGATE_REVISION` | commit that the image was built from | null in `/version` |
| `HOST`, `PORT` | where gunicorn listens | 0.0.0.0, 8080 |
| `WEB_CONCURRENCY` | gunicorn's worker processes | 4, but 1 with a list in memory |

A variable that is set to nothing counts as absent, except the key: an empty key is refused.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_MEMORY_URL = "sqlite://"
DRIVER = "postgresql+pg8000"
"""What `postgresql://` stands for; SQLAlchemy would take a driver that is not in the image."""

KEY = "TODO_SECRET_KEY"
KEY_FILE = "TODO_SECRET_KEY_FILE"
PASSWORD_FILE = "TODO_DATABASE_PASSWORD_FILE"  # noqa: S105 - a variable's name
CA_FILE = "TODO_DATABASE_CA_FILE"


class SettingsError(ValueError):
    """A setting cannot be used. The message names the variable and says what would do."""


@dataclass(frozen=True)
class Settings:
    """What the app needs to know of its surroundings."""

    database_url: URL
    """Where the tasks are kept."""

    password_file: Path | None
    """Holds the database's password. It is read at every connection: a new one needs no restart."""

    ca_file: Path | None
    """PEM certificates; with them the connection is encrypted and the server's name checked."""

    secret_key: str = field(repr=False)
    """Never empty. Out of the repr, so that no log shows it."""

    image_digest: str | None
    """`sha256:` and 64 hexadecimal digits, as the deployer gave it."""

    revision: str | None
    """Commit id, as the deployer gave it."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`.

    Raises `SettingsError` for a database URL that does not parse, for files that do not fit the
    database, and for a key or password that is empty, given twice, or in a file that cannot be
    read. A random key differs with every call: processes
    that share one must fork after it.
    """
    url = database_url(environ)
    return Settings(
        database_url=url,
        password_file=_password_file(environ, url),
        ca_file=_ca_file(environ, url),
        secret_key=_given_key(environ) or secrets.token_urlsafe(32),
        image_digest=environ.get("LOCKGATE_IMAGE_DIGEST") or None,
        revision=environ.get("LOCKGATE_REVISION") or None,
    )


def database_url(environ: Mapping[str, str]) -> URL:
    """Return the database's URL, with the driver that the image has for PostgreSQL.

    Raises `SettingsError` when it does not parse.
    """
    try:
        url = make_url(environ.get("TODO_DATABASE_URL") or IN_MEMORY_URL)
    except (ArgumentError, ValueError) as error:
        # The text itself stays out of the message: it may hold a password.
        raise SettingsError(
            "TODO_DATABASE_URL is not a database URL; `sqlite:////tmp/todo.db` is one"
        ) from error
    return url.set(drivername=DRIVER) if url.drivername == "postgresql" else url


def is_in_memory(url: URL) -> bool:
    """Say whether the tasks live inside one process and so allow one worker only."""
    return url.get_backend_name() == "sqlite" and (
        url.database in (None, "", ":memory:")
        or str(url.database).startswith("file::memory:")
        or url.query.get("mode") == "memory"
    )


def listen_address(environ: Mapping[str, str]) -> str:
    """Return `host:port` for gunicorn. Raises `SettingsError` for a port that is none."""
    # All interfaces: in a container the port must be reachable from outside of it.
    host = environ.get("HOST") or "0.0.0.0"  # noqa: S104  # nosec B104
    port = environ.get("PORT") or "8080"
    if not (port.isascii() and port.isdigit() and 0 <= int(port) <= 65535):
        raise SettingsError(f"PORT is {port!r}; it must be a number from 0 to 65535")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def worker_count(environ: Mapping[str, str]) -> int:
    """Return how many processes gunicorn starts. Raises `SettingsError` for a number that is none."""
    if is_in_memory(database_url(environ)):
        # A database in memory belongs to one process; a second worker would show another list.
        return 1
    given = environ.get("WEB_CONCURRENCY") or "4"
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 64):
        raise SettingsError(f"WEB_CONCURRENCY is {given!r}; it must be a number from 1 to 64")
    return int(given)


def read_secret(path: Path, name: str) -> str:
    """Return a file's text without the blanks around it.

    Raises `SettingsError`, which names the variable `name`, when there is none to be read.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} cannot be read: {path}: {error}") from error
    if not text:
        raise SettingsError(f"{name} names a file that is empty")
    return text


def _password_file(environ: Mapping[str, str], url: URL) -> Path | None:
    """Return the file of the password, once it is sure that there is a password in it."""
    given = environ.get(PASSWORD_FILE)
    if not given:
        return None
    if url.get_backend_name() == "sqlite":
        raise SettingsError(f"{PASSWORD_FILE} is set, and SQLite asks for no password; unset it")
    if url.password is not None:
        raise SettingsError(f"{PASSWORD_FILE} is set, and TODO_DATABASE_URL has a password too")
    read_secret(Path(given), PASSWORD_FILE)
    return Path(given)


def _ca_file(environ: Mapping[str, str], url: URL) -> Path | None:
    """Return the file of the certificate authorities; whether they are some is seen at the start."""
    given = environ.get(CA_FILE)
    if not given:
        return None
    if url.drivername != DRIVER:
        # Ignored, it would leave someone in the belief that the connection is checked.
        raise SettingsError(f"{CA_FILE} is set, and only PostgreSQL's certificate can be checked")
    return Path(given)


def _given_key(environ: Mapping[str, str]) -> str | None:
    """Return the key that the environment gives, or None when it gives none."""
    path = environ.get(KEY_FILE)
    if KEY in environ and path:
        raise SettingsError(f"{KEY} and {KEY_FILE} are both set; unset one")
    if path:
        return read_secret(Path(path), KEY_FILE)
    if KEY not in environ:
        return None
    key = environ[KEY].strip()
    if not key:
        raise SettingsError(f"{KEY} is empty; give a random key, or unset it for a new one")
    return key
