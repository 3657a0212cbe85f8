"""How requests about manifests, tags and referrers are answered (spec.md, "Pulling manifests" and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.oci.manifest import INDEX, MAX_JSON, Descriptor, Index, index_bytes
from lockgate.oci.reference import is_tag
from lockgate.oci.server_documents import parse
from lockgate.oci.server_protocol import (
    Code,
    ContentDigest,
    Header,
    Request,
    Response,
    as_json,
    limit_of,
    next_page,
    refused,
)

if TYPE_CHECKING:
    from lockgate.oci.server_changes import Changes


class ManifestAnswers:
    """The endpoints `/v2/<name>/manifests/…`, `/v2/<name>/tags/list` and `/v2/<name>/referrers/…`."""

    def __init__(self, contents: Changes, *, page: int = MAX_JSON) -> None:
        self._contents = contents
        self._page = page
        """Bytes of a list of referrers that is sent at once."""

    def get(self, request: Request, repository: str, reference: str) -> Response:
        """Send a manifest by tag or digest (end-3), as it was pushed, whatever is accepted."""
        if ":" in reference:
            digest: ContentDigest | None = ContentDigest.parse(reference)
        else:
            digest = self._contents.tagged(repository, reference)
        data = self._contents.manifest(repository, digest) if digest else None
        if digest is None or data is None:
            code: Code = "MANIFEST_UNKNOWN" if self._contents.exists(repository) else "NAME_UNKNOWN"
            raise refused(404, code, f"{repository} has no manifest {reference[:160]}")
        document = self._contents.document(digest) or parse(data)
        headers = (
            ("Content-Type", document.media_type),
            ("Docker-Content-Digest", digest),
        )
        if request.method == "HEAD":
            return Response(status=200, headers=headers, size=len(data))
        return Response(status=200, headers=headers, body=data)

    def put(self, request: Request, repository: str, reference: str) -> Response:
        """Take a manifest under a tag, or under its digest with any number of tags (end-7)."""
        digest, tags = _names(request, reference)
        data = _read(request)
        found = ContentDigest.of(data, digest.algorithm if digest else "sha256")
        if digest not in (None, found):
            raise refused(400, "DIGEST_INVALID", f"the manifest is {found}, not {digest}")
        try:
            document = parse(data, request.headers.get("content-type", ""))
        except UsageError as error:
            raise refused(400, "MANIFEST_INVALID", error.message) from None
        self._contents.keep_manifest(repository, found, data, document, tags)
        headers: list[Header] = [
            ("Location", f"/v2/{repository}/manifests/{found}"),
            ("Docker-Content-Digest", found),
        ]
        if document.subject is not None:
            headers.append(("OCI-Subject", document.subject.digest))
        if digest:
            headers += [("OCI-Tag", tag) for tag in tags]
        names = " ".join(f"{repository}:{tag}" for tag in tags) or repository
        return Response(status=201, headers=tuple(headers), done=f"pushed {names}  {found}")

    def delete(self, _request: Request, repository: str, reference: str) -> Response:
        """Remove a tag, or a manifest with all its tags (end-9)."""
        if ":" in reference:
            self._contents.drop_manifest(repository, ContentDigest.parse(reference))
            return Response(status=202, done=f"deleted {repository} {reference}")
        self._contents.untag(repository, reference)
        return Response(status=202, done=f"deleted {repository}:{reference}")

    def tags(self, request: Request, repository: str, _text: str) -> Response:
        """List the tags of a repository (end-8)."""
        if not self._contents.exists(repository):
            raise refused(404, "NAME_UNKNOWN", f"there is no repository {repository}")
        shown, link = _some(request, self._contents.tags(repository))
        return as_json({"name": repository, "tags": shown}, *link)

    def referrers(self, request: Request, repository: str, text: str) -> Response:
        """List the manifests whose subject is a digest (end-12); of none it has an empty list."""
        digest = ContentDigest.parse(text)
        listed = self._contents.referrers(repository, digest)
        kind, last = request.parameter("artifactType"), request.parameter("last") or ""
        if kind is not None:
            listed = [one for one in listed if one.artifact_type == kind]
        shown = self._fitting([one for one in listed if one.digest > last])
        headers: list[Header] = [] if kind is None else [("OCI-Filters-Applied", "artifactType")]
        if shown and shown[-1] is not listed[-1]:
            query = {} if kind is None else {"artifactType": kind}
            headers.append(next_page(request.path, last=shown[-1].digest, **query))
        return Response(
            status=200,
            headers=(("Content-Type", INDEX), *headers),
            body=index_bytes(Index(manifests=shown)),
        )

    def catalog(self, request: Request) -> Response:
        """List the repositories: not of the specification, but what `crane catalog` and others ask for."""
        shown, link = _some(request, self._contents.repositories())
        return as_json({"repositories": shown}, *link)

    def _fitting(self, listed: list[Descriptor]) -> tuple[Descriptor, ...]:
        """Return the first entries that fit into one response, but one at least."""
        room = self._page - len(index_bytes(Index(manifests=())))
        for count, one in enumerate(listed):
            room -= len(index_bytes(Index(manifests=(one,))))
            if room < 0 and count:
                return tuple(listed[:count])
        return tuple(listed)


def _names(request: Request, reference: str) -> tuple[ContentDigest | None, list[str]]:
    """Return the digest, when the manifest is pushed by digest, and the tags that it is to have."""
    more = request.query.get("tag", [])
    if ":" in reference:
        digest, tags = ContentDigest.parse(reference), list(dict.fromkeys(more))
    elif more:
        raise refused(400, "UNSUPPORTED", "the parameter `tag` goes with a push by digest")
    else:
        digest, tags = None, [reference]
    for tag in tags:
        if not is_tag(tag):
            raise refused(400, "MANIFEST_INVALID", f"{tag[:160]!r} is not a tag")
    return digest, tags


def _read(request: Request) -> bytes:
    data = bytearray()
    while (request.length or 0) <= MAX_JSON and (piece := request.body.read(MAX_JSON)):
        data += piece
        if len(data) > MAX_JSON:
            break
    if max(request.length or 0, len(data)) > MAX_JSON:
        raise refused(413, "SIZE_INVALID", f"a manifest may have {MAX_JSON} bytes")
    return bytes(data)


def _some(request: Request, listed: list[str]) -> tuple[list[str], tuple[Header, ...]]:
    """Return the part of a sorted list that `n` and `last` ask for, with a link when there is more."""
    most, last = limit_of(request), request.parameter("last") or ""
    rest = [one for one in listed if one > last]
    if most is None or most >= len(rest):
        return rest, ()
    if most == 0:
        return [], ()
    return rest[:most], (next_page(request.path, n=most, last=rest[most - 1]),)
