"""The requests to a Kubernetes API server that a deployment makes, each counted and bounded in time.

Every request here may be made twice with the effect of one: server-side apply says what should be, deletions name
the object by its uid, and replacements name the version that they replace. So all of them are tried again, for
`patience` seconds, when the server restarts or has too much to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from lockgate.base.errors import ClusterError
from lockgate.deploy.kube import discovery, faults
from lockgate.deploy.kube.answers import Applied, Body, Clock, Page
from lockgate.deploy.kube.ownership import MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.connection import Answer, Transport
    from lockgate.deploy.kube.discovery import Kind, Kinds

PAGE = 500
"""Objects of one answer to a list."""

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ATTEMPTS = 3
"""How often the server may answer a request with an error of its own, such as a webhook that does not answer."""


class Client:
    """Speaks with one API server. Several threads may use it at once."""

    def __init__(
        self, transport: Transport, *, clock: Clock | None = None, patience: float = 30.0
    ) -> None:
        self._transport = transport
        self.clock = clock or Clock()
        self._patience = patience
        self._kinds: Kinds | None = None

    @property
    def kinds(self) -> Kinds:
        """What the cluster serves; asked for on first use.

        Raises:
            ClusterError: it is out of reach or no Kubernetes of 1.27 or later.
        """
        if self._kinds is None:
            self._kinds = self.read_kinds()
        return self._kinds

    def read_kinds(self) -> Kinds:
        """Ask what the cluster serves now, as after a CustomResourceDefinition was made."""
        accept = f"{discovery.ACCEPT},{discovery.ACCEPT_OLDER},application/json"
        found: list[Kind] = []
        for path in ("/api", "/apis"):
            answer = self._send("GET", path, what="the list of kinds", accept=accept)
            found += discovery.parse(answer.body)
        self._kinds = discovery.Kinds(found)
        return self._kinds

    def apply(
        self,
        kind: Kind,
        one: ResourceId,
        body: Mapping[str, Any],
        *,
        dry_run: bool,
        force: bool,
        check: Callable[[], None] | None = None,
    ) -> Applied:
        """Apply an object on the server's side (Server-Side Apply); unknown fields are refused.

        Args:
            kind: its kind as served.
            one: what it is.
            body: what should be; fields that are not in it and were ours are removed.
            dry_run: only say what would be.
            force: take fields over from other managers.
            check: raises when it must not be tried again: after a while the inventory is somebody else's.

        Raises:
            Conflict: another manager owns fields; or the namespace is being deleted.
            Rejected: it is not valid, or admission says no.
            Forbidden: this user may not.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        query |= {"force": "true"} if force else {}
        answer = self._send(
            "PATCH",
            f"{kind.path(one.namespace, one.name)}?{urlencode(query)}",
            what=one.label,
            body=msgspec.json.encode(body),
            media=_APPLY,
            secret=is_secret(one),
            check=check,
        )
        return Applied(_decode(answer), answer.status == 201)

    def get(self, kind: Kind, one: ResourceId) -> Body | None:
        """Return an object as it is; None when there is none.

        Raises:
            ClusterError: with status 404: its kind is not served in this version.
        """
        answer = self._send("GET", kind.path(one.namespace, one.name), what=one.label, missing=True)
        return None if answer.status == 404 else _decode(answer)

    def create(
        self, kind: Kind, one: ResourceId, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> Body:
        """Create an object that must not exist; unknown fields are refused.

        Raises:
            Conflict: it exists; its reason is `AlreadyExists`.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        answer = self._send(
            "POST",
            f"{kind.path(one.namespace)}?{urlencode(query)}",
            what=one.label,
            body=msgspec.json.encode(body),
            secret=is_secret(one),
        )
        return _decode(answer)

    def replace(self, kind: Kind, one: ResourceId, body: Mapping[str, Any]) -> Body:
        """Replace an object by one with the same resource version.

        Raises:
            Conflict: somebody changed it meanwhile.
        """
        answer = self._send(
            "PUT",
            f"{kind.path(one.namespace, one.name)}?fieldManager={MANAGER}",
            what=one.label,
            body=msgspec.json.encode(body),
        )
        return _decode(answer)

    def patch(
        self, kind: Kind, one: ResourceId, changes: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> Body:
        """Change parts of an object: a list is a JSON patch (RFC 6902), a mapping a merge patch (RFC 7396)."""
        answer = self._send(
            "PATCH",
            f"{kind.path(one.namespace, one.name)}?fieldManager={MANAGER}",
            what=one.label,
            body=msgspec.json.encode(changes),
            media=_JSON_PATCH if isinstance(changes, list) else _MERGE_PATCH,
            secret=is_secret(one),
        )
        return _decode(answer)

    def delete(
        self,
        kind: Kind,
        one: ResourceId,
        *,
        uid: str,
        version: str = "",
        check: Callable[[], None] | None = None,
    ) -> Body | None:
        """Delete an object, and in the background what it owns.

        Args:
            kind: its kind as served.
            one: what it is.
            uid: which one; another one of the same name is left alone.
            version: its resource version when it must not have changed since.
            check: as `apply`.

        Returns:
            None when it is gone; else the object that waits for its finalizers or its pods.

        Raises:
            Conflict: it has another uid or version.
            ClusterError: with status 404: its kind is not served in this version.
        """
        conditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        answer = self._send(
            "DELETE",
            kind.path(one.namespace, one.name),
            what=one.label,
            body=msgspec.json.encode(
                {
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "propagationPolicy": "Background",
                    "preconditions": conditions,
                }
            ),
            missing=True,
            secret=is_secret(one),
            check=check,
        )
        if answer.status == 404:
            return None
        found = _decode(answer)
        return None if found.get("kind") == "Status" else found

    def pages(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        selector: str = "",
        only_metadata: bool = False,
        limit: int = PAGE,
    ) -> Iterator[Page]:
        """Yield the objects of a kind page by page, so that memory stays flat.

        Args:
            kind: which.
            namespace: in which namespace; empty: in all.
            selector: of labels, `key=value`.
            only_metadata: leave out everything else.
            limit: objects of a page.
        """
        query = {"limit": str(limit)} | ({"labelSelector": selector} if selector else {})
        while True:
            answer = self._send(
                "GET",
                f"{kind.path(namespace)}?{urlencode(query)}",
                what=f"the list of {kind.plural}",
                accept=f"{_ONLY_METADATA},application/json"
                if only_metadata
                else "application/json",
            )
            found = _decode(answer)
            metadata = found.get("metadata") or {}
            yield Page(
                found.get("items") or [],
                metadata.get("resourceVersion", ""),
                metadata.get("remainingItemCount") or 0,
            )
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    def watch(
        self, kind: Kind, namespace: str, *, selector: str, version: str, until: float
    ) -> Iterator[tuple[str, Body]]:
        """Yield what happens to objects of a kind after `version`, as `ADDED`, `MODIFIED` or `DELETED`.

        Ends when the monotonic clock says `until`, or when the server has no more to say: then list and watch
        again.
        """
        left = max(1, int(until - self.clock.monotonic()) + 1)
        query = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(left),
            "labelSelector": selector,
        }
        for line in self._transport.lines(
            f"{kind.path(namespace)}?{urlencode(query)}", until=until
        ):
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                return
            if not isinstance(event, dict) or event.get("type") in (None, "ERROR"):
                return  # the version is too old (410), or it is no watch at all
            yield event["type"], event["object"]

    def review(self, kind: str, spec: Mapping[str, Any]) -> Body:
        """Ask what this user may do (authorization.k8s.io/v1); return the review's status."""
        path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self._send(
            "POST", path, what="the list of permissions", body=msgspec.json.encode(body)
        )
        status: Body = _decode(answer).get("status") or {}
        return status

    def _send(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: bytes = b"",
        media: str = "application/json",
        accept: str = "application/json",
        missing: bool = False,
        secret: bool = False,
        check: Callable[[], None] | None = None,
    ) -> Answer:
        """Make a request, again while that may help; that an object is not there is an answer where `missing` says so."""
        until, failed, pause = self.clock.monotonic() + self._patience, 0, 0.1
        while True:
            try:
                answer = self._transport.send(method, path, body=body, media=media, accept=accept)
                if answer.status < 300 or (
                    missing and answer.status == 404 and faults.is_absent(answer.body)
                ):
                    return answer
                raise faults.refused(
                    answer.status,
                    answer.body,
                    what,
                    secret=secret,
                    retry_after=answer.headers.get("retry-after", ""),
                )
            except ClusterError as error:
                failed += error.status == 500
                wait = max(error.pause, pause * (0.5 + self.clock.random() / 2))
                passes = (
                    error.retryable
                    # An apply names no version: it met another writer, and may be made anew.
                    and (error.status != 409 or media == _APPLY)
                    and failed < _ATTEMPTS
                    and self.clock.monotonic() + wait < until
                )
                if not passes:
                    raise
                self.clock.sleep(wait)
                pause = min(pause * 2, 2.0)
                if check is not None:
                    check()


def is_secret(one: ResourceId) -> bool:
    """Return whether an object's values must not be shown."""
    return one.group == "" and one.kind == "Secret"


def _decode(answer: Answer) -> Body:
    try:
        found = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict):
        raise ClusterError(
            "the cluster answered with something that is no object",
            hint="check that the address is an API server's: `kubectl version`",
        )
    return found
