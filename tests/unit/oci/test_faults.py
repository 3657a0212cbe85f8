"""Every way in which a registry or the library fails has its words, its kind and a hint."""

from __future__ import annotations

import inspect
import socket
import ssl
from typing import Any

import httpx2
import pytest

from lockgate.base.errors import DigestMismatch, RegistryError
from lockgate.oci.faults import FOREIGN, TEXTS, Answer, refused, unreachable

HOST = "registry.example:5000"

RAISED = sorted(
    {
        kind
        for _, kind in inspect.getmembers(httpx2, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    },
    key=lambda kind: kind.__name__,
)


def made(kind: Any) -> Exception:
    """Return an exception of httpx2, whatever its constructor wants."""
    if issubclass(kind, httpx2.HTTPStatusError):
        request = httpx2.Request("GET", "https://registry.example")
        found = kind("words", request=request, response=httpx2.Response(418))
    elif issubclass(kind, httpx2.StreamError) and kind is not httpx2.StreamError:
        found = kind()
    else:
        found = kind("words")
    assert isinstance(found, Exception)
    return found


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: str(kind.__name__))
def test_every_exception_of_the_library_has_words(kind: type[Exception]) -> None:
    """Walked, not listed: a new exception of httpx2 fails here until it has words of its own."""
    assert kind in TEXTS
    assert issubclass(kind, FOREIGN)
    error = unreachable(made(kind), HOST)
    assert error.message.startswith(f"{HOST} {TEXTS[kind][0]}")
    assert error.hint
    assert error.retryable is TEXTS[kind][1]


def test_the_walk_finds_the_exceptions() -> None:
    """The walk above is not over nothing, and no words are for what does not exist."""
    assert len(RAISED) > 20
    assert set(TEXTS) == set(RAISED)


@pytest.mark.parametrize(
    ("cause", "words", "again"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "is not known", False),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "is not known", True),
        (ConnectionRefusedError(111, "refused"), "refuses connections", True),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"), "does not speak TLS", False),
        (ssl.SSLError(1, "[SSL: BAD_THING] bad thing"), "fails at TLS", False),
    ],
)
def test_the_cause_says_more(cause: Exception, words: str, again: bool) -> None:
    """What lies below the library's exception names the trouble: the name, the port, the protocol."""
    error = httpx2.ConnectError("words")
    error.__cause__ = OSError("between")
    error.__cause__.__cause__ = cause

    found = unreachable(error, HOST)

    assert words in found.message
    assert found.message.startswith(HOST)
    assert found.hint
    assert found.retryable is again


