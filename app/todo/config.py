"""Settings: the environment, read once into a frozen value.

| variable | meaning | when absent |
|---|---|---|
| `TODO_DATABASE_URL` | SQLAlchemy URL of the database | SQLite in memory |
| `TODO_SECRET_KEY` | signs the session cookie and the form tokens | see the next row |
| `TODO_SECRET_KEY_FILE` | a file that holds that key | a random key |
| `LOCKGATE_IMAGE_DIGEST` | digest of the image that runs | null in `/version` |
| `LOCKGATE_REVISION` | commit that the image was built from | null in `/version` |
| `HOST`, `PORT` | where gunicorn listens | 0.0.0.0, 8080 |

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
KEY = "TODO_SECRET_KEY"
KEY_FILE = "TODO_SECRET_KEY_FILE"


class SettingsError(ValueError):
    """A setting cannot be used. The message names the variable and says what would do."""


@dataclass(frozen=True)
class Settings:
    """What the app needs to know of its surroundings."""

    database_url: URL
    """Where the tasks are kept."""

    secret_key: str = field(repr=False)
    """Never empty. Out of the repr, so that no log shows it."""

    image_digest: str | None
    """`sha256:` and 64 hexadecimal digits, as the deployer gave it."""

    revision: str | None
    """Commit id, as the deployer gave it."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`.

    Raises `SettingsError` for a database URL that does not parse and for a key that is empty,
    given twice, or in a file that cannot be read. A random key differs with every call: processes
    that share one must fork after it.
    """
    return Settings(
        database_url=database_url(environ),
        secret_key=_given_key(environ) or secrets.token_urlsafe(32),
        image_digest=environ.get("LOCKGATE_IMAGE_DIGEST") or None,
        revision=environ.get("LOCKGATE_REVISION") or None,
    )


def database_url(environ: Mapping[str, str]) -> URL:
    """Return the database's URL. Raises `SettingsError` when it does not parse."""
    try:
        return make_url(environ.get("TODO_DATABASE_URL") or IN_MEMORY_URL)
    except (ArgumentError, ValueError) as error:
        # The text itself stays out of the message: it may hold a password.
        raise SettingsError(
            "TODO_DATABASE_URL is not a database URL; `sqlite:////tmp/todo.db` is one"
        ) from error


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


def _given_key(environ: Mapping[str, str]) -> str | None:
    """Return the key that the environment gives, or None when it gives none."""
    path = environ.get(KEY_FILE)
    if KEY in environ and path:
        raise SettingsError(f"{KEY} and {KEY_FILE} are both set; unset one")
    if path:
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{KEY_FILE} cannot be read: {path}: {error}") from error
        source = f"{KEY_FILE} names a file that"
    else:
        if KEY not in environ:
            return None
        key = environ[KEY].strip()
        source = KEY
    if not key:
        raise SettingsError(f"{source} is empty; give a random key, or unset it for a new one")
    return key
