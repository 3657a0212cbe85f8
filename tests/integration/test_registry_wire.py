"""The client on real sockets: certificates, passwords, connections that break, answers that lie."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.registries import finish, serve
from tests.machine import free_port
from tests.unit.oci.images import build, describe, everything, noise, opener

from lockgate.base.errors import DigestMismatch, RegistryError
from lockgate.oci import transfer, upload
from lockgate.oci.connection import World
from lockgate.oci.credentials import CredentialFiles
from lockgate.oci.layout import Layout
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.oci.manifest import Descriptor

LARGE = noise(24 << 20, "large")
BLOB = describe(LARGE)

USERS = "ada:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"
"""An htpasswd file: the password is `s3cret`."""


def world(**more: object) -> World:
    """Return a world that does not wait."""
    return World(sleep=lambda _: None, **more)  # type: ignore[arg-type]


def client(host: str, found: World | None = None) -> Registry:
    """Return a client for one repository."""
    used = found or world()
    return Registry(used.endpoint(f"{host}/team/app"), used, push=True)


@contextlib.contextmanager
def put(host: str) -> Iterator[Registry]:
    """Upload the large blob; give the client that did."""
    with client(host) as registry:
        registry.put_blob(BLOB, opener(LARGE, step=65536))
        yield registry


def authority(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for loopback that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("registry.localhost"),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder for a registry."""
    found = tmp_path / "registry"
    found.mkdir()
    return found


@pytest.fixture
def image(tmp_path: Path) -> tuple[Layout, Descriptor]:
    """A layout with an image and all kinds of evidence."""
    layout = Layout.create(tmp_path / "store")
    return layout, everything(layout, size=300_000)


def test_a_given_authority(home: Path, tmp_path: Path) -> None:
    """With the certificates of its authority a registry is spoken to by TLS, by every name it has."""
    files = authority(tmp_path, "right")
    with serve("docker-registry", home, tls=files) as running:
        for host in (running.host, f"localhost:{running.port}", f"127.0.0.1:{running.port}"):
            with client(host, world(ca_file=files[0])) as registry:
                registry.ping()
                registry.put_blob(describe(b"x"), opener(b"x"))
                assert registry.has(describe(b"x"))


def test_the_wrong_authority(home: Path, tmp_path: Path) -> None:
    """Another authority's certificates do not do, and it is said what does."""
    files, other = authority(tmp_path, "right"), authority(tmp_path, "wrong")
    with (
        serve("docker-registry", home, tls=files) as running,
        client(running.host, world(ca_file=other[0])) as registry,
        pytest.raises(RegistryError, match="certificate that is not trusted") as raised,
    ):
        registry.ping()
    assert "--authority" in raised.value.hint


def test_tls_with_a_registry_that_has_none(home: Path, tmp_path: Path) -> None:
    """A registry that speaks plain HTTP where TLS is meant is named as such."""
    files = authority(tmp_path, "right")
    with (
        serve("docker-registry", home) as running,
        client(running.host, world(ca_file=files[0])) as registry,
        pytest.raises(RegistryError, match="does not speak TLS") as raised,
    ):
        registry.ping()
    assert f"--insecure {running.host}" in raised.value.hint


@pytest.mark.parametrize("kind", ["docker-registry", "lockgate"])
def test_plain_http_with_a_registry_that_has_tls(kind: str, home: Path, tmp_path: Path) -> None:
    """The other way round it is an error, too, and not a way around TLS; what helps is said."""
    files = authority(tmp_path, "right")
    with (
        serve(kind, home, tls=files) as running,
        client(running.host) as registry,
        pytest.raises(RegistryError) as raised,
    ):
        registry.ping()
    assert "`--authority FILE`" in raised.value.hint


def test_nobody_listens() -> None:
    """A port without a registry is said to be one, after the attempts."""
    with client(f"127.0.0.1:{free_port()}") as registry, pytest.raises(RegistryError) as raised:
        registry.ping()
    assert "refuses connections" in raised.value.message
    assert raised.value.exit_code == 5


