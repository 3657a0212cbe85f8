"""What refers to an image in a registry: the Referrers API, and the tag where there is none.

Distribution specification 1.1, "Listing Referrers", "Referrers Tag Schema" and "Pushing Manifests with
Subject". The tag's index is changed by reading and writing it, which no registry can do in one step: what was
written is read back, and written again when somebody else was faster. Who writes later than that is found out
at the end of a run (`settle`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode, loads
from lockgate.base.errors import DigestMismatch, RegistryError, UsageError
from lockgate.oci.closure import check_referrers
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MAX_JSON, Descriptor, Index, index_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.oci.faults import Answer
    from lockgate.oci.manifests import Manifests
    from lockgate.oci.settle import Settling
    from lockgate.oci.transport import Transport

_MAX_PAGES = 1_000
_WITHOUT = (400, 404, 405, 406, 501)
"""How registries that do not know the API answer."""

_NEXT = re.compile(r'<([^<>]+)>\s*;[^,<>]*\brel="?next\b', re.I)
"""No link reaches into the next one: from each of them to the end would be long work for a short header."""


def next_page(link: str) -> str:
    """Return the address of the next page in a Link header (RFC 8288); empty on the last one."""
    match = _NEXT.search(link)
    return match[1] if match else ""


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of a digest."""
    return f"sha256-{Digest(digest).hex}"


class Referrers:
    """The referrers of one repository's manifests."""

    def __init__(self, transport: Transport, manifests: Manifests, settling: Settling) -> None:
        self._transport, self._manifests, self._settling = transport, manifests, settling
        self._offered: bool | None = None
        self._absent = False
        """True once the registry has answered that it knows no such API; it is not asked again."""

    def list(self, digest: str) -> tuple[Descriptor, ...]:
        """Return what is listed for a digest, by the registry or, where it does not, by the tag.

        Raises:
            RegistryError: there is no answer, or none that can be read.
            TrustError: there are more than anybody reads.
        """
        found = None if self._absent else self._from_api(digest)
        if found is None:
            held = self._manifests.fetch(fallback_tag(digest))
            found = _parse(held[1], self._transport.endpoint.name) if held else ()
        return found

    def add(self, subject: str, listed: Descriptor) -> None:
        """List a manifest that the registry did not list itself.

        Raises:
            RegistryError: the tag cannot be written, or what is written there does not stay.
            DigestMismatch: the registry says that it got or stored other bytes.
        """
        if _lists(self.list(subject), listed):
            return
        tag, number, misread = fallback_tag(subject), 0, 0
        while True:
            number += 1
            try:
                with self._settling.change():
                    # Read anew for each attempt: the longer ago, the more of others' entries would be lost.
                    held = self._manifests.fetch(tag)
                    data = _with(held[1] if held else index_bytes(Index(manifests=())), listed)
                    self._manifests.put_once(tag, data, INDEX)
            except (RegistryError, DigestMismatch) as error:
                if "immutable" in error.message:
                    error.hint = "let tags that begin with `sha256-` change: they list signatures"
                misread += isinstance(error, DigestMismatch)
                self._manifests.pause(error, number, misread)
            now = self._manifests.fetch(tag)
            if now and _lists(Index.parse(now[1]).manifests, listed):
                return
            self._manifests.pause(
                RegistryError(
                    f"the list of referrers of {Digest(subject).short} at {self._transport.endpoint.name} "
                    "does not keep what is added: it is changed by others, or served from a cache",
                    hint="run the same command again",
                    retryable=True,
                ),
                number,
                misread,
            )

    def offered(self, subject: str) -> bool:
        """True when the registry has the Referrers API; asked once, with a digest that may have referrers."""
        if self._offered is None:
            self._from_api(subject)
        return bool(self._offered)

    def _from_api(self, digest: str) -> tuple[Descriptor, ...] | None:
        """Return what the API lists; None when there is none."""
        where = self._transport.endpoint
        what = f"the list of referrers of {Digest(digest).short}"
        found: list[Descriptor] = []
        seen: set[str] = set()
        url = f"{where.address}/referrers/{digest}"
        while url and url not in seen and len(seen) < _MAX_PAGES:
            seen.add(url)
            answer = self._ask(url, what)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            self._offered = answer.status == 200 and kind == INDEX
            if found and not self._offered:
                # What it listed is there, and the tag that stands in for a missing API would not have it.
                raise RegistryError(
                    f"{what} at {where.name} breaks off: its next page is no list",
                    hint="run the same command again; when it stays, tell who runs the registry",
                    retryable=True,
                )
            if not self._offered:
                # Some registries answer for what they do not know with a page for people. One that knows the API
                # answers for every digest, also for those that it does not hold ("Listing Referrers").
                self._absent = answer.status == 404
                return None
            found += _parse(answer.body, where.name)
            # Page by page, or they would fill the memory first.
            check_referrers(len(found), digest, where.name)
            url = next_page(answer.headers.get("link", ""))
        if url:
            raise RegistryError(
                f"{what} at {where.name} has no end", hint="tell who runs the registry"
            )
        return tuple(found)

    def _ask(self, url: str, what: str) -> Answer:
        return self._transport.patiently(
            lambda: self._transport.request(
                "GET",
                url,
                what,
                headers={"Accept": INDEX},
                accept=(200, *_WITHOUT),
                limit=MAX_JSON,
            )
        )


def _parse(data: bytes, where: str) -> tuple[Descriptor, ...]:
    try:
        return Index.parse(data).manifests
    except UsageError as error:
        raise RegistryError(
            f"a list of referrers at {where} is not readable: {error.message}",
            hint="tell who runs the registry",
        ) from None


def _lists(found: Iterable[Descriptor], listed: Descriptor) -> bool:
    return any(one.digest == listed.digest for one in found)


def _with(data: bytes, listed: Descriptor) -> bytes:
    """Return an index with one more entry; whatever others wrote in it is kept."""
    document = loads(data, what="list of referrers")
    entries = [*document["manifests"], loads(encode(listed))]
    entries.sort(key=lambda one: (str(one.get("artifactType", "")), str(one["digest"])))
    return encode(document | {"manifests": entries})
