"""What a refusal of an API server means (meta/v1, Status), in our errors. Pure.

Texts of the server about a Secret are not passed on: some of them quote its values.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lockgate.base.canonical import Foreign
from lockgate.base.errors import ClusterError, Conflict, Forbidden, Rejected

_RBAC = re.compile(r'User "[^"]*" cannot [a-z*]+ ')
_WEBHOOK = re.compile(r'failed calling webhook "([^"]*)"')
_DENIED = re.compile(r"admission webhook|denied the request|violates PodSecurity|exceeded quota")
_WEBHOOKS_WORDS = "denied the request"
_STARTING = "not yet ready to handle request"
"""How an admission plug-in that has not read what it needs refuses (k8s.io/apiserver, `namespace/lifecycle`)."""
_UNKNOWN_FIELD = re.compile(r"unknown field \"([^\"]+)\"|duplicate field \"([^\"]+)\"")
_TYPED = re.compile(
    r"failed to (?:create typed patch object|convert new object) \([^)]*\)"
    r"(?: to proper version: unable to convert [^:]*)?: (.*)",
    re.DOTALL,
)
"""How the API server says, with status 500, that it cannot read an object that is applied."""
_FIELD = re.compile(r"(?:^|[\s;])(\.[^\s:]+):")
_GOT = re.compile(r", got &value\.valueUnstructured\{[^}]*\}")
_LONGEST = 600
"""Most characters of a server's text that are shown."""

MANAGER_CONFLICT = "FieldManagerConflict"
CORRECT = "correct it in its manifest"
"""The hint where the object itself is wrong, and not where it lies or who asks."""


class Cause(Foreign, frozen=True):
    """One thing that is wrong."""

    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(Foreign, frozen=True, rename="camel"):
    kind: str = ""
    name: str = ""
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: int = 0


class Status(Foreign, frozen=True):
    """What the server says of a request that it does not fulfil."""

    message: str | None = ""
    reason: str | None = ""
    details: _Details | None = None


def status_of(body: bytes) -> Status:
    """Read an answer; one that is no Status gives an empty one with the text as its message."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        return Status(message=body[:_LONGEST].decode("utf-8", "replace").strip())


def is_absent(body: bytes) -> bool:
    """Return whether an answer with status 404 says that there is no such object.

    It names the object then. Another one says that nothing is served under this path, as in a version of a
    CustomResourceDefinition that is served no more, or comes from something between: there it says nothing about the
    object, which may live on.
    """
    status = status_of(body)
    return status.reason == "NotFound" and status.details is not None and bool(status.details.name)


def refused(
    code: int, body: bytes, what: str, *, secret: bool = False, retry_after: str = ""
) -> ClusterError:
    """Return the error that an answer is.

    Args:
        code: the HTTP status.
        body: the answer.
        what: what was to be done with which object, to begin the sentence with: `Deployment/todo/web`.
        secret: whether the object is a Secret.
        retry_after: the header of that name.
    """
    status = status_of(body)
    details = status.details or _Details()
    causes = details.causes or ()
    text = (status.message or "").strip()[:_LONGEST]
    reason = status.reason or ""
    common: dict[str, Any] = {
        "status": code,
        "reason": reason,
        "causes": tuple((one.reason, one.field, one.message) for one in causes),
    }
    if any(one.reason == "NamespaceTerminating" for one in causes):
        return Conflict(
            f"{what}: its namespace is being deleted",
            hint="wait until it is gone, `kubectl get namespaces` shows it; then run the same again",
            **common,
        )
    if secret and _WEBHOOKS_WORDS in text:
        # A webhook chooses status and words as it likes.
        return Rejected(
            f"{what} is refused: an admission policy denies it; its words may hold values and are not shown",
            hint="the cluster's policy says no; correct the manifest, or ask who owns the policy",
            **common,
        )
    if code == 403 and _RBAC.search(text):
        return Forbidden(
            f"{what}: {_sentence(text)}",
            hint="`kubectl auth can-i --list` shows what is allowed",
            **common,
        )
    if code == 403 and _STARTING in text:
        return ClusterError(
            f"{what}: the API server is still starting",
            hint="run the same command again",
            retryable=True,
            **common,
        )
    typed = _TYPED.search(text)
    if code in (400, 403, 413, 422) or typed:
        return Rejected(
            f"{what} is refused: {_problem(text, causes, typed, secret)}",
            hint=CORRECT
            if not _DENIED.search(text)
            else "the cluster's policy says no; correct the manifest, or ask who owns the policy",
            **common,
        )
    if code == 409:
        return _conflict(what, causes, common)
    if code == 404:
        return ClusterError(
            f"{what}: {text or 'not found'}", hint="check namespace and kind", **common
        )
    webhook = _WEBHOOK.search(text)
    if webhook:
        return ClusterError(
            f"{what}: the admission webhook {webhook[1]} did not answer",
            hint="see that its service runs: `kubectl get validatingwebhookconfigurations,"
            "mutatingwebhookconfigurations` names it",
            retryable=True,
            **common,
        )
    pause = float(retry_after) if retry_after.isdecimal() else float(details.retry_after_seconds)
    return ClusterError(
        f"{what}: the cluster answered {code}: {_hidden(text) if secret else text or 'nothing'}",
        hint="run the same command again",
        retryable=code == 429 or code >= 500,
        pause=pause,
        **common,
    )


def _conflict(what: str, causes: tuple[Cause, ...], common: dict[str, Any]) -> Conflict:
    if causes and all(one.reason == MANAGER_CONFLICT for one in causes):
        shown = "; ".join(f"{one.field} ({manager_of(one.message)})" for one in causes)
        return Conflict(
            f"{what}: another manager owns {shown}",
            hint="leave these fields out of the manifest, or add `--take-over`",
            **common,
        )
    if common["reason"] == "AlreadyExists":
        return Conflict(f"{what} exists already", hint="run the same command again", **common)
    return Conflict(
        f"{what} was changed by somebody else at the same time",
        hint="run the same command again",
        retryable=True,
        **common,
    )


def manager_of(message: str) -> str:
    """Return who owns a field, from the text of a conflict: `conflict with "kubectl-edit" using apps/v1`."""
    found = re.match(r'conflict with "([^"]*)"', message)
    return found[1] if found else message


def _problem(
    text: str, causes: tuple[Cause, ...], typed: re.Match[str] | None, secret: bool
) -> str:
    if secret and "exceeded quota" not in text:
        if _DENIED.search(text):
            return "an admission policy denies it; its words may hold values and are not shown"
        fields = [one.field for one in causes if one.field]
        unknown = _UNKNOWN_FIELD.findall(text)
        fields += [first or second for first, second in unknown]
        # Behind the first field that has a wrong value stands the value.
        fields += _FIELD.findall(typed[1].partition(", got ")[0]) if typed else []
        immutable = " (it is immutable)" if "immutable" in text else ""
        return (
            f"{', '.join(fields)}{immutable}"
            if fields
            else "its `data` must be base64 text; what the cluster says may hold values and is not shown"
        )
    if causes:
        return "; ".join(
            f"{one.field}: {one.message}" if one.field else one.message for one in causes
        )
    return _sentence(_GOT.sub("", typed[1]) if typed else text) or "without a reason"


def _sentence(text: str) -> str:
    """Return a text of the server on one line."""
    return " ".join(text.split())


def _hidden(text: str) -> str:
    return "what it says may hold values and is not shown" if text else "nothing"
