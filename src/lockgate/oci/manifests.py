"""Manifests of one repository, by tag and by digest, kept as they were served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import loads
from lockgate.base.errors import DigestMismatch, RegistryError, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import INDEX, MANIFEST, MAX_JSON, Descriptor
from lockgate.oci.store import describe
from lockgate.oci.transport import ATTEMPTS

if TYPE_CHECKING:
    from lockgate.oci.faults import Answer
    from lockgate.oci.transport import Transport

_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = ", ".join((INDEX, MANIFEST, f"{_DOCKER}.list.v2+json", f"{_DOCKER}.v2+json"))
"""Docker's types too, so that a registry says what it has, and neither hides nor converts it."""

_MISREAD = 3
"""Times that a registry may say that it got other bytes. docker-registry says so, too, when another client
writes the same manifest at the same time."""

_REBUILD = "build or push the image as an OCI image: `skopeo copy --format oci SOURCE TARGET`"


class Manifests:
    """The manifests of one repository."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._label = transport.endpoint.name
        self._address = f"{transport.endpoint.address}/manifests"

    def fetch(self, reference: str) -> tuple[Descriptor, bytes] | None:
        """Return what a tag or a digest names, checked; None when it is not there.

        Raises:
            DigestMismatch: it has other bytes than the digest, or the registry, says.
            RegistryError: it is of a type that is not read.
            TrustError: it is of one type inside and of another outside.
        """
        what = named(reference)
        answer = self._transport.patiently(
            lambda: self._transport.request(
                "GET",
                f"{self._address}/{reference}",
                what,
                headers={"Accept": _ACCEPT},
                accept=(200, 404),
                limit=MAX_JSON,
            )
        )
        if answer.status == 404:
            return None
        said = reference if ":" in reference else _claimed(answer)
        if said and said != Digest.of(answer.body):
            raise DigestMismatch(
                f"{what} from {self._label} has other bytes than its digest says",
                hint="something on the way changes bytes; do not use this copy",
            )
        return self._read(answer, what), answer.body

    def tagged(self, reference: str) -> str:
        """Return the digest that a tag or digest leads to now; empty when it leads nowhere."""
        answer = self._transport.patiently(
            lambda: self._transport.request(
                "HEAD",
                f"{self._address}/{reference}",
                named(reference),
                headers={"Accept": _ACCEPT},
                accept=(200, 404),
            )
        )
        if answer.status == 404:
            return ""
        if _claimed(answer):
            return _claimed(answer)
        found = self.fetch(reference)
        return found[0].digest if found else ""

    def put(self, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest under a tag or its digest; one that is there is not sent again when in doubt.

        Returns:
            The subject under which the registry says that it listed it (`OCI-Subject`); empty when it did
            not, or when its answer was lost and the manifest is there.

        Raises:
            RegistryError: the registry refuses it, or is out of reach.
            DigestMismatch: it says that it got or stored other bytes.
        """
        digest, number, misread = Digest.of(data), 0, 0
        while True:
            try:
                answer = self._send(reference, data, media_type)
            except (RegistryError, DigestMismatch) as error:
                number += 1
                misread += isinstance(error, DigestMismatch)
                self.pause(error, number, misread)
                if self.tagged(reference) == digest:
                    return ""
            else:
                return self._subject(answer, digest, reference)

    def put_once(self, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest as `put`, with one attempt; after a failure it may be there all the same."""
        answer = self._send(reference, data, media_type)
        return self._subject(answer, Digest.of(data), reference)

    def _send(self, reference: str, data: bytes, media_type: str) -> Answer:
        return self._transport.request(
            "PUT",
            f"{self._address}/{reference}",
            named(reference),
            headers={"Content-Type": media_type},
            body=data,
            accept=(200, 201, 202),
        )

    def _subject(self, answer: Answer, digest: str, reference: str) -> str:
        if _claimed(answer) not in ("", digest):
            raise DigestMismatch(
                f"{self._label} stored {named(reference)} with other bytes than it was given",
                hint="do not use this registry: it changes what it holds",
            )
        return answer.headers.get("oci-subject", "")

    def pause(self, error: RegistryError | DigestMismatch, number: int, misread: int) -> None:
        """Wait after failed attempt `number` to store a manifest, 1 for the first.

        Args:
            error: what this attempt ended in.
            number: attempts so far, for whatever reason they failed.
            misread: those of them that ended in DigestMismatch.

        Raises:
            RegistryError, DigestMismatch: trying again is of no use.
        """
        if isinstance(error, DigestMismatch):
            if misread >= _MISREAD or number >= ATTEMPTS:
                raise error
            error = RegistryError(error.message, hint=error.hint, retryable=True)
        self._transport.pause(error, number)

    def delete(self, reference: str) -> None:
        """Delete a manifest by digest, or a tag where the registry can; what is absent is deleted.

        Raises:
            RegistryError: the registry does not allow it.
        """
        self._transport.access.want(self._transport.endpoint.path, "delete")
        self._transport.patiently(
            lambda: self._transport.request(
                "DELETE",
                f"{self._address}/{reference}",
                named(reference),
                accept=(200, 202, 204, 404),
            )
        )

    def _read(self, answer: Answer, what: str) -> Descriptor:
        """Describe what was served, after its type was found to be one that is read."""
        outside = answer.headers.get("content-type", "").partition(";")[0].strip()
        try:
            document = loads(answer.body, what=what)
            inside = document.get("mediaType", "") if isinstance(document, dict) else ""
            if isinstance(document, dict) and document.get("schemaVersion") == 1:
                raise RegistryError(
                    f"{what} of {self._label} is a manifest of schema 1, which names nothing by digest",
                    hint=_REBUILD,
                )
            for kind in (inside or outside, outside):
                if str(kind).startswith(_DOCKER):
                    raise RegistryError(
                        f"{what} of {self._label} is of Docker's type {kind}, only OCI images are read",
                        hint=_REBUILD,
                    )
            found, _ = describe(answer.body)
        except UsageError as error:
            raise RegistryError(
                f"{what} of {self._label} is not readable: {error.message}",
                hint="check that the address is that of an image in a registry",
            ) from None
        if outside in (INDEX, MANIFEST) and outside != found.media_type:
            raise TrustError(
                f"{what} of {self._label} is served as {outside} and is {found.media_type}",
                hint="two readers would see two images in it; do not use it",
            )
        return Descriptor.of(found.media_type, answer.body)


def named(reference: str) -> str:
    """Return how to name a manifest in a sentence."""
    return f"manifest {Digest(reference).short}" if ":" in reference else f"tag {reference}"


def _claimed(answer: Answer) -> str:
    """Return the digest that a registry says, when it is of the algorithm that is spoken here."""
    claimed = answer.headers.get("docker-content-digest", "")
    return claimed if claimed.startswith("sha256:") else ""
