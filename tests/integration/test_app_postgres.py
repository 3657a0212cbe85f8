"""The Todo app on a real PostgreSQL: the image that `k8s/overlays/dev` runs, on a real engine."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.certificates import localhost
from tests.machine import free_port

from lockgate.oci.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from tests.engine import Engine
    from tests.integration.conftest import Repository

ROOT = Path(__file__).parents[2]
# With the root before it: both have a folder `tests`, and they become one package.
sys.path[:0] = [str(ROOT), str(ROOT / "app"), str(ROOT / "app" / "tests")]

# The driver leaves the socket of a connection that failed half-way to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

SECONDS = 180
"""How long the server may take to start."""


class Server:
    """A PostgreSQL in a container."""

    def __init__(self, container: Any, port: int, password: Path) -> None:
        self.container = container.get_wrapped_container()
        self.port = port
        self.password = password

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement as the superuser, over the socket in the container."""
        argv = ["psql", "-h", "/tmp", "-U", "postgres", "-d", database, "-Atc", statement]
        code, output = self.container.exec_run(argv)
        assert code == 0, output.decode()
        return str(output.decode().strip())

    def wait(self) -> None:
        """Return when it answers over the network."""
        end = time.monotonic() + SECONDS
        argv = ["pg_isready", "--host=127.0.0.1", "--username=todo", "--dbname=todo"]
        while self.container.exec_run(argv)[0] != 0:
            assert time.monotonic() < end, self.log()
            time.sleep(
                0.2
            )  # the question is a process in the container; nothing tells when it is up

    def restart(self) -> None:
        """Stop it as the kubelet does and start it again; its data was in memory, and is gone."""
        self.stop()
        self.container.start()
        self.wait()

    def reload(self, *, ssl: str) -> None:
        """Have it read its settings; return once it does by a new connection as they say."""
        self.sql("SELECT pg_reload_conf()")
        end = time.monotonic() + SECONDS
        while self.sql("SHOW ssl") != ssl:
            assert time.monotonic() < end, self.log()

    def stop(self) -> None:
        """Stop it by the hook of the StatefulSet."""
        code, output = self.container.exec_run(["pg_ctl", "stop", "--mode=fast", "--timeout=20"])
        # The server is the container's first process: with it goes the program that stops it.
        assert code in (0, 137), output.decode()
        self.container.wait(timeout=SECONDS)

    def log(self) -> str:
        """Return what it has said."""
        return str(self.container.logs().decode())


@pytest.fixture(scope="session")
def image(engine: Engine, make_repository: Callable[[str], Repository]) -> str:
    """The component `postgres`, built here and loaded into the engine."""
    repository = make_repository("postgres")
    repository.inv("build", "-c", "postgres")
    subject = repository.record("image", "postgres")["subject"]
    engine.load(Layout(repository.store), subject, "lockgate.test/postgres:1")
    return "lockgate.test/postgres:1"


