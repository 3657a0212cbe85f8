"""Settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from todo import create_app
from todo.config import (
    SettingsError,
    database_url,
    is_in_memory,
    listen_address,
    load_settings,
    worker_count,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_set_is_enough() -> None:
    """Without settings the list is in memory and nothing is known of the image."""
    settings = load_settings({})
    assert is_in_memory(settings.database_url)
    assert (settings.image_digest, settings.revision) == (None, None)


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`create_app()` without settings reads the environment."""
    monkeypatch.setenv("TODO_SECRET_KEY", "from the environment")
    assert create_app().config["SECRET_KEY"] == "from the environment"


def test_the_default_key_is_random() -> None:
    """There is no constant default: each start has its own key, of at least 32 bytes."""
    first, second = (load_settings({}).secret_key for _ in range(2))
    assert first != second
    assert len(first) >= 43


def test_the_key_can_stand_in_a_file(tmp_path: Path) -> None:
    """The file's content is the key, without the line break at its end."""
    path = tmp_path / "key"
    path.write_text("from a file\n")
    assert load_settings({"TODO_SECRET_KEY_FILE": str(path)}).secret_key == "from a file"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_useless_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty or unreadable file does not become a random or empty key."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="TODO_SECRET_KEY_FILE"):
        load_settings({"TODO_SECRET_KEY_FILE": str(path)})


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(SettingsError, match=r"cannot be read: .*absent"):
        load_settings({"TODO_SECRET_KEY_FILE": str(tmp_path / "absent")})


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_refused(key: str) -> None:
    """A key that is set to nothing is a mistake, not a wish for a random one."""
    with pytest.raises(SettingsError, match="TODO_SECRET_KEY is empty"):
        load_settings({"TODO_SECRET_KEY": key})


def test_two_keys_are_refused(tmp_path: Path) -> None:
    """Which of the two would win is not left to chance."""
    with pytest.raises(SettingsError, match="both set"):
        load_settings({"TODO_SECRET_KEY": "a", "TODO_SECRET_KEY_FILE": str(tmp_path / "key")})


def test_the_key_is_not_in_the_repr() -> None:
    """A log of the settings does not hold the key."""
    assert "hidden" not in repr(load_settings({"TODO_SECRET_KEY": "hidden"}))


@pytest.mark.parametrize("url", ["not a url", "postgresql://user:secret@host:port/db"])
def test_a_bad_database_url_is_refused(url: str) -> None:
    """The message names the variable and holds nothing of the text, which may be a password."""
    with pytest.raises(SettingsError, match="TODO_DATABASE_URL") as caught:
        database_url({"TODO_DATABASE_URL": url})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql+absent://host/db", "unheard://host/db"])
def test_a_missing_driver_is_refused(url: str) -> None:
    """A database whose driver is not in the image is refused at the start, by its name."""
    with pytest.raises(SettingsError, match="driver that is not installed"):
        create_app({"TODO_DATABASE_URL": url})


def test_postgresql_has_the_driver_of_the_image() -> None:
    """`postgresql://` needs no driver's name, and one that is named is kept."""
    for given, driver in (("postgresql", "postgresql+pg8000"), ("postgresql+x", "postgresql+x")):
        found = database_url({"TODO_DATABASE_URL": f"{given}://user@host/todo"})
        assert found.drivername == driver


def password(path: Path, url: str = "postgresql://user@host/todo") -> dict[str, str]:
    """Return the settings of a database whose password is in a file."""
    return {"TODO_DATABASE_URL": url, "TODO_DATABASE_PASSWORD_FILE": str(path)}


def test_the_database_s_password_can_stand_in_a_file(tmp_path: Path) -> None:
    """The settings hold the file and not the password."""
    path = tmp_path / "password"
    path.write_text("hidden\n")
    settings = load_settings(password(path))
    assert settings.password_file == path
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_useless_password_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """An absent, empty or unreadable file is seen at the start."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="TODO_DATABASE_PASSWORD_FILE"):
        load_settings(password(path))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:////tmp/todo.db", "postgresql://user:known@host/todo"]
)
def test_a_password_file_that_would_not_count_is_refused(tmp_path: Path, url: str) -> None:
    """With SQLite, or beside a password in the URL, nobody could tell which one holds."""
    path = tmp_path / "password"
    path.write_text("hidden")
    with pytest.raises(SettingsError, match="TODO_DATABASE_PASSWORD_FILE is set") as caught:
        load_settings(password(path, url))
    assert "known" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+x://user@host/todo"])
def test_authorities_that_would_not_count_are_refused(url: str) -> None:
    """Nobody is left in the belief that a connection is checked which is not."""
    with pytest.raises(SettingsError, match="TODO_DATABASE_CA_FILE is set"):
        load_settings({"TODO_DATABASE_URL": url, "TODO_DATABASE_CA_FILE": "/ca.pem"})


def test_authorities_for_postgresql_are_taken() -> None:
    """The path is kept; the start reads it."""
    url = "postgresql://user@host/todo"
    given = {"TODO_DATABASE_URL": url, "TODO_DATABASE_CA_FILE": "/ca.pem"}
    assert str(load_settings(given).ca_file) == "/ca.pem"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, 1),
        ({"WEB_CONCURRENCY": "8"}, 1),
        ({"TODO_DATABASE_URL": "sqlite:////tmp/todo.db"}, 4),
        ({"TODO_DATABASE_URL": "sqlite:////tmp/todo.db", "WEB_CONCURRENCY": ""}, 4),
        ({"TODO_DATABASE_URL": "postgresql://user@host/todo", "WEB_CONCURRENCY": "2"}, 2),
    ],
)
def test_the_number_of_workers(environ: dict[str, str], expected: int) -> None:
    """Four, or what is asked for; one where the list is in memory, whatever is asked for."""
    assert worker_count(environ) == expected


@pytest.mark.parametrize("number", ["0", "65", "two", "-1", "1.5"])
def test_a_bad_number_of_workers_is_refused(number: str) -> None:
    """The message says what would do."""
    environ = {"TODO_DATABASE_URL": "sqlite:////tmp/todo.db", "WEB_CONCURRENCY": number}
    with pytest.raises(SettingsError, match="a number from 1 to 64"):
        worker_count(environ)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", True),
        ("sqlite:///:memory:", True),
        ("sqlite:///file::memory:?uri=true", True),
        ("sqlite:///file:todo?mode=memory&uri=true", True),
        ("sqlite:////tmp/todo.db", False),
        ("sqlite:///todo.db", False),
        ("postgresql://user@host/todo", False),
    ],
)
def test_in_memory_is_recognised(url: str, expected: bool) -> None:
    """Every spelling of SQLite in memory, and nothing else."""
    assert is_in_memory(make_url(url)) is expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "0.0.0.0:8080"),
        ({"HOST": "", "PORT": ""}, "0.0.0.0:8080"),
        ({"HOST": "127.0.0.1", "PORT": "9000"}, "127.0.0.1:9000"),
        ({"HOST": "::1"}, "[::1]:8080"),
    ],
)
def test_the_address_to_listen_on(environ: dict[str, str], expected: str) -> None:
    """Host and port have defaults, and an IPv6 host gets its brackets."""
    assert listen_address(environ) == expected


@pytest.mark.parametrize("port", ["http", "-1", "65536", "8080 ", "\u0663"])
def test_a_bad_port_is_refused(port: str) -> None:
    """The message says what a port is."""
    with pytest.raises(SettingsError, match="a number from 0 to 65535"):
        listen_address({"PORT": port})
