"""The registry on real sockets: whole and broken requests, slow clients, TLS, stopping, being killed."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lockgate.base.errors import UsageError
from lockgate.oci.layout import Layout
from lockgate.oci.server import LOOPBACK_NAMES, Server
from lockgate.oci.server_http import Limits
from lockgate.oci.server_routes import Rules
from lockgate.oci.server_users import Users, crypt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connect = Callable[..., "Caller"]

TASKS = """\
from invoke.collection import Collection
from lockgate.tasks import registry

ns = Collection()
ns.add_collection(registry.collection())
"""

START = "/v2/a/blobs/uploads/"

ANY = "0.0.0.0"  # noqa: S104 - that this is told is what is tested


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """One connection to a server, kept open."""

    def __init__(
        self, address: str, context: ssl.SSLContext | None = None, seconds: float = 60
    ) -> None:
        self._http = (
            http.client.HTTPSConnection(address, timeout=seconds, context=context)
            if context
            else http.client.HTTPConnection(address, timeout=seconds)
        )

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request; a body that is an iterator goes in chunks."""
        self._http.request(
            method, path, body, headers or {}, encode_chunked=hasattr(body, "__next__")
        )
        found = self._http.getresponse()
        named = {name.lower(): value for name, value in found.getheaders()}
        return Answer(found.status, named, found.read())

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def socket(self) -> socket.socket:
        """Return the socket that is kept open."""
        assert self._http.sock is not None
        return self._http.sock


