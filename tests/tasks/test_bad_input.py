"""What registries refuse and what keys are not: each through the task, with its words, a hint and its exit code."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.integration.certificates import localhost
from tests.integration.faults.proxy import Answered, faulty

from lockgate.base.canonical import encode
from lockgate.oci.digest import Digest
from lockgate.oci.layout import Layout
from lockgate.oci.manifest import CONFIG, LAYER_GZIP, MANIFEST
from lockgate.oci.server import Server
from lockgate.sign import keybox, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.faults.proxy import Asked, Exchange
    from tests.tasks.conftest import Answer, Mini

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


class Reply(NamedTuple):
    """What a registry answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Reply:
    """Return an answer in the form of the specification's errors."""
    return Reply(status, encode({"errors": [{"code": code, "message": message}]}), headers)


class Quiet(ThreadingHTTPServer):
    """A server that does not complain of clients that go away: its words would stand among the task's."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Odd:
    """A registry that answers as a test says; what it says nothing about is not there."""

    def __init__(self) -> None:
        self.reply: Callable[[str, str, str], Reply | None] = lambda _method, _path, _login: None
        """Method, path and Authorization header to an answer."""
        self.asked: list[str] = []
        self._server = Quiet(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    @property
    def host(self) -> str:
        """Its name, for which plain HTTP is spoken."""
        return f"registry.localhost:{self.port}"

    def guard(self, certificate: Path, key: Path) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Odd]:
        """Listen until the end of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(10)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                odd.asked.append(f"{self.command} {self.path}")
                login = self.headers.get("Authorization", "")
                found = odd.reply(self.command, self.path, login) or error(404, "NOT_FOUND", "none")
                self.send_response(found.status)
                for name, value in found.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(found.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(found.body)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Odd]:
    """A registry on loopback, and a person who is logged in nowhere."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    with Odd().running() as running:
        yield running


@pytest.fixture
def login(odd: Odd, tmp_path: Path) -> str:
    """A name and a password for the registry, in docker's file; returned is what is sent."""
    text = base64.b64encode(b"name:secret-password").decode()
    config = {"auths": {odd.host: {"auth": text}}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config))
    return f"Basic {text}"


def refused(answer: Answer, code: int, *words: str) -> str:
    """Check that a task ended with one line and a hint, without a traceback and without a record; return both."""
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert "Traceback" not in answer.err
    line, hint = answer.err.splitlines()[-2:]
    assert hint.startswith("  hint: ")
    for one in words:
        assert one in line + hint, answer.err
    return line + hint


# --- who we are


def test_a_registry_that_asks_who_we_are(odd: Odd, mini: Mini) -> None:
    """401, and nobody is logged in: exit 5, and how to log in."""
    odd.reply = lambda *_: error(401, "UNAUTHORIZED", "", ("WWW-Authenticate", 'Basic realm="x"'))

    answer = mini.inv("pull", f"{odd.host}/app:1")

    refused(answer, 5, "asks for credentials, and there are none", f"docker login {odd.host}")


def test_a_password_that_is_wrong(odd: Odd, login: str, mini: Mini) -> None:
    """401 again, for what the file has: exit 5, the file's name, and not the password."""
    odd.reply = lambda *_: error(401, "UNAUTHORIZED", "", ("WWW-Authenticate", 'Basic realm="x"'))

    answer = mini.inv("pull", f"{odd.host}/app:1")

    said = refused(answer, 5, "does not take the credentials of", "wrong, or expired")
    assert "config.json" in said
    assert "secret-password" not in answer.err
    assert login not in answer.err


def test_a_token_that_is_refused_again_and_again(odd: Odd, login: str, mini: Mini) -> None:
    """A token that has ended when it comes: asked for anew, and given up, exit 5."""
    challenge = (
        "WWW-Authenticate",
        f'Bearer realm="http://{odd.host}/token",service="x",error="invalid_token"',
    )

    def reply(_: str, path: str, __: str) -> Reply:
        if path.startswith("/token"):
            return Reply(200, encode({"token": "ended", "expires_in": 60}))
        return error(401, "UNAUTHORIZED", "token has expired", challenge)

    odd.reply = reply
    answer = mini.inv("pull", f"{odd.host}/app:1")

    refused(answer, 5, "credentials", f"docker login {odd.host}")
    assert sum("/token" in one for one in odd.asked) <= 4


