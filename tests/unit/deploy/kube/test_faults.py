"""What refusals of an API server mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lockgate.base.errors import ClusterError, Conflict, Forbidden, Rejected
from lockgate.deploy.kube.faults import is_absent, manager_of, refused


def status(message: str, reason: str = "", *causes: tuple[str, str, str], **details: Any) -> bytes:
    """Return a Status."""
    listed = [{"reason": kind, "field": field, "message": text} for kind, field, text in causes]
    body = {
        "kind": "Status",
        "message": message,
        "reason": reason,
        "details": {"causes": listed, **details},
    }
    return json.dumps(body).encode()


TABLE: list[tuple[str, int, bytes, type[ClusterError], str, bool]] = [
    ("RBAC", 403, status('configmaps is forbidden: User "x" cannot patch resource "configmaps"', "Forbidden"), Forbidden, "cannot patch", False),
    ("policy", 403, status("admission webhook denied the request: no", "Forbidden"), Rejected, "denied the request", False),
    ("Pod Security", 403, status('pods "a" is forbidden: violates PodSecurity', "Forbidden"), Rejected, "violates PodSecurity", False),
    ("starting", 403, status('configmaps "a" is forbidden: not yet ready to handle request', "Forbidden"), ClusterError, "still starting", True),
    ("namespace that ends", 403, status("x", "Forbidden", ("NamespaceTerminating", "", "")), Conflict, "being deleted", False),
    ("invalid", 422, status("x", "Invalid", ("FieldValueInvalid", "spec.replicas", "must be positive")), Rejected, "spec.replicas: must be positive", False),
    ("unknown field", 400, status('strict decoding error: unknown field "dta"', "BadRequest"), Rejected, "dta", False),
    ("typed", 500, status("failed to create typed patch object (a/b; v1, Kind=ConfigMap): .data.p: expected string, got &value.valueUnstructured{Value:3}"), Rejected, ".data.p: expected string", False),
    ("too large", 413, status("too large", "RequestEntityTooLarge"), Rejected, "too large", False),
    ("field of another", 409, status("x", "Conflict", ("FieldManagerConflict", ".data.key", 'conflict with "kubectl-edit" using v1')), Conflict, ".data.key (kubectl-edit)", False),
    ("version", 409, status("the object has been modified", "Conflict"), Conflict, "at the same time", True),
    ("exists", 409, status("x", "AlreadyExists"), Conflict, "exists already", False),
    ("missing", 404, status('namespaces "a" not found', "NotFound"), ClusterError, 'namespaces "a" not found', False),
    ("webhook", 500, status('Internal error occurred: failed calling webhook "a.example.org": timeout', "InternalError"), ClusterError, "webhook a.example.org did not answer", True),
    ("busy", 429, status("slow down", "TooManyRequests", retryAfterSeconds=3), ClusterError, "429", True),
    ("down", 503, b"upstream is not there", ClusterError, "upstream is not there", True),
    ("timeout", 504, status("timed out", "Timeout"), ClusterError, "504", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "body", "kind", "words", "retryable"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_a_refusal_is_named(
    code: int, body: bytes, kind: type[ClusterError], words: str, retryable: bool
) -> None:
    """By its kind, with the object before it and something to do behind it."""
    error = refused(code, body, "ConfigMap/a/b")
    assert type(error) is kind
    assert error.message.startswith("ConfigMap/a/b")
    assert words in error.message
    assert error.retryable is retryable
    assert error.hint


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_a_refusal_of_a_secret_shows_no_value(row: tuple[Any, ...]) -> None:
    """Whatever the server says of it."""
    body = (
        row[2]
        .replace(b"must be positive", b"hidden")
        .replace(b"denied the request: no", b"denied the request: hidden")
    )
    body = (
        body.replace(b"Value:3", b"Value:hidden")
        .replace(b"slow down", b"hidden")
        .replace(b"upstream is not there", b"hidden")
    )
    if row[0] not in ("missing", "RBAC"):
        assert "hidden" not in refused(row[1], body, "Secret/a/b", secret=True).message


@pytest.mark.parametrize("code", [400, 403, 404, 409, 418, 500])
@pytest.mark.parametrize("words", ["hidden", 'User "x" cannot hidden', "exceeded quota: hidden"])
def test_no_status_and_no_words_of_a_webhook_show_a_value(code: int, words: str) -> None:
    """It chooses both."""
    body = status(f'admission webhook "w" denied the request: {words}', "Forbidden")
    error = refused(code, body, "Secret/a/b", secret=True)
    assert isinstance(error, Rejected)
    assert "hidden" not in error.message


def test_a_wrong_secret_names_its_field() -> None:
    """That much may be known."""
    body = status("failed to create typed patch object (a/b; v1, Kind=Secret): .data.p: expected string, got &value.valueUnstructured{Value:hidden}")  # fmt: skip
    error = refused(500, body, "Secret/a/b", secret=True)
    assert error.message == "Secret/a/b is refused: .data.p"


def test_a_value_that_looks_like_a_field_is_not_shown() -> None:
    """The server quotes what it could not read, and what follows may be anything."""
    body = status("failed to create typed patch object (a/b; v1, Kind=Secret): errors:\n  .data.p: expected string, got &value.valueUnstructured{Value:map[x: .hidden: y]}\n  .data.q: expected string")  # fmt: skip
    assert "hidden" not in refused(500, body, "Secret/a/b", secret=True).message


@pytest.mark.parametrize(
    ("body", "absent"),
    [
        (status('configmaps "a" not found', "NotFound", name="a"), True),
        (status("the server could not find the requested resource", "NotFound"), False),
        (b"404 page not found\n", False),
        (b"", False),
    ],
)
def test_only_an_answer_that_names_the_object_says_that_it_is_not_there(
    body: bytes, absent: bool
) -> None:
    """Another one is about the path, or from something between."""
    assert is_absent(body) is absent


def test_the_time_to_wait_is_taken_from_the_answer() -> None:
    """The header goes before the body."""
    body = status("x", "TooManyRequests", retryAfterSeconds=3)
    assert refused(429, body, "x").pause == 3
    assert refused(429, body, "x", retry_after="7").pause == 7
    assert refused(429, body, "x", retry_after="soon").pause == 3


def test_a_manager_is_found_in_its_conflict() -> None:
    """Or the text is shown as it is."""
    assert manager_of('conflict with "argo" with subresource "scale" using apps/v1') == "argo"
    assert manager_of("something else") == "something else"