def test_a_certificate_that_is_not_trusted() -> None:
    """The wrong authority is named as such, with the flag that helps, and is not tried again."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "unable to get local issuer certificate"
    error = httpx2.ConnectError("words")
    error.__cause__ = cause

    found = unreachable(error, HOST)

    assert "is not trusted: unable to get local issuer" in found.message
    assert "--authority" in found.hint
    assert not found.retryable


def test_causes_in_a_circle_end() -> None:
    """Exceptions that name each other do not hang the translation."""
    error = httpx2.ReadError("words")
    error.__cause__ = other = OSError("other")
    other.__cause__ = error

    assert "broke the connection off" in unreachable(error, HOST).message


def test_plain_http_that_is_cut_off_may_want_tls() -> None:
    """A server that speaks TLS ends the connection, without a word; over TLS nothing of it is said."""
    error = httpx2.ReadError("[Errno 104] Connection reset by peer")

    assert "--authority" in unreachable(error, HOST, plain=True).hint
    assert "--authority" not in unreachable(error, HOST).hint


def test_a_server_that_says_it_wants_tls() -> None:
    """Servers made with Go answer plain HTTP with these words."""
    body = b"Client sent an HTTP request to an HTTPS server.\n"

    found = refused(Answer(400, {}, body), "the registry", "localhost:5000/app")

    assert found.message == "localhost:5000 speaks TLS"
    assert "--authority" in found.hint


def said(code: str, message: str = "") -> bytes:
    """Return the body of an error."""
    return f'{{"errors":[{{"code":"{code}","message":"{message}"}}]}}'.encode()


IMMUTABLE = [
    # Harbor, ECR, Artifact Registry, Quay.
    (412, said("PRECONDITION", "Failed to process request due to 'app:1' configured as immutable.")),
    (400, said("TAG_INVALID", "The image tag '1' already exists and cannot be overwritten because "
                              "the repository is immutable")),
    (400, said("MANIFEST_INVALID", "cannot update tag 1. The repository has enabled tag immutability")),
    (409, said("CONFLICT", "tag already exists")),
    (403, said("DENIED", "tag 1 is protected")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), IMMUTABLE)
def test_a_tag_that_stays_where_it_is(status: int, body: bytes) -> None:
    """However a registry says that its tags are immutable: one sentence, and what to do."""
    error = refused(Answer(status, {}, body), "tag 1", "registry.example/app")

    assert isinstance(error, RegistryError)
    assert "tag 1 already exists at registry.example/app" in error.message
    assert "immutable" in error.message
    assert "--tag" in error.hint
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body", "words", "hint"),
    [
        (400, said("MANIFEST_BLOB_UNKNOWN", "gone"), "lacks a part of tag 1 (gone)", "loses"),
        (401, b"", "asks for credentials", "docker login registry.example"),
        (403, said("DENIED", "no"), "does not allow this: tag 1 (no)", "docker login"),
        (404, said("NAME_UNKNOWN", "unknown"), "tag 1 is not at", "check"),
        (405, b"", "does not offer this", "switched off"),
        (415, b"", "does not take tag 1", "OCI 1.1"),
        (400, said("MANIFEST_INVALID", "odd type"), "does not take tag 1 (odd type)", "OCI 1.1"),
        (418, b"", "answered 418", "registry"),
    ],
)
def test_an_answer(status: int, body: bytes, words: str, hint: str) -> None:
    """Each status has a sentence of its own, with the registry's words and a hint."""
    error = refused(Answer(status, {}, body), "tag 1", "registry.example/app")

    assert isinstance(error, RegistryError)
    assert words in error.message
    assert hint in error.hint
    assert (error.status, error.retryable, error.exit_code) == (status, False, 5)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_may_change(status: int) -> None:
    """Too many requests and a server that fails are the ones to try again."""
    error = refused(Answer(status, {}, b""), "tag 1", "registry.example/app")

    assert isinstance(error, RegistryError)
    assert error.retryable


def test_other_bytes_are_a_matter_of_trust() -> None:
    """A registry that got other bytes than were sent speaks of tampering: exit code 4, not 5."""
    answer = Answer(400, {}, said("DIGEST_INVALID", "no match"))

    error = refused(answer, "blob", "registry.example/app")

    assert isinstance(error, DigestMismatch)
    assert error.exit_code == 4


def test_a_digest_that_is_invalid_when_nothing_was_sent() -> None:
    """The same code as answer to a question is the registry's own trouble, which passes."""
    answer = Answer(400, {}, said("DIGEST_INVALID", "no match"))

    error = refused(answer, "tag 1", "registry.example/app", reading=True)

    assert isinstance(error, RegistryError)
    assert error.retryable


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"[]", b"null", b'{"errors":3}', b'{"errors":["x"]}', b'{"errors":[{"code":[1]}]}',
     b'{"errors":[{"message":{"a":1}}]}', b"{" * 5000],
)  # fmt: skip
def test_words_that_are_none(body: bytes) -> None:
    """Whatever a registry sends as the body of an error, the error is still one."""
    error = refused(Answer(500, {}, body), "tag 1", "registry.example/app")

    assert isinstance(error, RegistryError)
    assert len(error.message) < 400


def test_words_cannot_draw_on_the_terminal() -> None:
    """Escape sequences and line ends of a registry do not reach the screen, nor do endless words."""
    body = said("X", "red \\u001b[31m\\nnext line" + "x" * 10_000)

    error = refused(Answer(500, {}, body), "tag 1", "registry.example/app")

    assert error.message.isprintable()
    assert len(error.message) < 400
