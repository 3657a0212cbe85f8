"""How requests about blobs and uploads are answered (spec.md, "Pulling blobs", "Pushing blobs")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.oci.server_names import is_repository
from lockgate.oci.server_protocol import (
    ContentDigest,
    Extent,
    Request,
    Response,
    byte_range,
    chunk_range,
    refused,
)
from lockgate.oci.server_uploads import progress

if TYPE_CHECKING:
    from lockgate.oci.server_changes import Changes
    from lockgate.oci.server_uploads import Uploads

_BYTES = ("Content-Type", "application/octet-stream")


class BlobAnswers:
    """The endpoints `/v2/<name>/blobs/…`."""

    def __init__(self, contents: Changes, uploads: Uploads) -> None:
        self._contents = contents
        self._uploads = uploads

    def get(self, request: Request, repository: str, text: str) -> Response:
        """Send a blob, or a part of it (end-2)."""
        digest = ContentDigest.parse(text)
        size = self._contents.size(digest)
        if size is None or not self._contents.holds(repository, "blobs", digest):
            raise refused(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        headers = (_BYTES, ("Docker-Content-Digest", digest), ("Accept-Ranges", "bytes"))
        if request.method == "HEAD":
            return Response(status=200, headers=headers, size=size)
        part = byte_range(request.headers, size)
        file = self._contents.open(digest)
        if file is None:
            raise refused(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        if part is None:
            return Response(status=200, headers=headers, extent=Extent(file, 0, size))
        start, count = part
        shown = ("Content-Range", f"bytes {start}-{start + count - 1}/{size}")
        return Response(status=206, headers=(*headers, shown), extent=Extent(file, start, count))

    def delete(self, _request: Request, repository: str, text: str) -> Response:
        """Take a blob out of the repository (end-10)."""
        digest = ContentDigest.parse(text)
        self._contents.drop_blob(repository, digest)
        return Response(status=202, done=f"deleted {repository} blob {digest}")

    def start(self, request: Request, repository: str, _id: str) -> Response:
        """Mount a blob, take a whole one, or begin an upload (end-4 and end-11)."""
        mount, digest = request.parameter("mount"), request.parameter("digest")
        if mount is not None and self._mount(repository, mount, request.parameter("from")):
            return _created(repository, ContentDigest(mount))
        if request.parameter("digest-algorithm") not in (None, "sha256", "sha512"):
            raise refused(400, "DIGEST_INVALID", "only sha256 and sha512 are known")
        if mount is None and digest is not None:
            return self._whole(request, repository, ContentDigest.parse(digest))
        return _progress(202, repository, self._uploads.start(repository), 0)

    def status(self, _request: Request, repository: str, upload: str) -> Response:
        """Say how far an upload is (end-13)."""
        return _progress(204, repository, upload, self._uploads.size(repository, upload))

    def chunk(self, request: Request, repository: str, upload: str) -> Response:
        """Take the next chunk (end-5)."""
        size = self._uploads.append(
            repository,
            upload,
            request.body,
            extent=chunk_range(request),
            length=request.length,
        )
        return _progress(202, repository, upload, size)

    def finish(self, request: Request, repository: str, upload: str) -> Response:
        """Take the rest, check the digest, and keep the blob (end-6)."""
        text = request.parameter("digest")
        if text is None:
            raise refused(400, "DIGEST_INVALID", "the digest of the whole blob is missing")
        return self._finish(request, repository, upload, ContentDigest.parse(text))

    def cancel(self, _request: Request, repository: str, upload: str) -> Response:
        """Forget an upload (end-14)."""
        self._uploads.cancel(repository, upload)
        return Response(status=204)

    def _mount(self, repository: str, text: str, source: str | None) -> bool:
        digest = ContentDigest.parse(text)
        # Without a source, any repository will do; who cannot be found cannot be mounted from.
        known = source is None or is_repository(source)
        return known and self._contents.mount(repository, digest, source)

    def _whole(self, request: Request, repository: str, digest: ContentDigest) -> Response:
        upload = self._uploads.start(repository)
        try:
            return self._finish(request, repository, upload, digest)
        except BaseException:
            # The client was never told of this upload and cannot resume it.
            self._uploads.forget(repository, upload)
            raise

    def _finish(
        self, request: Request, repository: str, upload: str, digest: ContentDigest
    ) -> Response:
        self._uploads.finish(
            repository,
            upload,
            request.body,
            digest=digest,
            extent=chunk_range(request),
            length=request.length,
            keep=lambda file: self._contents.keep_blob(repository, digest, file),
        )
        return _created(repository, digest)


def _created(repository: str, digest: ContentDigest) -> Response:
    where = ("Location", f"/v2/{repository}/blobs/{digest}")
    return Response(status=201, headers=(where, ("Docker-Content-Digest", digest)))


def _progress(status: int, repository: str, upload: str, size: int) -> Response:
    headers = progress(repository, upload, size)
    return Response(status=status, headers=(*headers, ("Docker-Upload-UUID", upload)))
