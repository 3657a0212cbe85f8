"""What a registry over a layout can show: repositories, tags, manifests, blobs and referrers. Never writes.

What was pushed to a repository is marked by files beside the blobs (`pushed`). What the names of the layout
reach is found by reading manifests (`server_names`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from lockgate.base.errors import UsageError
from lockgate.base.files import storage_error
from lockgate.oci import pushed
from lockgate.oci.manifest import MAX_JSON, Descriptor, Index
from lockgate.oci.server_documents import Document, parse
from lockgate.oci.server_names import LATEST, PUSHED_AS, Named
from lockgate.oci.server_protocol import ContentDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lockgate.oci.layout import Layout
    from lockgate.oci.server_names import Kind

_REMEMBERED = 4096
"""Manifests of which it is remembered what they say; a digest always says the same."""

_SMALL = 16 * 1024
"""Bytes of the largest manifest that is remembered, so that the memory is bounded."""


class Contents:
    """One layout as the repositories of a registry."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.folder = layout.root / pushed.FOLDER
        self._named = Named(b"")
        self._documents: dict[ContentDigest, Document] = {}

    # Bytes

    def path(self, digest: ContentDigest) -> Path:
        """Return where the bytes of a digest lie or would lie."""
        return self.layout.root / "blobs" / digest.algorithm / digest.hex

    def size(self, digest: ContentDigest) -> int | None:
        """Return how many bytes a digest has, or None when they are not there."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, self.path(digest)) from error

    def open(self, digest: ContentDigest) -> BinaryIO | None:
        """Open the bytes of a digest, or return None when they are not there."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, self.path(digest)) from error

    def read(self, digest: ContentDigest) -> bytes | None:
        """Return the bytes of a manifest, checked, or None when they are not there.

        Raises:
            DigestMismatch: they were changed.
            UsageError: they are too many for a manifest.
        """
        file = self.open(digest)
        if file is None:
            return None
        with file:
            data = file.read(MAX_JSON + 1)
        if len(data) > MAX_JSON:
            raise UsageError(f"{digest} is too large for a manifest", hint="it is a blob")
        return digest.check(data)

    # Repositories and tags

    def named(self) -> Named:
        """Return the names of the layout as they are now."""
        path = self.layout.root / "index.json"
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise storage_error(error, path) from error
        if raw != self._named.raw:
            self._named = Named.read(raw)
        return self._named

    def exists(self, repository: str) -> bool:
        """True when something was pushed to a repository, or a name of the layout opens it."""
        kinds = ("_manifests", "_blobs", "_uploads")
        return any((self.folder / repository / one).is_dir() for one in kinds) or (
            repository in self.named().repositories()
        )

    def repositories(self) -> list[str]:
        """Return the repositories that hold a manifest, sorted."""
        return sorted({*self.named().repositories(), *self.marked("manifests")})

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, sorted by their bytes (spec.md, "Listing Tags")."""
        named = self.named()
        found = set(named.pushed.get(repository, ()))
        if repository in named.own:
            found.add(LATEST)
            for digest in self.own(repository):
                found.update(named.about.get(digest, ()))
        return sorted(found)

    def tagged(self, repository: str, tag: str) -> ContentDigest | None:
        """Return what a tag points at."""
        named = self.named()
        found = self.own_tag(repository, tag) or named.pushed.get(repository, {}).get(tag)
        if found is None:
            return None
        return ContentDigest(found.annotations.get(PUSHED_AS, found.digest))

    def own_tag(self, repository: str, tag: str) -> Descriptor | None:
        """Return what a tag points at when it is the store's own (`server_names`)."""
        named = self.named()
        if repository not in named.own:
            return None
        if tag == LATEST:
            return named.own[repository]
        digest = tag[:71].replace("-", ":", 1)
        known = named.about.get(digest, {})
        return known.get(tag) if tag in known and digest in self.own(repository) else None

    # What a repository holds

    def holds(self, repository: str, kind: Kind, digest: ContentDigest) -> bool:
        """True when a repository holds a blob or a manifest of this digest, and its bytes are there."""
        if self.size(digest) is None:
            return False
        return self.marker(repository, kind, digest).exists() or (
            self.reached(repository).get(digest) == kind
        )

    def manifest(self, repository: str, digest: ContentDigest) -> bytes | None:
        """Return a manifest that a repository holds.

        Raises:
            DigestMismatch: its bytes were changed.
        """
        if not self.holds(repository, "manifests", digest):
            return None
        return self.read(digest)

    def document(self, digest: ContentDigest) -> Document | None:
        """Return what a manifest says, without annotations, or None when the digest is of something else."""
        known = self._documents.get(digest)
        if known is not None:
            return known
        try:
            data = self.read(digest)
            if data is None:
                return None
            found = parse(data)._replace(annotations={})
        except UsageError:
            return None
        if len(data) <= _SMALL:
            if len(self._documents) >= _REMEMBERED:
                self._documents.clear()
            self._documents[digest] = found
        return found

    def manifests(self, repository: str) -> Iterator[ContentDigest]:
        """Return every manifest that a repository holds."""
        for algorithm in ("sha256", "sha512"):
            folder = self.folder / repository / "_manifests" / algorithm
            if folder.is_dir():
                yield from (ContentDigest(f"{algorithm}:{one.name}") for one in folder.iterdir())
        for digest, kind in self.reached(repository).items():
            if kind == "manifests":
                yield digest

    def referrers(self, repository: str, subject: ContentDigest) -> list[Descriptor]:
        """Return the manifests in a repository whose subject is this digest, sorted by digest."""
        named = self.named()
        listed = [*pushed.listed(self.folder, repository, subject)]
        if subject in self.own(repository):
            listed += self._kept(named, subject)
        found = {one.digest: one for one in listed if self.layout.has(one.digest)}
        return [found[digest] for digest in sorted(found)]

    def marker(self, repository: str, kind: Kind, digest: ContentDigest) -> Path:
        """Return the file that says that a digest was pushed to a repository."""
        return self.folder / repository / f"_{kind}" / digest.algorithm / digest.hex

    def marked(self, kind: Kind) -> Iterator[str]:
        """Return the repositories to which something of a kind was pushed."""
        return pushed.holders(self.folder, f"_{kind}")

    # What names reach

    def own(self, repository: str) -> dict[ContentDigest, Kind]:
        """Return what the store's own image of a repository needs, with its evidence."""
        named = self.named()
        if repository not in named.own:
            return {}
        roots = (named.own[repository],)
        return self._reach(named, f"{repository}@", lambda: roots, evidence=True)

    def reached(self, repository: str) -> dict[ContentDigest, Kind]:
        """Return what the names of a repository reach; what is marked as pushed may be left out."""
        named = self.named()

        def unmarked() -> list[Descriptor]:
            tagged = named.pushed.get(repository, {}).values()
            return [one for one in tagged if not self._is_marked(repository, one.digest)]

        return self.own(repository) | self._reach(named, repository, unmarked, evidence=False)

    def _is_marked(self, repository: str, digest: str) -> bool:
        return self.marker(repository, "manifests", ContentDigest(digest)).exists()

    def everything(self) -> dict[ContentDigest, Kind]:
        """Return what any entry of `index.json` reaches."""
        named = self.named()
        return self._reach(named, "", lambda: named.roots, evidence=False)

    def _reach(
        self, named: Named, key: str, roots: Callable[[], Iterable[Descriptor]], *, evidence: bool
    ) -> dict[ContentDigest, Kind]:
        known = named.reached.get(key)
        if known is not None:
            return known
        found: dict[ContentDigest, Kind] = {}
        whole = True
        waiting = [ContentDigest(one.digest) for one in roots()]
        while waiting:
            digest = waiting.pop()
            if found.get(digest) == "manifests":
                continue
            document = self.document(digest)
            if document is None:
                # Some indexes list blobs (those of build caches do).
                found[digest] = "blobs"
                whole = whole and self.size(digest) is not None
                continue
            found[digest] = "manifests"
            for part in document.blobs:
                found.setdefault(ContentDigest(part.digest), "blobs")
            waiting += [ContentDigest(part.digest) for part in document.manifests]
            if evidence:
                waiting += self._evidence(named, digest)
        # What is missing may come later under the same names.
        if whole:
            named.reached[key] = found
        return found

    def _evidence(self, named: Named, digest: ContentDigest) -> list[ContentDigest]:
        found = (*named.about.get(digest, {}).values(), *self._kept(named, digest))
        return [ContentDigest(one.digest) for one in found]

    def _kept(self, named: Named, subject: ContentDigest) -> tuple[Descriptor, ...]:
        listing = named.kept.get(subject)
        return Index.parse(self.layout.read(listing.digest)).manifests if listing else ()