def test_a_token_that_nobody_gives(odd: Odd, mini: Mini) -> None:
    """The realm refuses: exit 5, as for a wrong password."""
    where = ("WWW-Authenticate", f'Bearer realm="http://{odd.host}/token"')

    def reply(_: str, path: str, __: str) -> Reply:
        return Reply(403) if path.startswith("/token") else error(401, "UNAUTHORIZED", "", where)

    odd.reply = reply
    refused(mini.inv("pull", f"{odd.host}/app:1"), 5, "docker login")


def test_a_right_that_is_missing(odd: Odd, login: str, mini: Mini) -> None:
    """403: exit 5, the registry's own words, and whom to ask."""
    odd.reply = lambda *_: error(403, "DENIED", "pull access is denied")

    answer = mini.inv("pull", f"{odd.host}/app:1")

    refused(
        answer, 5, "does not allow this", "pull access is denied", "ask its owner for the right"
    )


# --- where it is


def test_a_host_that_is_not_known(mini: Mini) -> None:
    """No such name: exit 5, the host, and what to check."""
    answer = mini.inv("pull", "no-such-host.invalid/app:1")

    refused(answer, 5, "no-such-host.invalid", "check the ")


def test_an_authority_that_did_not_sign(odd: Odd, tmp_path: Path, mini: Mini) -> None:
    """The registry's certificate is by somebody else than `--authority` names: exit 5, and the flag."""
    for name in ("its", "other"):
        certificate, key = localhost()
        (tmp_path / f"{name}.pem").write_text(certificate)
        (tmp_path / f"{name}.key").write_text(key)
    odd.guard(tmp_path / "its.pem", tmp_path / "its.key")
    place = f"localhost:{odd.port}/app:1"

    wrong = mini.inv("pull", place, "--authority", str(tmp_path / "other.pem"))
    right = mini.inv("pull", place, "--authority", str(tmp_path / "its.pem"))

    refused(wrong, 5, "shows a certificate that is not trusted", "--authority FILE")
    refused(right, 5, "tag 1 is not at")


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
def test_what_is_not_there(code: str, odd: Odd, mini: Mini) -> None:
    """404 for tag or repository: exit 5, and what to check."""
    odd.reply = lambda *_: error(404, code, "unknown to this registry")

    refused(mini.inv("pull", f"{odd.host}/app:1"), 5, "is not at", "check name")


@pytest.mark.parametrize("there", [":1", "@sha256:" + "0" * 64], ids=["tag", "digest"])
def test_what_is_not_there_is_not_verified(there: str, odd: Odd, built_mini: Mini) -> None:
    """By tag and by digest the same: exit 5, and the repository that was asked."""
    odd.reply = lambda *_: error(404, "MANIFEST_UNKNOWN", "unknown to this registry")
    built_mini.inv("sign", "-c", "web")

    answer = built_mini.inv("verify", "--reference", f"{odd.host}/app{there}")

    refused(answer, 5, f"is not at {odd.host}/app", "check name")


# --- tags that stay where they are


IMMUTABLE = {
    "Harbor": error(
        412, "PRECONDITION", "Failed to process request due to 'app:1' configured as immutable."
    ),
    "Harbor, older": error(409, "CONFLICT", "artifact app:1 already exists"),
    "ECR": error(
        400,
        "TAG_INVALID",
        "The image tag '1' already exists in the 'app' repository and cannot be overwritten because the "
        "repository is immutable.",
    ),
    "ACR": error(405, "UNSUPPORTED", "The operation is disallowed on this registry: tag is locked"),
    "Quay": error(409, "TAG_IMMUTABLE", "Cannot overwrite: tag is immutable"),
    "Artifact Registry": error(403, "DENIED", "tag is immutable"),
}
"""As these registries say it; the specification has no code for it."""


@pytest.mark.parametrize("kind", IMMUTABLE)
def test_a_tag_that_cannot_be_moved(kind: str, built_mini: Mini, tmp_path: Path) -> None:
    """C16. Everything is there but the tag: exit 5, that it exists, and another tag as the way out, which works."""
    reply = IMMUTABLE[kind]

    def refuse(exchange: Exchange) -> None:
        exchange.answer(Answered(reply.status, dict(reply.headers), reply.body))

    def script(asked: Asked) -> Callable[[Exchange], None] | None:
        return refuse if (asked.method, asked.path) == ("PUT", "/v2/web/manifests/1") else None

    with Server(Layout.create(tmp_path / "registry")) as server:
        port = int(server.address.rpartition(":")[2])
        with faulty(port, script) as proxy:
            push = ("push", "-c", "web", "--to", f"registry.localhost:{proxy.port}", "--tag")
            answer, other = built_mini.inv(*push, "1"), built_mini.inv(*push, "2")

    refused(
        answer, 5, "already exists", "its tags are immutable", "push under another tag: `--tag`"
    )
    assert other.code == 0, other.err


