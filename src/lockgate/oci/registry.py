"""One repository of a registry, as the OCI distribution specification 1.1 has it; a `store.Target`.

A tag is asked for once, by `resolve`; everything after it goes by digest.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import RegistryError, UsageError
from lockgate.oci import download
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import MAX_JSON, Descriptor
from lockgate.oci.manifests import Manifests
from lockgate.oci.older import is_shared
from lockgate.oci.reference import is_tag
from lockgate.oci.referrers import Referrers, next_page
from lockgate.oci.settle import Settling
from lockgate.oci.store import checked, describe
from lockgate.oci.transport import Transport
from lockgate.oci.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from lockgate.oci.connection import World
    from lockgate.oci.endpoint import Endpoint
    from lockgate.oci.store import Opener

_MAX_PAGES = 10_000
"""Pages of tags that are read."""


class _Tags(Foreign, frozen=True):
    tags: tuple[str, ...] | None = None


class Registry:
    """A repository; for several threads at once.

    Args:
        endpoint: where it is.
        world: credentials, certificates, time.
        push: ask for the right to write with the first token.
        mount_from: path of a repository of the same registry that is likely to hold the same blobs.
    """

    def __init__(
        self, endpoint: Endpoint, world: World, *, push: bool = False, mount_from: str = ""
    ) -> None:
        self.endpoint = endpoint
        self.label = endpoint.name
        self._mount_from = mount_from
        self._transport = Transport(endpoint, world)
        self._transport.access.want(endpoint.path, *(("pull", "push") if push else ("pull",)))
        if mount_from:
            self._transport.access.want(mount_from, "pull")
        self._manifests = Manifests(self._transport)
        self._settling = Settling(world)
        self._referrers = Referrers(self._transport, self._manifests, self._settling)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transport.__exit__(kind, error, trace)

    def ping(self) -> None:
        """Check that the registry answers and lets us in.

        Raises:
            RegistryError: it does not.
        """
        address = f"{self.endpoint.registry}/v2/"
        self._transport.patiently(lambda: self._transport.request("GET", address, "the registry"))

    def absent(self, what: str) -> RegistryError:
        """Return the error for what is not here."""
        return RegistryError(
            f"{what} is not at {self.label}", hint="check name, tag and digest", status=404
        )

    def resolve(self, name: str) -> Descriptor | None:
        """Return what a tag points at now; None when there is no such tag.

        Raises:
            RegistryError: it is of a type that is not read.
        """
        found = self.tagged(name)
        return found[0] if found else None

    def tagged(self, name: str) -> tuple[Descriptor, bytes] | None:
        """Return what a tag points at now, with its bytes; None when there is no such tag.

        Raises:
            RegistryError: it is of a type that is not read.
        """
        return self._manifests.fetch(name)

    def manifest(self, digest: str) -> bytes | None:
        """Return an index or manifest as it was served, checked; None when it is not there.

        Raises:
            DigestMismatch: the registry serves other bytes.
            RegistryError: it is of a type that is not read.
        """
        found = self._manifests.fetch(Digest(digest))
        return found[1] if found else None

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the manifests that are listed with `digest` as their subject."""
        return self._referrers.list(digest)

    def has(self, descriptor: Descriptor) -> bool:
        """True when the blob is there, of this size as far as the registry says one."""
        what = f"blob {Digest(descriptor.digest).short}"
        url = f"{self.endpoint.address}/blobs/{descriptor.digest}"
        answer = self._transport.patiently(
            lambda: self._transport.request("HEAD", url, what, accept=(200, 404))
        )
        size = answer.headers.get("content-length", "")
        return answer.status == 200 and size in ("", str(descriptor.size))

    @contextlib.contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """Hand out a blob in pieces; what breaks off is continued, and everything is checked."""
        with contextlib.closing(download.pieces(self._transport, descriptor)) as pieces:
            yield checked(pieces, descriptor, self.label)

    def put_blob(self, descriptor: Descriptor, opener: Opener) -> None:
        """Upload a blob, or mount it from the repository that was named for it."""
        Upload(self._transport, descriptor, opener, mount_from=self._mount_from).run()

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest by its digest; one with a subject is listed, by the registry or by the tag.

        Raises:
            RegistryError: the registry refuses it.
            DigestMismatch: it says that it stored something else.
        """
        listed_under = self._manifests.put(descriptor.digest, data, descriptor.media_type)
        listed, subject = describe(data)
        if subject and not (listed_under == subject and self._referrers.offered(subject)):
            # A registry may list it, and what stands in front of it hide the list.
            self._referrers.add(subject, listed)

    def tag(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Point a tag at a manifest; nothing is sent when it does so already.

        Raises:
            RegistryError: the registry does not allow it, or the tag points elsewhere afterwards; a tag to
                which other signers add may do so.
        """
        if self._manifests.tagged(name) == descriptor.digest:
            return
        if is_shared(name):
            with self._settling.change():
                self._manifests.put(name, data, descriptor.media_type)
            return
        self._manifests.put(name, data, descriptor.media_type)
        if self._manifests.tagged(name) != descriptor.digest:
            raise RegistryError(
                f"tag {name} of {self.label} does not point at what was pushed",
                hint="somebody else pushed it at the same time, or a cache stands in between",
                retryable=True,
            )

    def finish(self) -> None:
        """Wait until others have written who wrote to the same lists; what is there now, stays."""
        self._settling.wait()

    def tags(self) -> Iterator[str]:
        """Yield every tag, page by page, in the order in which the registry lists them.

        Raises:
            RegistryError: there is no such repository, a name can be no tag, or the pages have no end.
        """
        url, what = f"{self.endpoint.address}/tags/list", "the list of tags"
        seen: set[str] = set()
        while url not in seen and len(seen) < _MAX_PAGES:
            seen.add(url)
            names, url = self._page(url, what)
            yield from names
            if not url:
                return
        raise RegistryError(f"{what} of {self.label} has no end", hint="tell who runs the registry")

    def _page(self, url: str, what: str) -> tuple[tuple[str, ...], str]:
        answer = self._transport.patiently(
            lambda: self._transport.request("GET", url, what, limit=MAX_JSON)
        )
        try:
            names = decode(answer.body, _Tags, what=what).tags or ()
        except UsageError as error:
            raise RegistryError(
                f"{what} of {self.label} is not readable: {error.message}",
                hint="check that the address is that of a registry",
            ) from None
        for name in names:
            if not is_tag(name):
                raise RegistryError(
                    f"{what} of {self.label} has {name!r:.80}, which can be no tag",
                    hint="tell who runs the registry",
                )
        return names, next_page(answer.headers.get("link", ""))

    def delete_manifest(self, reference: str) -> None:
        """Delete a manifest by digest, or a tag where the registry can; what is absent is deleted.

        Raises:
            RegistryError: the registry does not allow it.
        """
        self._manifests.delete(reference)

    def delete_blob(self, digest: str) -> None:
        """Delete a blob; what is absent is deleted.

        Raises:
            RegistryError: the registry does not allow it.
        """
        url = f"{self.endpoint.address}/blobs/{Digest(digest)}"
        what = f"blob {Digest(digest).short}"
        self._transport.access.want(self.endpoint.path, "delete")
        self._transport.patiently(
            lambda: self._transport.request("DELETE", url, what, accept=(200, 202, 204, 404))
        )