def digest_of(data: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def raw(address: str, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes, and their end when there is to be one; return all that comes until the connection ends."""
    host, port = address.rsplit(":", 1)
    found = b""
    with socket.create_connection((host, int(port)), timeout=60) as one:
        # A server that closes before it read everything resets the connection; what it said is there to read.
        with contextlib.suppress(ConnectionError):
            one.sendall(data)
        if end:
            with contextlib.suppress(OSError):  # there may be no connection any more
                one.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := one.recv(65536):
                found += piece
    return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty store."""
    return Layout.create(tmp_path / "store")


@pytest.fixture
def server(layout: Layout) -> Iterator[Server]:
    """A registry over the empty store, for few connections at once."""
    with Server(layout, Rules(names=LOOPBACK_NAMES), limits=Limits(8)) as running:
        yield running


@pytest.fixture
def impatient(layout: Layout) -> Iterator[Server]:
    """The same, and who keeps it waiting is soon left. On a busy machine that is anybody now and then."""
    with Server(layout, Rules(names=LOOPBACK_NAMES), limits=Limits(8, 1.5, 1.5)) as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Call with an address for a connection; all are closed at the end."""
    with contextlib.ExitStack() as opened:
        yield lambda *arguments: opened.enter_context(contextlib.closing(Caller(*arguments)))


@pytest.fixture
def call(server: Server, connect: Connect) -> Caller:
    """A connection to it."""
    return connect(server.address)


def test_an_image_goes_there_and_back(call: Caller, layout: Layout) -> None:
    """Blobs whole and in chunks, a manifest, all on one connection; the layout has it then."""
    config, layer = b"{}", os.urandom(3_000_000)
    done = call("POST", f"{START}?digest={digest_of(config)}", config)
    assert done.status == 201
    kept = call.socket()
    place = call("POST", START).headers["location"]
    pieces = iter([layer[:1_000_000], layer[1_000_000:2_500_000]])
    done = call("PATCH", place, pieces)
    assert (done.status, done.headers["range"]) == (202, "0-2499999")
    done = call("PUT", f"{place}?digest={digest_of(layer)}", layer[2_500_000:])
    assert done.status == 201
    image = {
        "schemaVersion": 2,
        "config": {"mediaType": "c/d", "digest": digest_of(config), "size": 2},
        "layers": [{"mediaType": "e/f", "digest": digest_of(layer), "size": len(layer)}],
    }
    data = json.dumps(image).encode()
    kind = "application/vnd.oci.image.manifest.v1+json"
    assert call("PUT", "/v2/a/manifests/x", data, {"Content-Type": kind}).status == 201
    assert call("GET", "/v2/a/manifests/x").body == data
    assert call("GET", f"/v2/a/blobs/{digest_of(layer)}").body == layer
    part = call("GET", f"/v2/a/blobs/{digest_of(layer)}", headers={"Range": "bytes=-10"})
    assert (part.status, part.body) == (206, layer[-10:])
    assert call.socket() is kept
    assert layout.verify_image(layout.resolve("a:x").digest)


def test_head_and_204_have_no_body(server: Server, connect: Connect) -> None:
    """The next response on the connection begins right after them."""
    ask = "HEAD /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    found = raw(server.address, ask.encode())
    head, _, rest = found.partition(b"\r\n\r\n")
    assert b"Content-Length: 2" in head
    assert rest.startswith(b"HTTP/1.1 404 ")
    call = connect(server.address)
    place = call("POST", START).headers["location"]
    done = call("GET", place)
    assert (done.status, "content-length" in done.headers) == (204, False)
    assert call("GET", "/v2/").status == 200


def test_a_client_may_ask_before_it_sends(server: Server) -> None:
    """`Expect: 100-continue` is answered (RFC 9110 section 10.1.1)."""
    head = f"POST {START}?digest={digest_of(b'abc')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    head += "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    found = raw(server.address, head.encode() + b"abc")
    assert found.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 201 " in found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET\r\n\r\n", 400),
        ("GET /v2/ HTTP/9.9\r\n\r\n", 505),
        ("BREW /v2/ HTTP/1.1\r\n\r\n", 501),
        ("GET /" + "a" * 70_000 + " HTTP/1.1\r\n\r\n", 414),
        ("GET /v2/ HTTP/1.1\r\n" + "A: b\r\n" * 200 + "\r\n", 431),
        ("POST /v2/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc", 400),
        (
            "POST /v2/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /v2/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc", 501),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA : b\r\nContent-Length: 0\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nContent-Length : 0\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nbroken\r\nContent-Length: 0\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA: b\rContent-Length: 0\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\n A: b\r\nHost: localhost\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n", 400),
    ],
)
def test_what_cannot_be_understood_ends_the_connection(
    server: Server, head: str, status: int
) -> None:
    """With an error as the specification has it: where the next request begins is not known."""
    found = raw(server.address, head.encode() + b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    shown, _, body = found.partition(b"\r\n\r\n")
    assert shown.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["errors"][0]["code"]
    assert found.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 1000])
def test_nonsense_does_no_harm(server: Server, connect: Connect, data: bytes) -> None:
    """A client that speaks TLS, zeros, or nothing at all, and then ends."""
    raw(server.address, data, end=True)
    assert connect(server.address)("GET", "/v2/").status == 200


def test_a_refused_body_does_not_hide_the_answer(call: Caller) -> None:
    """A manifest that is too large: 413 is seen, though the body was not read to its end first."""
    assert call("PUT", "/v2/a/manifests/x", b"x" * (6 << 20)).status == 413
    assert call("PUT", "/v2/UPPER/manifests/x", b"x" * 1000).status == 400
    assert call("GET", "/v2/").status == 200


@pytest.mark.parametrize(
    "head",
    [
        "",
        "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nA: ",
        f"POST {START} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
        f"POST {START}?digest=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_slow_client_is_left(impatient: Server, head: str) -> None:
    """A byte now and then does not keep the connection: what counts is when head or piece is complete."""
    host, port = impatient.address.rsplit(":", 1)
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=60) as one:
        one.sendall(head.encode())
        one.settimeout(0.1)
        found = b"waiting"
        while found and time.monotonic() < began + 60:
            try:
                one.sendall(b"a")
                found = one.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert time.monotonic() - began < 25


def test_a_client_that_does_not_read_is_left(layout: Layout) -> None:
    """A large blob is not kept open for it."""
    data = os.urandom(30_000_000)
    with Server(layout) as patient, contextlib.closing(Caller(patient.address)) as call:
        assert call("POST", f"{START}?digest={digest_of(data)}", data).status == 201
    # Only what it does not read has a short limit: on a busy machine its request may come late.
    impatient = Server(layout, Rules(names=LOOPBACK_NAMES), limits=Limits(8, stall=1.5))
    host, port = impatient.address.rsplit(":", 1)
    with impatient, socket.create_connection((host, int(port)), timeout=60) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(
            f"GET /v2/a/blobs/{digest_of(data)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert one.recv(1)
        wait_until(lambda: not busy(impatient))


def busy(server: Server) -> list[Any]:
    """Return the connections on which a request is answered."""
    return [one for one in list(server._http._handlers) if one.busy]


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something; fail when it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_an_upload_goes_on_after_a_break(server: Server, call: Caller) -> None:
    """The connection broke in a chunk: the status says how far it came, and the rest is taken."""
    data = os.urandom(1_000_000)
    place = call("POST", START).headers["location"]
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as one:
        head = f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        one.sendall(head.encode() + data[:600_000])
    wait_until(lambda: call("GET", place).headers["range"] == "0-599999")
    assert call("PATCH", place, data[600_000:], {"Content-Range": "600000-999999"}).status == 202
    assert call("PUT", f"{place}?digest={digest_of(data)}").status == 201


def test_connections_have_a_limit(server: Server, connect: Connect) -> None:
    """The ninth is told to come again; when one ends, there is room."""
    open_ones = [connect(server.address) for _ in range(8)]
    assert [one("GET", "/v2/").status for one in open_ones] == [200] * 8
    found = raw(server.address, b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in found
    open_ones[0].socket().close()
    wait_until(
        lambda: raw(server.address, b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n")[9:12] == b"200"
    )


def test_many_clients_push_and_pull_at_once(layout: Layout, connect: Connect) -> None:
    """Each its own blob and a common one; every byte is right."""
    common = os.urandom(500_000)

    with Server(layout) as running:

        def one(number: int) -> bool:
            call = connect(running.address)
            own = bytes([number]) * 300_000
            for data in (own, common):
                if (
                    call(
                        "POST", f"/v2/r{number}/blobs/uploads/?digest={digest_of(data)}", data
                    ).status
                    != 201
                ):
                    return False
            return all(
                call("GET", f"/v2/r{number}/blobs/{digest_of(data)}").body == data
                for data in (own, common)
            )

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(one, range(12)))


def test_a_page_from_elsewhere_is_not_answered(call: Caller) -> None:
    """A name that was made to lead to loopback is not one of the registry's."""
    done = call("GET", "/v2/", headers={"Host": "evil.example"})
    assert (done.status, b"DENIED" in done.body) == (421, True)


class Certificate(NamedTuple):
    """A self-signed certificate for 127.0.0.1."""

    chain: Path
    key: Path
    context: ssl.SSLContext
    """Of a client that trusts it."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Make one."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    return Certificate(folder / "cert.pem", folder / "key.pem", context)


def test_tls_with_a_password(layout: Layout, certificate: Certificate, connect: Connect) -> None:
    """Pushed and pulled over TLS, with the password only; without TLS nothing is answered."""
    rules = Rules(users=Users({"ann": crypt(b"s3cret", "salt")}))
    tls = (certificate.chain, certificate.key)
    data = os.urandom(2_000_000)
    with Server(layout, rules, tls=tls) as server:
        call = connect(server.address, certificate.context)
        right = {"Authorization": "Basic " + base64.b64encode(b"ann:s3cret").decode()}
        assert call("GET", "/v2/").status == 401
        assert call("GET", "/v2/", headers=right).status == 200
        done = call("POST", f"{START}?digest={digest_of(data)}", data, right)
        assert done.status == 201
        assert call("GET", done.headers["location"], headers=right).body == data
        for plain in (b"GET /v2/ HTTP/1.1\r\n\r\n", b"\x16\x03"):
            # Without its end the server would wait for more, as long as for the requests above.
            assert b"HTTP" not in raw(server.address, plain, end=True)
        again = connect(server.address, certificate.context)
        assert again("GET", "/v2/", headers=right).status == 200


def test_a_certificate_that_cannot_be_used_is_told(
    layout: Layout, certificate: Certificate, tmp_path: Path
) -> None:
    """Absent, no certificate, or with the key of another."""
    (tmp_path / "x").write_text("nothing")
    for files in ((tmp_path / "absent", certificate.key), (tmp_path / "x", tmp_path / "x")):
        with pytest.raises(UsageError, match="cannot be used"):
            Server(layout, tls=files)


def test_an_address_that_is_taken_is_told(server: Server, layout: Layout) -> None:
    """With the hint to take a free one; so is one that is not of this machine."""
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"{port} cannot be listened on") as caught:
        Server(layout, port=port)
    assert "--port 0" in caught.value.hint
    with pytest.raises(UsageError):
        Server(layout, host="192.0.2.1")
    with pytest.raises(UsageError):
        Server(layout, port=70_000)
    with pytest.raises(UsageError):
        Server(layout, host="a..b")


def test_ipv6_is_an_address_too(layout: Layout, connect: Connect) -> None:
    """In brackets."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6: the address in brackets is not tried")
    try:
        server = Server(layout, Rules(names=LOOPBACK_NAMES), host="::1")
    except UsageError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error.message}")
    with server:
        assert re.fullmatch(r"\[::1\]:\d+", server.address)
        assert connect(server.address)("GET", "/v2/").status == 200


