"""The database: one engine, its tables, and the question whether it answers."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import URL, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from todo import outage
from todo.config import CA_FILE, PASSWORD_FILE, SettingsError, is_in_memory, read_secret
from todo.models import Base, Task

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection

WAIT_SECONDS = 10
"""How long a request waits for a lock or a free connection. Shorter than gunicorn's timeout."""

CONNECTIONS = 4
"""Connections of one process: as many as it has threads. More would only use up the server's."""

_TURN = 7_066_111
"""Key of the lock that makes processes take turns at the tables; any number of our own will do."""


class Database:
    """The tasks' home. Connects at the first use; safe for threads, not to be forked in use."""

    def __init__(
        self, url: URL, *, password_file: Path | None = None, ca_file: Path | None = None
    ) -> None:
        """Prepare an engine for `url`. See `todo.config.Settings` for the files.

        Raises `SettingsError` when the driver is missing, or `ca_file` holds no certificates.
        """
        try:
            self.engine = create_engine(url, **_engine_options(url, ca_file))
        except (ImportError, NoSuchModuleError) as error:
            raise SettingsError(
                f"TODO_DATABASE_URL needs a driver that is not installed: {url.drivername}"
            ) from error
        outage.watch(self.engine)
        _connect_by(self.engine, password_file)
        # A new connection may lead to another server than the one whose tables were seen.
        event.listen(self.engine, "connect", self._forget_tables)
        self._sessions = sessionmaker(self.engine)
        self._has_tables = False

    def session(self) -> Session:
        """Return a session for one request. Raises what SQLAlchemy raises on first use."""
        self._need_tables()
        return self._sessions()

    def ping(self) -> None:
        """Ask the database one question. Raises a `SQLAlchemyError` when it does not answer."""
        self._need_tables()
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def _need_tables(self) -> None:
        if not self._has_tables:
            create_tables(self.engine)
            self._has_tables = True

    def _forget_tables(self, _connection: object, _record: object) -> None:
        self._has_tables = False


def current_database() -> Database:
    """Return the database of the app that handles this request."""
    database: Database = current_app.extensions["todo_database"]
    return database


def create_tables(engine: Engine) -> None:
    """Create what is missing; several processes may do so at the same moment.

    Raises the database's own error when the tables are still missing afterwards.
    """
    if engine.dialect.name == "postgresql":
        _create_in_turn(engine)
        return
    if engine.dialect.name == "sqlite":
        _let_readers_pass(engine)
    try:
        Base.metadata.create_all(engine)
    except DBAPIError:
        # Look, act, look again: between our look and our act another worker may have acted.
        if not inspect(engine).has_table(Task.__tablename__):
            raise


def _create_in_turn(engine: Engine) -> None:
    """Create what is missing while no other process does, on whatever machine it runs.

    Without turns the losers would work too, but leave errors in the server's log at each start.
    """
    if inspect(engine).has_table(Task.__tablename__):
        return
    with engine.begin() as connection:
        # Given back by the server when the transaction ends, also when this process is killed.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURN})
        Base.metadata.create_all(connection)


def _connect_by(engine: Engine, password_file: Path | None) -> None:
    """Let `engine` connect with the password that is in the file now, and name what may fail there."""

    @event.listens_for(engine, "do_connect")
    def _connect(
        dialect: Dialect, _record: object, args: tuple[Any, ...], options: dict[str, Any]
    ) -> DBAPIConnection:
        if password_file is not None:
            try:
                options["password"] = read_secret(password_file, PASSWORD_FILE)
            except SettingsError as error:
                # It was readable at the start. Until it is again the database cannot be reached.
                raise OperationalError("reading the password", None, error) from error
        try:
            return dialect.connect(*args, **options)
        except OSError as error:
            # A certificate that does not fit, or silence after the first byte: the driver passes them on raw.
            raise OperationalError("connecting", None, error) from error


def _let_readers_pass(engine: Engine) -> None:
    """Turn the write-ahead log on, which halves the longest wait of four busy workers.

    The file remembers it. SQLite answers "locked" at once to all but one of those that turn it on
    at the same moment; they lose nothing, and whatever else is wrong the next statement meets too.
    """
    with suppress(OperationalError), engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))


def _engine_options(url: URL, ca_file: Path | None) -> dict[str, Any]:
    """Return the keyword arguments of `create_engine` that suit the kind of database."""
    if is_in_memory(url):
        # One connection is the whole database. Threads take turns on it: on a connection that
        # they used at once (StaticPool) one thread's end of request would roll back the other's
        # insert. It is never checked, recycled or replaced, since a new one would be empty.
        return {
            "poolclass": QueuePool,
            "pool_size": 1,
            "max_overflow": 0,
            "pool_timeout": WAIT_SECONDS,
            "connect_args": {"check_same_thread": False},
        }
    if url.get_backend_name() == "sqlite":
        # Every transaction here is one statement, so waiting for the lock is enough: nobody
        # holds a read lock while asking for a write lock.
        return {"pool_timeout": WAIT_SECONDS, "connect_args": {"timeout": WAIT_SECONDS}}
    return {
        "pool_size": CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": WAIT_SECONDS,
        "pool_pre_ping": True,
        "connect_args": _connect_options(url, ca_file),
    }


def _connect_options(url: URL, ca_file: Path | None) -> dict[str, Any]:
    """Return what the PostgreSQL driver is told; nothing for another one, which has other words."""
    if url.get_driver_name() != "pg8000":
        return {}
    # The time limit holds for every answer of the server, so none that vanished stops a request.
    options: dict[str, Any] = {"timeout": WAIT_SECONDS, "application_name": "todo"}
    if ca_file is not None:
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{CA_FILE} holds no certificates: {ca_file}: {error}") from error
    return options