# --- what is not read


def served(odd: Odd, media_type: str, document: dict[str, Any]) -> None:
    """Have the registry serve one manifest under the tag 1, and under its digest."""
    data = encode(document)
    digest = Digest.of(data)
    headers = (("Content-Type", media_type), ("Docker-Content-Digest", digest))

    def reply(method: str, path: str, _: str) -> Reply | None:
        if path.endswith((f"/manifests/{digest}", "/manifests/1")):
            return Reply(200, data, headers)
        return None

    odd.reply = reply


BLOB = {"mediaType": LAYER_GZIP, "digest": "sha256:" + "1" * 64, "size": 1}
UNREAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "schema 1": (
        SCHEMA_1,
        {"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": [], "history": []},
        "schema 1",
    ),
    "schema 1 without layers": (SCHEMA_1, {"schemaVersion": 1, "name": "app"}, "manifest"),
    "docker's manifest": (
        DOCKER,
        {"schemaVersion": 2, "mediaType": DOCKER, "config": BLOB, "layers": [BLOB]},
        DOCKER,
    ),
    "docker's list": (
        DOCKER_INDEX,
        {"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [BLOB]},
        DOCKER_INDEX,
    ),
    "an unknown type": (
        "application/vnd.example+json",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.example+json",
            "config": BLOB,
            "layers": [],
        },
        "application/vnd.example+json",
    ),
    "schema 3": (MANIFEST, {"schemaVersion": 3, "config": BLOB, "layers": []}, "schema version 3"),
    "both at once": (
        MANIFEST,
        {"schemaVersion": 2, "config": BLOB | {"mediaType": CONFIG}, "layers": [], "manifests": []},
        "another kind of document",
    ),
    "an unknown algorithm": (
        MANIFEST,
        {
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": "sha512:" + "1" * 128, "size": 1},
            "layers": [],
        },
        "is not a digest",
    ),
    "an algorithm that nobody knows": (
        MANIFEST,
        {
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": "blake3:" + "1" * 64, "size": 1},
            "layers": [],
        },
        "is not a digest",
    ),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_document_that_is_not_read(kind: str, odd: Odd, mini: Mini) -> None:
    """A manifest of a form or version that is not read: refused by its name, nothing is in the store."""
    media_type, document, words = UNREAD[kind]
    served(odd, media_type, document)

    answer = mini.inv("pull", f"{odd.host}/app:1")

    assert answer.code in (2, 4, 5)
    refused(answer, answer.code, words)
    blobs = mini.path / ".lockgate" / "store" / "blobs" / "sha256"
    assert not blobs.exists() or list(blobs.iterdir()) == []


@pytest.mark.parametrize(
    "reference", ["sha512:" + "1" * 128, "registry.example/app@sha512:" + "1" * 128, "sha256:1234"]
)
@pytest.mark.parametrize("command", ["verify", "pull"])
def test_a_digest_of_another_kind(command: str, reference: str, mini: Mini) -> None:
    """Only sha256 names an image here: exit 2 before anybody is asked."""
    arguments = ("-r", reference) if command == "verify" else (reference,)

    refused(mini.inv(command, *arguments), 2, "is not a digest")


# --- keys


def private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a private key in PEM form, without a password."""
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return its public half."""
    return key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