def test_stopping_lets_requests_end(layout: Layout, connect: Connect) -> None:
    """An upload that runs is finished; idle connections do not hold the server up."""
    server = Server(layout).start()
    idle, call = connect(server.address), connect(server.address)
    assert idle("GET", "/v2/").status == 200
    # The answer comes a moment before its connection is idle, and what is busy below is to be the upload.
    wait_until(lambda: not busy(server))
    data, go = os.urandom(100_000), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[:50_000]
        go.wait(60)
        yield data[50_000:]

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(call, "POST", f"{START}?digest={digest_of(data)}", slowly())
        wait_until(lambda: busy(server))
        stopped = pool.submit(server.stop, 60)
        wait_until(lambda: server._http.stopping and len(server._http._handlers) == 1)
        go.set()
        done = running.result(60)
        stopped.result(60)
    assert (done.status, done.headers["connection"]) == (201, "close")
    assert layout.read(digest_of(data)) == data
    with pytest.raises(OSError):  # noqa: PT011 - refused, reset or unreachable
        connect(server.address)("GET", "/v2/")


def test_stopping_does_not_wait_for_ever(layout: Layout) -> None:
    """After the grace even a running request is ended."""
    server = Server(layout).start()
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as one:
        one.sendall(f"POST {START} HTTP/1.1\r\nContent-Length: 100\r\n\r\n".encode())
        wait_until(lambda: busy(server))
        began = time.monotonic()
        server.stop(grace=0.3)
        assert time.monotonic() - began < 25
        assert one.recv(1) == b""