def test_an_unknown_host() -> None:
    """A name that nobody has is said to be unknown, and not tried again."""
    slept: list[float] = []
    found = World(sleep=slept.append)
    with client("no-such-host.invalid", found) as registry, pytest.raises(RegistryError) as raised:
        registry.ping()
    assert "no-such-host.invalid is not known" in raised.value.message
    assert raised.value.hint


def test_a_proxy_is_not_asked_for_loopback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's loopback is not that of the proxy's machine."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serve("docker-registry", home) as running, client(running.host) as registry:
        registry.ping()


@pytest.mark.parametrize("kind", ["docker-registry", "distribution"])
def test_a_password(kind: str, home: Path, tmp_path: Path) -> None:
    """A registry with a password takes the one of docker's file, refuses a wrong one and none."""
    users = tmp_path / "users"
    users.write_text(USERS)
    config = tmp_path / ".docker" / "config.json"
    config.parent.mkdir()
    with serve(kind, home, users=users) as running:

        def login(secret: str) -> World:
            auth = base64.b64encode(f"ada:{secret}".encode()).decode()
            config.write_text(json.dumps({"auths": {running.host: {"auth": auth}}}))
            return world(credentials=CredentialFiles({}, tmp_path).find)

        with client(running.host, login("s3cret")) as registry:
            registry.put_blob(BLOB, opener(LARGE))
            assert registry.has(BLOB)
        with (
            client(running.host, login("wrong")) as registry,
            pytest.raises(RegistryError, match=r"credentials of .*config\.json: wrong, or expired"),
        ):
            registry.has(BLOB)
        with (
            client(running.host) as registry,
            pytest.raises(RegistryError, match="there are none for it") as raised,
        ):
            registry.has(BLOB)
    assert f"docker login {running.host}" in raised.value.hint


_RESET = struct.pack("ii", 1, 0)
"""socket(7), SO_LINGER: closing sends a reset at once."""


class Breaking:
    """A proxy in front of a registry that resets connections after so many bytes, so many times."""

    def __init__(self, port: int, *, up: list[int], down: list[int]) -> None:
        self._target = port
        self.up, self.down = up, down
        """Bytes after which the next connections break, sent by the client or by the registry."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """End everything."""
        # Whoever waits for a connection is woken by this, and by closing alone is not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        passed = {near: 0}
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            passed[far] = 0
            with contextlib.suppress(OSError):
                while True:
                    for source in select.select([near, far], [], [], 30)[0]:
                        sink, limits = (far, self.up) if source is near else (near, self.down)
                        data = source.recv(65536)
                        room = limits[0] - passed[source] if limits else len(data)
                        sink.sendall(data[: max(room, 0)])
                        passed[source] += len(data)
                        if not data or room < len(data):
                            del limits[: 1 if data else 0]
                            # The registry sees the end of what came, and the client a reset: when the
                            # registry has put away what it got, since these clients do not wait.
                            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                            finish(far)
                            return


@contextlib.contextmanager
def breaking(
    port: int, *, up: list[int] | None = None, down: list[int] | None = None
) -> Iterator[Breaking]:
    """Run the proxy."""
    proxy = Breaking(port, up=up or [], down=down or [])
    try:
        yield proxy
    finally:
        proxy.close()


REAL = ("crane", "docker-registry", "distribution", "lockgate")


@pytest.mark.parametrize("kind", REAL)
def test_uploads_that_break(kind: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resets in the middle of an upload, three in a row: every registry has the blob in the end."""
    monkeypatch.setattr(upload, "CHUNK", 8 << 20)
    with (
        serve(kind, home) as running,
        breaking(running.port, up=[5 << 20, 3_000_001, 9 << 20]) as proxy,
    ):
        with put(proxy.host):
            assert proxy.up == []
        with client(running.host) as registry, registry.open(BLOB) as pieces:
            assert b"".join(pieces) == LARGE