@pytest.fixture(scope="module")
def shared(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server under the conditions of the pod: another user, no rights, nothing to write but two folders."""
    password = tmp_path_factory.mktemp("secret") / "password"
    password.write_text("first-password\n")
    port = free_port()
    container: Any = (
        engine.container(
            image,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit="256m",
        )
        .with_env("POSTGRES_USER", "todo")
        .with_env("POSTGRES_PASSWORD_FILE", "/run/secrets/postgres/password")
        .with_volume_mapping(str(password), "/run/secrets/postgres/password", "ro")
        .with_command(["-c", "shared_buffers=32MB", "-c", "max_wal_size=128MB"])
    )
    # What testcontainers has no words for: a port on loopback alone, and folders that belong to the user.
    container.ports["5432/tcp"] = ("127.0.0.1", port)
    container.tmpfs.update({"/var/lib/postgresql/data": "uid=65532,mode=0770", "/tmp": "mode=1777"})
    with container:
        made = Server(container, port, password)
        made.wait()
        yield made


@pytest.fixture
def server(shared: Server) -> Server:
    """The server, with nothing left of another test."""
    shared.sql("DROP TABLE IF EXISTS task", database="todo")
    return shared


@pytest.fixture
def make_app(server: Server) -> Iterator[Callable[..., Flask]]:
    """Return a factory of apps on the server, each with connections of its own, as processes have."""
    create_app = importlib.import_module("todo").create_app
    made: list[Flask] = []

    def make(**settings: str) -> Flask:
        url = f"postgresql://todo@127.0.0.1:{server.port}/todo"
        password = str(server.password)
        base = {"TODO_SECRET_KEY": "one for all", "TODO_DATABASE_URL": url}
        made.append(create_app(base | {"TODO_DATABASE_PASSWORD_FILE": password} | settings))
        return made[-1]

    yield make
    for app in made:
        app.extensions["todo_database"].engine.dispose()


def person(app: Flask) -> Any:
    """Return someone at a browser."""
    return importlib.import_module("todo_person").Person(app.test_client())


def codes(app: Flask) -> list[int]:
    """Return what page, readiness and liveness answer."""
    return [app.test_client().get(path).status_code for path in ("/", "/readyz", "/healthz")]


def lose_connections(server: Server) -> None:
    """End every connection of the app, as a failover or a proxy does; return when they have ended."""
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'todo'")
    # That only told them to end.
    end = time.monotonic() + SECONDS
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'todo'") != "0":
        assert time.monotonic() < end, server.log()


def test_replicas_share_the_list(make_app: Callable[..., Flask]) -> None:
    """What one stored another lists, in the order in which it was added; a task is deleted once."""
    first, second = person(make_app()), person(make_app())
    for title in ("Buy \U0001f95b", "ä" * 50, "x; DROP TABLE task"):
        assert first.add(title).status_code == 302
    assert second.titles() == ["Buy \U0001f95b", "ä" * 50, "x; DROP TABLE task"]
    gone = second.ids()[0]
    assert second.delete(gone).status_code == 302
    assert first.delete(gone).status_code == 404
    assert first.delete(2**31 - 1).status_code == 404


def test_replicas_that_start_at_once_make_one_table(
    server: Server, make_app: Callable[..., Flask]
) -> None:
    """All are ready at the first question, and the server had no error to write down."""
    apps = [make_app() for _ in range(10)]
    barrier = threading.Barrier(len(apps), timeout=60)
    answers: list[int] = []
    before = len(server.log())

    def start(app: Flask) -> None:
        barrier.wait()
        answers.append(app.test_client().get("/readyz").status_code)

    threads = [threading.Thread(target=start, args=(app,)) for app in apps]
    for one in threads:
        one.start()
    for one in threads:
        one.join(timeout=60)
    assert answers == [200] * len(apps)
    assert "ERROR" not in server.log()[before:]


def test_lost_connections_are_replaced(server: Server, make_app: Callable[..., Flask]) -> None:
    """The request after a failover is answered, with everything that was stored."""
    app = make_app()
    person(app).add("kept")
    lose_connections(server)
    assert person(app).titles() == ["kept"]


def test_a_server_that_is_down_is_a_503_and_one_that_is_back_is_used(
    server: Server, make_app: Callable[..., Flask]
) -> None:
    """Meanwhile the app is alive and not ready. A new, empty database gets its table without a restart."""
    app = make_app()
    person(app).add("lost with the server's memory")
    server.stop()
    assert codes(app) == [503, 503, 200]
    server.container.start()
    server.wait()
    # Whoever asks first learns that the table is gone; a probe asks every few seconds.
    assert codes(app)[1:] == [200, 200]
    assert codes(app) == [200, 200, 200]
    assert person(app).add("after the outage").status_code == 302
    assert person(app).titles() == ["after the outage"]


def test_a_server_that_says_nothing_is_a_503(
    server: Server, make_app: Callable[..., Flask]
) -> None:
    """A request does not wait for ever: neither for an answer, nor for a new connection."""
    app = make_app()
    assert codes(app) == [200, 200, 200]
    server.container.pause()
    try:
        started = time.monotonic()
        answer = app.test_client().get("/")
        took = time.monotonic() - started
    finally:
        server.container.unpause()
    assert answer.status_code == 503
    assert took < 60
    assert codes(app) == [200, 200, 200]


def test_a_full_server_is_a_503(server: Server, make_app: Callable[..., Flask]) -> None:
    """Too many connections is "not now", and no defect of the app."""
    app = make_app()
    server.sql("ALTER ROLE todo CONNECTION LIMIT 0")
    try:
        assert codes(app) == [503, 503, 200]
    finally:
        server.sql("ALTER ROLE todo CONNECTION LIMIT -1")
    assert codes(app) == [200, 200, 200]


def test_a_new_password_needs_no_restart(server: Server, make_app: Callable[..., Flask]) -> None:
    """Between the two steps of the change the app is not ready; then it goes on with the new one."""
    app = make_app()
    person(app).add("kept")
    server.sql("ALTER ROLE todo PASSWORD 'second-password'")
    lose_connections(server)
    assert codes(app) == [503, 503, 200]
    server.password.write_text("second-password\n")
    assert codes(app) == [200, 200, 200]
    assert person(app).titles() == ["kept"]


def test_the_server_takes_the_password_that_the_secret_has_now(
    server: Server, make_app: Callable[..., Flask]
) -> None:
    """After a restart with another Secret both sides agree again."""
    app = make_app()
    server.password.write_text("third-password\n")
    assert codes(app)[:2] == [503, 503]
    server.restart()
    assert codes(app)[1:] == [200, 200]
    assert codes(app) == [200, 200, 200]


@pytest.fixture
def authority(server: Server, tmp_path: Path) -> Iterator[Path]:
    """Turn TLS on in the server, with a certificate for `localhost`; yield who vouches for it."""
    certificate, key = localhost()
    for name, text in (("crt", certificate), ("key", key)):
        write = ["sh", "-c", f'umask 077; printf %s "$TEXT" >/tmp/server.{name}']
        assert server.container.exec_run(write, environment={"TEXT": text})[0] == 0
        setting = {"crt": "ssl_cert_file", "key": "ssl_key_file"}[name]
        server.sql(f"ALTER SYSTEM SET {setting} = '/tmp/server.{name}'")
    server.sql("ALTER SYSTEM SET ssl = on")
    server.reload(ssl="on")
    path = tmp_path / "ca.crt"
    path.write_text(certificate)
    yield path
    server.sql("ALTER SYSTEM RESET ALL")
    server.reload(ssl="off")


def test_the_server_s_certificate_is_checked(
    server: Server, authority: Path, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """With the right authority and name it works, encrypted; with another authority or name it does not."""
    url = f"postgresql://todo@localhost:{server.port}/todo"
    good = make_app(TODO_DATABASE_URL=url, TODO_DATABASE_CA_FILE=str(authority))
    assert codes(good) == [200, 200, 200]
    encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
    assert server.sql(f"{encrypted} WHERE usename = 'todo'") == "t"

    other = tmp_path / "other.crt"
    other.write_text(localhost()[0])
    stranger = make_app(TODO_DATABASE_URL=url, TODO_DATABASE_CA_FILE=str(other))
    assert codes(stranger) == [503, 503, 200]
    by_address = make_app(TODO_DATABASE_CA_FILE=str(authority))
    assert codes(by_address) == [503, 503, 200]


def test_without_tls_a_certificate_cannot_be_checked(
    server: Server, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    """A server that offers no encryption is not used in the clear when an authority is given."""
    path = tmp_path / "ca.crt"
    path.write_text(localhost()[0])
    assert codes(make_app(TODO_DATABASE_CA_FILE=str(path))) == [503, 503, 200]


def test_the_log_holds_no_password(server: Server) -> None:
    """Neither of the server's statements at its start shows it."""
    assert not re.search(r"(first|second|third)-password", server.log())
