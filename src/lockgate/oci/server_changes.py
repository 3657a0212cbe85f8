"""What clients change in a registry over a layout: blobs, manifests, tags, and what is deleted.

Every change is a row of steps, each of them atomic, in an order in which a kill after any of them leaves
nothing false: bytes before the mark that says they are there, the mark before the list or the tag that
names them; and the other way round for deleting. Changes wait for each other, also those of another server
over the same layout; reading does not wait.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, exclusive, storage_error
from lockgate.oci import pushed
from lockgate.oci.layout import listing
from lockgate.oci.manifest import Descriptor
from lockgate.oci.server_contents import Contents
from lockgate.oci.server_documents import Document, parse
from lockgate.oci.server_names import PUSHED_AS, tag_name
from lockgate.oci.server_protocol import ContentDigest, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.oci.server_names import Kind


class Changes(Contents):
    """A layout as repositories that can be written."""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with exclusive(self.folder / ".lock"):
            yield

    # Blobs

    def keep_blob(self, repository: str, digest: ContentDigest, file: Path) -> None:
        """Move a complete file, whose digest was checked, into the store and mark it as pushed."""
        with self._alone():
            path = self.path(digest)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, path)
            except OSError as error:
                raise storage_error(error, path) from error
            self._mark(repository, "blobs", digest)

    def mount(self, repository: str, digest: ContentDigest, source: str | None) -> bool:
        """Make a blob of another repository one of this; say whether it was found.

        Args:
            repository: where it is wanted.
            digest: of the blob.
            source: the repository that has it; None for any.
        """
        with self._alone():
            sources = (
                [*self.named().repositories(), *self.marked("blobs")]
                if source is None
                else [source]
            )
            found = any(self.holds(one, "blobs", digest) for one in sources)
            if found:
                self._mark(repository, "blobs", digest)
            return found

    def drop_blob(self, repository: str, digest: ContentDigest) -> None:
        """Take a blob out of a repository, and its bytes out of the store when nothing else needs them.

        Raises:
            Refused: 404: it is not there; 405: a manifest of the repository needs it.
        """
        with self._alone():
            if not self.holds(repository, "blobs", digest):
                raise refused(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
            self._refuse_needed(repository, {digest})
            self._unmark(repository, "blobs", digest)
            self._free(digest)

    # Manifests and tags

    def keep_manifest(
        self,
        repository: str,
        digest: ContentDigest,
        data: bytes,
        document: Document,
        tags: list[str],
    ) -> None:
        """Store a manifest under its digest, list it with its subject, and point tags at it.

        Raises:
            Refused: a part of it is not in the repository (400), a tag is the store's own (403), or its
                subject has more referrers than fit into a list (413).
        """
        known = ContentDigest.of(data)
        with self._alone():
            self._check_parts(repository, document)
            wanted = [tag for tag in tags if not self._is_own(repository, tag, known)]
            for one in {digest, known}:
                atomic_write(self.path(one), data)
                self._mark(repository, "manifests", one)
            if document.subject is not None:
                self._list(repository, ContentDigest(document.subject.digest), data, document)
            marks = {} if digest == known else {PUSHED_AS: str(digest)}
            entry = Descriptor(
                media_type=document.media_type, digest=known, size=len(data), annotations=marks
            )
            if wanted:
                self.layout.tag({tag_name(repository, tag): entry for tag in wanted})

    def untag(self, repository: str, tag: str) -> None:
        """Remove a tag; what it points at stays.

        Raises:
            Refused: 404: there is none; 405: it is the store's own.
        """
        with self._alone():
            if self.own_tag(repository, tag) is not None:
                raise _own(f"{repository}:{tag}")
            with self.layout.change() as names:
                if names.pop(tag_name(repository, tag), None) is None:
                    raise refused(404, "MANIFEST_UNKNOWN", f"{repository} has no tag {tag}")

    def drop_manifest(self, repository: str, digest: ContentDigest) -> None:
        """Take a manifest out of a repository with its tags; its blobs stay.

        Raises:
            Refused: 404: it is not there; 405: an index of the repository, or the store itself, needs it.
        """
        with self._alone():
            data = self.manifest(repository, digest)
            if data is None:
                raise refused(404, "MANIFEST_UNKNOWN", f"{repository} has no manifest {digest}")
            same = {ContentDigest.of(data), ContentDigest.of(data, "sha512")}
            self._refuse_needed(repository, same)
            tagged = self.named().pushed.get(repository, {})
            gone = [tag_name(repository, tag) for tag, one in tagged.items() if one.digest in same]
            if gone:
                with self.layout.change() as names:
                    for name in gone:
                        names.pop(name, None)
            subject = parse(data).subject
            if subject is not None:
                self._unlist(repository, ContentDigest(subject.digest), same)
            for one in same:
                self._unmark(repository, "manifests", one)
                self._free(one)

    # Steps

    def _is_own(self, repository: str, tag: str, digest: ContentDigest) -> bool:
        own = self.own_tag(repository, tag)
        if own is not None and own.digest != digest:
            raise refused(
                403,
                "DENIED",
                f"{repository}:{tag} is an image of the store itself ({own.digest}); push another tag",
            )
        return own is not None

    def _check_parts(self, repository: str, document: Document) -> None:
        for part in document.parts:
            digest = ContentDigest(part.digest)
            # Some indexes list blobs (those of build caches do).
            kinds_of: tuple[Kind, ...] = (
                ("manifests", "blobs") if part in document.manifests else ("blobs",)
            )
            if any(self.holds(repository, kind, digest) for kind in kinds_of):
                if self.size(digest) != part.size:
                    raise refused(
                        400,
                        "MANIFEST_INVALID",
                        f"{digest} has not the size {part.size} given to it",
                    )
            elif not part.elsewhere:
                raise refused(
                    400,
                    "MANIFEST_BLOB_UNKNOWN",
                    f"{repository} does not have {digest}: push it first",
                )

    def _refuse_needed(self, repository: str, digests: set[ContentDigest]) -> None:
        if digests & self.own(repository).keys():
            raise _own(min(digests))
        for one in self.manifests(repository):
            document = None if one in digests else self.document(one)
            if document and any(part.digest in digests for part in document.parts):
                raise refused(
                    405, "UNSUPPORTED", f"{min(digests)} is part of {one}; delete that first"
                )

    def _list(
        self, repository: str, subject: ContentDigest, data: bytes, document: Document
    ) -> None:
        referrer = Descriptor(
            media_type=document.media_type,
            digest=ContentDigest.of(data),
            size=len(data),
            artifact_type=document.artifact_type,
            annotations=document.annotations,
        )
        known = pushed.listed(self.folder, repository, subject)
        if any(one.digest == referrer.digest for one in known):
            return
        try:
            whole = listing((*known, referrer))
        except UsageError as error:
            raise refused(413, "MANIFEST_INVALID", error.message) from None
        atomic_write(pushed.list_path(self.folder, repository, subject), whole)

    def _unlist(self, repository: str, subject: ContentDigest, gone: set[ContentDigest]) -> None:
        known = pushed.listed(self.folder, repository, subject)
        path = pushed.list_path(self.folder, repository, subject)
        rest = [one for one in known if one.digest not in gone]
        if rest:
            atomic_write(path, listing(rest))
        else:
            path.unlink(missing_ok=True)

    def _mark(self, repository: str, kind: Kind, digest: ContentDigest) -> None:
        marker = self.marker(repository, kind, digest)
        try:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        except OSError as error:
            raise storage_error(error, marker) from error

    def _unmark(self, repository: str, kind: Kind, digest: ContentDigest) -> None:
        self.marker(repository, kind, digest).unlink(missing_ok=True)

    def _free(self, digest: ContentDigest) -> None:
        """Remove bytes that no repository and no name of the layout needs any more."""
        if digest in self.everything():
            return
        kinds: tuple[Kind, ...] = ("blobs", "manifests")
        for kind in kinds:
            if any(self.marker(one, kind, digest).exists() for one in self.marked(kind)):
                return
        self.path(digest).unlink(missing_ok=True)
        self._documents.pop(digest, None)


def _own(what: str) -> Exception:
    return refused(405, "UNSUPPORTED", f"{what} belongs to an image of the store itself")