P256 = ec.generate_private_key(ec.SECP256R1())
P521 = ec.generate_private_key(ec.SECP521R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sealed() -> bytes:
    """Return a key with a password, in cosign's form."""
    plain = P256.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem.write(keybox.LABEL, keybox.seal(plain, b"right", keybox.LEGACY))


KEYS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "private key release.key is empty", "cosign generate-key-pair"),
    "blanks": (lambda: b" \n\n", "private key release.key is empty", "cosign generate-key-pair"),
    "public half": (
        lambda: public(P256),
        "is a public key where the private one is needed",
        "cosign.key",
    ),
    "RSA": (
        lambda: private(RSA),
        "is of a kind that is not known here (RSA)",
        "cosign generate-key-pair",
    ),
    "P-521": (
        lambda: private(P521),
        "is of a kind that is not known here (EC)",
        "cosign generate",
    ),
    "noise": (lambda: b"\x00\xff" * 90, "holds no key in PEM form", "BEGIN"),
    "certificate": (
        localhost()[0].encode,
        "holds a block 'CERTIFICATE'",
        "cosign import-key-pair",
    ),
    "two keys": (lambda: private(P256) * 2, "holds several keys", "one block"),
    "password, and no terminal": (
        sealed,
        "there is no terminal to ask for it",
        "set `COSIGN_PASSWORD`",
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_cannot_sign(
    kind: str, built_mini: Mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4, the key's name and what to do; the store stays as it was."""
    make, words, hint = KEYS[kind]
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    (built_mini.path / "release.key").write_bytes(make())
    built_mini.settings("  dev: {", "  dev: {key: release.key, ")
    before = (built_mini.path / ".lockgate/store/index.json").read_bytes()

    answer = built_mini.inv("sign", "-c", "web")

    refused(answer, 4, words, hint)
    assert (built_mini.path / ".lockgate/store/index.json").read_bytes() == before


AT_A_TERMINAL = """
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"""


@pytest.mark.parametrize("typed", [b"\x04", b"\xff\xe9\n"], ids=["Ctrl-D", "not text"])
def test_a_password_that_is_not_typed(typed: bytes, built_mini: Mini) -> None:
    """At a terminal, whose prompt is answered by its end or by no text: exit 4, and what to do; no traceback."""
    (built_mini.path / "release.key").write_bytes(sealed())
    built_mini.settings("  dev: {", "  dev: {key: release.key, ")
    environment = built_mini.environment | {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    environment.pop("COSIGN_PASSWORD", None)
    sign = (sys.executable, "-m", "lockgate.tasks.program", "sign", "-c", "web")

    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, *sign],
        cwd=built_mini.path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        shown = b""
        while not shown.endswith(b": ") and (more := child.stdout.read(1)):
            shown += more  # what is typed before the prompt is thrown away
        child.stdin.write(typed)
        shown += child.communicate(timeout=60)[0]

    assert child.returncode == 4
    assert shown.decode().splitlines()[1:] == [
        "no password of release.key could be read",
        "  hint: type it and Enter, or set `COSIGN_PASSWORD`",
    ]


TRUSTED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "public key release is empty", "cosign generate-key-pair"),
    "private half": (
        lambda: private(P256),
        "is a private key where a public one is needed",
        "cosign public-key",
    ),
    "RSA": (lambda: public(RSA), "is of a kind that is not known here", "cosign generate-key-pair"),
    "certificate": (
        localhost()[0].encode,
        "holds a certificate, not a public key",
        "BEGIN PUBLIC KEY",
    ),
}


@pytest.mark.parametrize("kind", TRUSTED)
def test_a_key_that_cannot_verify(kind: str, built_mini: Mini) -> None:
    """The same for what is trusted: nothing is verified with it, and nothing without it."""
    make, words, hint = TRUSTED[kind]
    (built_mini.path / "release.pub").write_bytes(make())
    built_mini.settings("  dev: {", "  dev: {public_keys: [release.pub], ")

    refused(built_mini.inv("verify", "-c", "web"), 4, words, hint)


def test_a_key_that_is_not_there(built_mini: Mini) -> None:
    """Its path, the reason, and the setting that names it."""
    built_mini.settings("  dev: {", "  dev: {key: gone.key, ")

    refused(
        built_mini.inv("sign", "-c", "web"), 4, "gone.key cannot be read: No such file", "`key`"
    )


# --- what is not served


def test_a_folder_that_is_no_layout_is_not_served(mini: Mini) -> None:
    """A layout is not made among somebody's files; one that was killed while it was made is gone on with."""
    keys = mini.path / "keys"
    keys.mkdir()
    (keys / "release.key").write_text("x")

    refused(mini.inv("registry.serve", "--store", "keys"), 2, "no image layout, and not empty")
    assert [one.name for one in keys.iterdir()] == ["release.key"]

    (mini.path / "begun" / "blobs").mkdir(parents=True)
    other = mini.inv("registry.serve", "--store", "begun", "--port", "99999")
    assert "not empty" not in other.err