@pytest.mark.parametrize("kind", REAL)
def test_downloads_that_break(kind: str, home: Path) -> None:
    """Resets in the middle of a download: the rest follows, and it is the same blob."""
    with serve(kind, home) as running:
        with put(running.host):
            pass
        with breaking(running.port, down=[10 << 20, 1000, 2 << 20]) as proxy:
            with client(proxy.host) as registry, registry.open(BLOB) as pieces:
                assert b"".join(pieces) == LARGE
            assert proxy.down == []


@pytest.mark.parametrize("kind", REAL)
def test_a_whole_image_through_breaks(
    kind: str, home: Path, image: tuple[Layout, Descriptor], tmp_path: Path
) -> None:
    """An image with its evidence, pushed and pulled over connections that break all the time."""
    layout, root = image
    breaks = [200_000, 150, 40_000, 0, 350_000, 1_000]
    with serve(kind, home) as running, breaking(running.port, up=list(breaks)) as proxy:
        with client(proxy.host) as registry:
            work = transfer.plan(LayoutStore(layout, "x"), registry, root.digest, "1.0")
            transfer.move(work, lambda *_: None)
        proxy.down += breaks
        empty = Layout.create(tmp_path / "empty")
        with client(proxy.host) as registry:
            work = transfer.plan(registry, LayoutStore(empty, "x"), root.digest, "app")
            transfer.move(work, lambda *_: None)
    assert empty.tags() == layout.tags()
    assert len(empty.verify_image(root.digest)) == 2


class Lying(http.server.BaseHTTPRequestHandler):
    """Answers with a length that is not true."""

    claimed = 0
    sent = b""

    def do_GET(self) -> None:
        """Send a header and other bytes than it says."""
        self.send_response(200)
        self.send_header("Content-Length", str(self.claimed))
        self.end_headers()
        self.wfile.write(self.sent)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def lying(claimed: int, sent: bytes) -> Iterator[str]:
    """Serve one lie; give its host."""
    handler = type("Handler", (Lying,), {"claimed": claimed, "sent": sent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("claimed", "sent"),
    [(1000, noise(1000, "x")[:500]), (500, noise(1000, "x")[:500]), (0, b""), (1000, noise(1000, "y"))],
    ids=["cut", "short", "empty", "other"],
)  # fmt: skip
def test_lengths_that_lie(claimed: int, sent: bytes) -> None:
    """Whatever a header says of the length, less than a blob or other bytes are an error."""
    blob = describe(noise(1000, "x"))
    with (
        lying(claimed, sent) as host,
        client(host) as registry,
        registry.open(blob) as pieces,
        pytest.raises((RegistryError, DigestMismatch)),
    ):
        list(pieces)


@pytest.mark.parametrize("claimed", [2000, 10**18], ids=["longer", "endless"])
def test_lengths_that_promise_too_much(claimed: int) -> None:
    """A blob that came whole is that blob, although more was promised; nothing is made room for beforehand."""
    data = noise(1000, "x")
    with (
        lying(claimed, data) as host,
        client(host) as registry,
        registry.open(describe(data)) as pieces,
    ):
        assert b"".join(pieces) == data


def test_memory_does_not_grow(home: Path, tmp_path: Path) -> None:
    """A blob of 24 MB goes through in pieces: neither way is it held whole."""
    import tracemalloc

    layout = Layout.create(tmp_path / "large")
    build(layout, size=24 << 20, layers=1)
    empty = Layout.create(tmp_path / "empty")
    root = layout.resolve("app").digest
    with serve("docker-registry", home) as running:
        for source, target in ((layout, None), (None, empty)):
            with client(running.host) as registry:
                work = transfer.plan(
                    LayoutStore(source, "x") if source else registry,
                    LayoutStore(target, "x") if target else registry,
                    root,
                    "app",
                )
                tracemalloc.start()
                transfer.move(work, lambda *_: None)
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            assert peak < 12 << 20
