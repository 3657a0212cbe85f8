"""Tables, sharing and turns."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, create_engine, inspect, make_url, select
from sqlalchemy.exc import OperationalError
from todo_person import Person

from todo.config import SettingsError
from todo.database import Database, _engine_options, create_tables
from todo.models import Base, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask import Flask


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield an engine on a new file."""
    engine = create_engine(f"sqlite:///{tmp_path}/todo.db")
    yield engine
    engine.dispose()


def run_at_once(work: Callable[[], None], count: int) -> None:
    """Run `work` in `count` threads that start together; raise the first failure."""
    barrier = threading.Barrier(count, timeout=60)
    failures: list[BaseException] = []

    def run() -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if failures:
        raise failures[0]


def test_making_the_app_opens_nothing(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    """No connection exists when gunicorn forks, so none is shared by two processes."""
    path = tmp_path / "todo.db"
    app = make_app(TODO_DATABASE_URL=f"sqlite:///{path}")
    assert not path.exists()
    assert app.extensions["todo_database"].engine.pool.checkedin() == 0


def test_a_file_outlives_the_app(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    """What one app stored, the next one on the same file lists."""
    url = f"sqlite:///{tmp_path}/todo.db"
    Person(make_app(TODO_DATABASE_URL=url).test_client()).add("kept")
    assert Person(make_app(TODO_DATABASE_URL=url).test_client()).titles() == ["kept"]


def test_tables_are_made_once(engine: Engine) -> None:
    """Making them again changes nothing."""
    create_tables(engine)
    create_tables(engine)
    assert inspect(engine).has_table("task")


def test_a_file_has_a_write_ahead_log(engine: Engine, tmp_path: Path) -> None:
    """Readers and a writer of one file do not wait for each other."""
    create_tables(engine)
    with closing(sqlite3.connect(tmp_path / "todo.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_losing_the_race_for_the_tables_is_fine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that finds the tables made between its look and its act goes on."""
    create = Base.metadata.create_all

    def create_blindly(bind: Engine) -> None:
        create(bind)
        create(bind, checkfirst=False)

    monkeypatch.setattr(Base.metadata, "create_all", create_blindly)
    create_tables(engine)
    assert inspect(engine).has_table("task")


def test_tables_that_cannot_be_made_are_an_error(tmp_path: Path) -> None:
    """A failure that leaves the table missing is not taken for a lost race."""
    path = tmp_path / "todo.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(OperationalError, match="readonly"):
        create_tables(engine)
    engine.dispose()


@pytest.mark.parametrize("where", ["memory", "file"])
def test_threads_lose_no_task(tmp_path: Path, where: str) -> None:
    """Threads that add and list at once on one database lose no insert to a rollback."""
    url = "sqlite://" if where == "memory" else f"sqlite:///{tmp_path}/todo.db"
    database = Database(make_url(url))

    def add_and_list() -> None:
        for _ in range(20):
            with database.session() as session, session.begin():
                session.add(Task(title="x"))
            with database.session() as session:
                session.scalars(select(Task)).all()

    run_at_once(add_and_list, 4)
    with database.session() as session:
        assert len(session.scalars(select(Task)).all()) == 80
    database.engine.dispose()


def test_workers_share_a_file(tmp_path: Path) -> None:
    """Engines of their own, as four workers have, make tables and add at the same moment."""
    url = make_url(f"sqlite:///{tmp_path}/todo.db")

    def work() -> None:
        database = Database(url)
        for _ in range(5):
            with database.session() as session, session.begin():
                session.add(Task(title="x"))
        database.engine.dispose()

    run_at_once(work, 4)
    database = Database(url)
    with database.session() as session:
        assert len(session.scalars(select(Task)).all()) == 20
    database.engine.dispose()


def test_a_server_is_asked_before_use() -> None:
    """A database behind a network is pinged before a pooled connection is used again."""
    options = _engine_options(make_url("postgresql+pg8000://user@host/todo"), None)
    assert options["pool_pre_ping"] is True


def test_a_process_takes_no_more_connections_than_it_has_threads() -> None:
    """Replicas times workers times this stay below a PostgreSQL's usual 100."""
    options = _engine_options(make_url("postgresql+pg8000://user@host/todo"), None)
    assert (options["pool_size"], options["max_overflow"]) == (4, 0)


def test_an_answer_of_the_server_is_not_awaited_for_ever() -> None:
    """Connecting and every answer have a time limit, shorter than gunicorn's."""
    options = _engine_options(make_url("postgresql+pg8000://user@host/todo"), None)
    assert 0 < options["connect_args"]["timeout"] < 15


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    """The start ends with the variable's name, not with an unchecked connection."""
    path = tmp_path / "ca.pem"
    for content in ("", "no certificate"):
        path.write_text(content)
        with pytest.raises(SettingsError, match="TODO_DATABASE_CA_FILE holds no certificates"):
            Database(make_url("postgresql+pg8000://user@host/todo"), ca_file=path)


def test_the_tables_are_looked_for_again_on_a_new_connection(tmp_path: Path) -> None:
    """A database that was replaced by an empty one gets its tables without a restart."""
    path = tmp_path / "todo.db"
    database = Database(make_url(f"sqlite:///{path}"))
    database.ping()
    database.engine.dispose()
    for file in tmp_path.iterdir():
        file.unlink()
    database.ping()  # the new connection is noticed here
    with database.session() as session:
        assert session.scalars(select(Task)).all() == []
    database.engine.dispose()


def test_the_password_is_read_at_every_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that was changed in its file counts for the next connection, without a restart."""
    path = tmp_path / "password"
    path.write_text("first\n")
    database = Database(make_url("postgresql+pg8000://user@host/todo"), password_file=path)
    seen: list[str] = []

    def refuse(*_args: object, **options: str) -> None:
        seen.append(options["password"])
        raise TimeoutError("no server in a unit test")

    monkeypatch.setattr(database.engine.dialect, "connect", refuse)
    for password in ("first", "second"):
        path.write_text(f"{password}\n")
        with pytest.raises(OperationalError, match="no server in a unit test"):
            database.ping()
    assert seen == ["first", "second"]


def test_a_password_that_vanished_is_an_outage(tmp_path: Path) -> None:
    """An unreadable file while the app runs is a 503 like a server that is down, and no defect."""
    path = tmp_path / "password"
    database = Database(make_url("postgresql+pg8000://user@host/todo"), password_file=path)
    with pytest.raises(OperationalError, match="reading the password"):
        database.ping()
