"""The database: one engine, its tables, and the question whether it answers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import current_app
from sqlalchemy import URL, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from todo.config import SettingsError, is_in_memory
from todo.models import Base, Task

WAIT_SECONDS = 10
"""How long a request waits for a lock or a free connection. Shorter than gunicorn's timeout."""


class Database:
    """The tasks' home. Connects at the first use; safe for threads, not to be forked in use."""

    def __init__(self, url: URL) -> None:
        """Prepare an engine for `url`. Raises `SettingsError` when its driver is missing."""
        try:
            self.engine = create_engine(url, **_engine_options(url))
        except (ImportError, NoSuchModuleError) as error:
            raise SettingsError(
                f"TODO_DATABASE_URL needs a driver that is not installed: {url.drivername}"
            ) from error
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


def current_database() -> Database:
    """Return the database of the app that handles this request."""
    database: Database = current_app.extensions["todo_database"]
    return database


def create_tables(engine: Engine) -> None:
    """Create what is missing; several processes may do so at the same moment.

    Raises the database's own error when the tables are still missing afterwards.
    """
    if engine.dialect.name == "sqlite":
        _let_readers_pass(engine)
    try:
        Base.metadata.create_all(engine)
    except DBAPIError:
        # Look, act, look again: between our look and our act another worker may have acted.
        if not inspect(engine).has_table(Task.__tablename__):
            raise


def _let_readers_pass(engine: Engine) -> None:
    """Turn the write-ahead log on, which halves the longest wait of four busy workers.

    The file remembers it. SQLite answers "locked" at once to all but one of those that turn it on
    at the same moment; they lose nothing, and whatever else is wrong the next statement meets too.
    """
    with suppress(OperationalError), engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))


def _engine_options(url: URL) -> dict[str, Any]:
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
    return {"pool_timeout": WAIT_SECONDS, "pool_pre_ping": True}