class Process(NamedTuple):
    """`inv registry.serve` in a process of its own."""

    child: subprocess.Popen[str]
    address: str


class Serve:
    """Starts `inv registry.serve`; what still runs is killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[str]] = []
        (folder / "tasks.py").write_text(TASKS)

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it with these arguments."""
        child = subprocess.Popen(
            [sys.executable, "-m", "lockgate.tasks.program", "registry.serve", *arguments],
            cwd=self.folder,
            env={**os.environ, "LOCKGATE_QUIET": "", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child

    def __call__(self, *arguments: str, **environment: str) -> Process:
        """Start it on a free port and wait until it says where it is."""
        child = self.popen("--port", "0", "--store", "store", *arguments, **environment)
        assert child.stdout is not None
        return Process(child, child.stdout.readline().strip())

    def close(self) -> None:
        """Kill what runs."""
        for child in self._children:
            child.kill()
            child.communicate(timeout=120)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Call to run `inv registry.serve`."""
    starter = Serve(tmp_path)
    yield starter
    starter.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_task_ends_when_it_is_asked_to(serve: Serve, number: int, connect: Connect) -> None:
    """Exit code 0; the address on stdout and the rest on stderr, with a line for what was pushed."""
    child, address = serve()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    call = connect(address)
    assert call("POST", f"{START}?digest={digest_of(b'{}')}", b"{}").status == 201
    image = {
        "schemaVersion": 2,
        "config": {"mediaType": "c/d", "digest": digest_of(b"{}"), "size": 2},
    }
    done = call("PUT", "/v2/a/manifests/x", json.dumps(image))
    assert done.status == 201
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out) == (0, "")
    assert f"registry http://{address}   stop: Ctrl-C" in err
    assert f"pushed a:x  {done.headers['docker-content-digest']}" in err
    assert err.rstrip().endswith("stopped")
    assert Layout.open(serve.folder / "store").tags().keys() == {"a:x"}


def test_the_task_can_be_killed_and_uploads_go_on(serve: Serve, connect: Connect) -> None:
    """SIGKILL in the middle of a chunk; a new server over the same store takes the rest."""
    child, address = serve()
    data = os.urandom(3_000_000)
    place = connect(address)("POST", START).headers["location"]
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as one:
        head = f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        one.sendall(head.encode() + data[:2_000_000])
        call = connect(address)
        wait_until(lambda: call("GET", place).headers["range"] != "0-0")
        child.kill()
        child.wait(60)
    store = serve.folder / "store"
    assert list((store / "blobs" / "sha256").iterdir()) == []
    _, address = serve()
    call = connect(address)
    have = int(call("GET", place).headers["range"].partition("-")[2]) + 1
    assert 0 < have <= 2_000_000
    span = f"{have}-{len(data) - 1}"
    assert call("PATCH", place, data[have:], {"Content-Range": span}).status == 202
    assert call("PUT", f"{place}?digest={digest_of(data)}").status == 201
    assert Layout.open(store).verify(digest_of(data)) == len(data)


def test_memory_does_not_grow_with_a_blob(serve: Serve, connect: Connect) -> None:
    """Two hundred megabytes in and out: a few of them in memory."""
    child, address = serve()
    # All of it is written to the disk before it is answered, and others may keep the disk busy.
    call, piece = connect(address, None, 600), os.urandom(1 << 20)
    before = resident(child.pid)
    total = hashlib.sha256()
    for _ in range(200):
        total.update(piece)
    digest = f"sha256:{total.hexdigest()}"
    done = call("POST", f"{START}?digest={digest}", (piece for _ in range(200)))
    assert done.status == 201
    host, port = address.rsplit(":", 1)
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=600)) as other:
        other.request("GET", f"/v2/a/blobs/{digest}")
        response, size = other.getresponse(), 0
        while found := response.read(1 << 20):
            size += len(found)
    assert size == 200 << 20
    assert resident(child.pid) - before < 20_000


def resident(pid: int) -> int:
    """Return the most memory that a process ever had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_the_task_asks_for_a_password(serve: Serve, connect: Connect) -> None:
    """From a file as `openssl passwd -6` makes it, or from the environment."""
    (serve.folder / "users").write_text(f"ann:{crypt(b's3cret', 'salt')}\n")
    right = {"Authorization": "Basic " + base64.b64encode(b"ann:s3cret").decode()}
    for arguments, environment in (
        (("--users", "users"), {}),
        ((), {"LOCKGATE_REGISTRY_USER": "ann:s3cret"}),
    ):
        child, address = serve(*arguments, **environment)
        call = connect(address)
        assert call("GET", "/v2/").status == 401
        assert call("GET", "/v2/", headers=right).status == 200
        child.terminate()
        _, err = child.communicate(timeout=120)
        assert "s3cret" not in err


def test_the_task_serves_without_writing(serve: Serve, connect: Connect) -> None:
    """A folder that cannot be written is served all the same."""
    layout = Layout.create(serve.folder / "store")
    (layout.root / ".lock").unlink()
    before = sorted(one.name for one in layout.root.rglob("*"))
    _, address = serve("--read-only")
    call = connect(address)
    assert call("GET", "/v2/_catalog").body == b'{"repositories":[]}'
    assert call("POST", START).status == 405
    assert sorted(one.name for one in layout.root.rglob("*")) == before


def test_the_task_says_what_lets_others_in(serve: Serve, connect: Connect) -> None:
    """On every address, without TLS and password: it serves, and says so."""
    child, address = serve("--host", ANY)
    assert connect(address)("GET", "/v2/", headers={"Host": "registry.example"}).status == 200
    child.terminate()
    _, err = child.communicate(timeout=120)
    assert "other machines reach it without TLS" in err
    assert "other machines need no password" in err


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("--store", "absent", "--read-only"), {}, "is not an image layout"),
        (("--store", "store", "--cert", "x"), {}, "a certificate needs its key"),
        (("--store", "store", "--cert", "x", "--cert-key", "y"), {}, "cannot be used"),
        (("--store", "store", "--users", "absent"), {}, "cannot be read"),
        (("--store", "store", "--users", "tasks.py"), {}, "is no new name with a hash"),
        (("--store", "store"), {"LOCKGATE_REGISTRY_USER": "ann"}, "not of the form"),
        (("--store", "store", "--users", "x"), {"LOCKGATE_REGISTRY_USER": "a:b"}, "both"),
        (("--store", "store", "--host", "nowhere.invalid"), {}, "cannot be listened on"),
        (("--store", "store", "--host", "a..b"), {}, "cannot be listened on"),
        (("--store", "tasks.py"), {}, "could not be used"),
        ((), {}, "lockgate.yaml"),
    ],
)
def test_what_cannot_be_served_is_told(
    serve: Serve, arguments: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """One line and a hint, a code, no traceback, and nothing on stdout."""
    child = serve.popen("--port", "0", *arguments, **environment)
    out, err = child.communicate(timeout=120)
    assert child.returncode in (1, 2)
    assert out == ""
    assert says in err
    assert "hint:" in err
    assert "Traceback" not in err
