"""Artifacts: pinned objects as one OCI manifest, and what they must be like to be read again.

    config       the empty descriptor (OCI image specification 1.1, manifest.md)
    layer        one, `application/vnd.oci.image.layer.v1.tar+gzip`, the only form that both Argo CD's default
                 list of media types and Flux's reader (its first layer, a compressed tar) accept
      all.yaml   every object in canonical YAML; `all.yaml.age` when encrypted
      images.txt every image that they run, one a line; plain in any case, so that the images of an artifact can
                 be verified by whoever may not read it
    annotations  source, revision and time of the commit, as OCI names them; digest of the plain YAML

No clock, owner or path of the machine is in it: the same objects of the same commit have the same digest.
"""

from __future__ import annotations

import datetime as dt
import io
import tarfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import DigestMismatch, TrustError, UsageError
from lockgate.build.layer import Entry, tar_stream, write_layer
from lockgate.config import crypt, resource
from lockgate.config.emit import emit
from lockgate.config.images import images
from lockgate.config.model import Artifact
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    EMPTY,
    EMPTY_JSON,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Manifest,
    is_index,
    manifest_bytes,
)
from lockgate.oci.reference import PinnedRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from lockgate.build.model import Source
    from lockgate.config.resource import Resource
    from lockgate.oci.layout import Layout
    from lockgate.oci.readable import Readable

ARTIFACT_TYPE = "application/vnd.lockgate.config.v1"

PLAIN, SEALED, IMAGES = "all.yaml", "all.yaml.age", "images.txt"

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"
CHECKSUM = "urn:lockgate:checksum"
OBJECTS = "urn:lockgate:objects"
ENCRYPTED = "urn:lockgate:encrypted"

MAX_PLAIN = 32 << 20
"""Most bytes of YAML."""
MAX_LAYER = 40 << 20
"""Most bytes of the layer, compressed or not; encryption adds a little, and hardly anything can be squeezed."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST = 512
"""Most characters of an image in the list."""

_REFUSED = "do not use this artifact; find out who made it"


def package(
    resources: Iterable[Resource],
    *,
    name: str,
    source: Source,
    layout: Layout,
    recipients: Sequence[Any] = (),
) -> Artifact:
    """Store objects as an artifact. Nothing is named in the layout.

    Args:
        resources: the objects, every image in them by digest.
        name: what to call the artifact.
        source: the commit that they come from.
        layout: the store.
        recipients: whom to encrypt to, from `crypt.recipients`; empty: nobody. An encrypted artifact has another
            digest each time.

    Raises:
        UsageError: there is no object, an image has no digest, or there is too much.
        StorageError: the store cannot be written.
    """
    listed = tuple(resources)
    if not listed:
        raise UsageError("there is no object to package", hint="name an overlay or files")
    wanted = {text for one in listed for text in images(one)}
    for text in sorted(wanted):
        if str(PinnedRef.parse(text)) != text:
            raise UsageError(f"{text!r} has a tag beside its digest", hint="leave the tag out")
    plain = emit(listed)
    if len(plain) > MAX_PLAIN:
        raise UsageError(
            f"{len(listed)} objects are {len(plain)} bytes of YAML, and {MAX_PLAIN} are taken",
            hint="split them into several artifacts",
        )
    content = crypt.seal(plain, recipients) if recipients else plain
    layer = write_layer(layout, _entries(content, sorted(wanted), sealed=bool(recipients)))
    time = dt.datetime.fromtimestamp(source.time, dt.UTC)
    marks = {
        SOURCE: source.repository,
        REVISION: _revision(source),
        CREATED: time.strftime(_TIME),
        CHECKSUM: Digest.of(plain),
        OBJECTS: str(len(listed)),
        ENCRYPTED: crypt.FORMAT if recipients else "",
    }
    manifest = Manifest(
        config=layout.put(EMPTY_JSON, EMPTY),
        layers=(layer.descriptor,),
        artifact_type=ARTIFACT_TYPE,
        annotations={key: value for key, value in marks.items() if value},
    )
    stored = layout.put(manifest_bytes(manifest), MANIFEST)
    return Artifact(
        subject=stored.digest,
        name=name,
        source=source.repository,
        revision=_revision(source),
        created=source.time,
        checksum=Digest.of(plain),
        objects=len(listed),
        images=tuple(sorted(wanted)),
        encrypted=bool(recipients),
    )


def _revision(source: Source) -> str:
    return source.revision and source.revision + ("-dirty" if source.dirty else "")


def _entries(content: bytes, wanted: Iterable[str], *, sealed: bool) -> list[Entry]:
    text = "".join(f"{one}\n" for one in wanted)
    return [
        Entry(SEALED if sealed else PLAIN, "file", 0o644, content),
        Entry(IMAGES, "file", 0o644, text.encode()),
    ]


def is_artifact(place: Readable, digest: str) -> bool:
    """True when a digest is an artifact of this kind; False of an image, and of what is not there.

    Whoever then looks at the image says that it is not there, and where.

    Raises:
        DigestMismatch: bytes were changed.
        RegistryError: the registry is out of reach.
    """
    data = _fetched(place, digest)
    if data is None or is_index(data):
        return False
    return Manifest.parse(data).artifact_type == ARTIFACT_TYPE


def describe(place: Readable, digest: str, *, name: str = "") -> Artifact:
    """Return what an artifact says of itself, images included. Nothing is decrypted, no object is read.

    Raises:
        UsageError: it is no artifact of this kind, or is not there.
        TrustError: it has parts that it should not have.
        DigestMismatch: bytes were changed.
    """
    return _unpack(place, digest, name).artifact


def contents(
    place: Readable, digest: str, *, identities: Sequence[Any] = (), name: str = ""
) -> tuple[Artifact, bytes]:
    """Return an artifact with its plain YAML, checked against its checksum.

    Raises:
        KeyRefused: it is encrypted, and no identity opens it.
        DigestMismatch: the YAML is not what the checksum says.
        UsageError, TrustError: as `describe`.
    """
    held = _unpack(place, digest, name)
    plain = held.content
    if held.artifact.encrypted:
        plain = crypt.opener(identities)(plain)
    if Digest.of(plain) != held.artifact.checksum:
        raise DigestMismatch(
            f"the YAML in {Digest(digest).short} does not have the checksum that is said of it",
            hint=_REFUSED,
        )
    return held.artifact, plain


def read(
    place: Readable, digest: str, *, identities: Sequence[Any] = (), name: str = ""
) -> tuple[Artifact, tuple[Resource, ...]]:
    """Return an artifact with its objects, every check done.

    Args:
        place: the store, a registry or an archive.
        digest: the artifact.
        identities: private keys, from `crypt.identities`.
        name: what to call it.

    Raises:
        KeyRefused, DigestMismatch: as `contents`.
        TrustError: the list of images is not that of the objects, or one has no digest.
        UsageError: it is no artifact, or its YAML holds something that is no object.
    """
    artifact, plain = contents(place, digest, identities=identities, name=name)
    found = resource.parse(plain, where=name or Digest(digest).short)
    wanted = {text for one in found for text in images(one)}
    if wanted != set(artifact.images) or len(found) != artifact.objects:
        raise TrustError(
            f"{Digest(digest).short} holds other images or objects than it says", hint=_REFUSED
        )
    return artifact, found


class _Unpacked(NamedTuple):
    artifact: Artifact
    content: bytes
    """YAML, or what was encrypted."""


def _fetched(place: Readable, digest: str) -> bytes | None:
    return place.fetch(Descriptor(media_type=MANIFEST, digest=Digest(digest), size=0))


def _manifest(place: Readable, digest: str) -> bytes:
    found = _fetched(place, digest)
    if found is None:
        raise UsageError(f"{Digest(digest).short} is not there", hint="check name and digest")
    return found


def _unpack(place: Readable, digest: str, name: str) -> _Unpacked:
    short = Digest(digest).short
    data = _manifest(place, digest)
    if is_index(data):
        raise UsageError(f"{short} is an image and no artifact of objects", hint="check the name")
    manifest = Manifest.parse(data)
    if manifest.artifact_type != ARTIFACT_TYPE:
        kind = manifest.artifact_type or "an image"
        raise UsageError(
            f"{short} is {kind} and no artifact of objects", hint="`inv config.build` makes one"
        )
    if len(manifest.layers) != 1 or manifest.layers[0].media_type != LAYER_GZIP:
        raise TrustError(f"{short} has not one compressed layer", hint=_REFUSED)
    (layer,) = manifest.layers
    if layer.size > MAX_LAYER:
        raise UsageError(f"{short} has a layer of {layer.size} bytes", hint=_REFUSED)
    packed = place.fetch(layer, limit=MAX_LAYER)
    if packed is None or len(packed) != layer.size:
        raise DigestMismatch(f"{short} has no layer of the size that it says", hint=_REFUSED)
    encrypted = ENCRYPTED in manifest.annotations
    content, listed = _files(_gunzip(packed, short), short, sealed=encrypted)
    artifact = _described(manifest, digest, name, listed, short)
    return _Unpacked(artifact, content)


def _described(manifest: Manifest, digest: str, name: str, listed: bytes, short: str) -> Artifact:
    marks = manifest.annotations
    try:
        lines = listed.decode().splitlines()
        if any(len(one) > _LONGEST for one in lines):
            raise ValueError("no reference is that long")
        refs = tuple(str(PinnedRef.parse(one)) for one in lines)
        when = dt.datetime.strptime(marks[CREATED], _TIME).replace(tzinfo=dt.UTC)
        created = int(when.timestamp())
        checksum, objects = Digest(marks[CHECKSUM]), int(marks[OBJECTS])
    except (KeyError, ValueError, OverflowError, UsageError):
        raise TrustError(
            f"{short} lacks an annotation, or has one that cannot be right", hint=_REFUSED
        ) from None
    if marks.get(ENCRYPTED, crypt.FORMAT) != crypt.FORMAT:
        raise UsageError(
            f"{short} is encrypted as {marks[ENCRYPTED]!r}, which is not read", hint=_REFUSED
        )
    if refs != tuple(sorted(set(refs))) or listed != "".join(f"{one}\n" for one in refs).encode():
        raise TrustError(f"{short} has a list of images that is not in its form", hint=_REFUSED)
    return Artifact(
        subject=digest,
        name=name,
        source=marks.get(SOURCE, ""),
        revision=marks.get(REVISION, ""),
        created=created,
        checksum=checksum,
        objects=objects,
        images=refs,
        encrypted=ENCRYPTED in marks,
    )


def _gunzip(packed: bytes, short: str) -> bytes:
    """Return one gzip member's content, of bounded size."""
    stream = zlib.decompressobj(31)
    try:
        found = stream.decompress(packed, MAX_LAYER + 1)
    except zlib.error:
        raise TrustError(f"the layer of {short} is not compressed", hint=_REFUSED) from None
    if len(found) > MAX_LAYER:
        raise UsageError(f"{short} unpacks to more than {MAX_LAYER} bytes", hint=_REFUSED)
    if not stream.eof or stream.unused_data:
        raise TrustError(f"the layer of {short} is cut off, or more follows it", hint=_REFUSED)
    return found


def _files(packed: bytes, short: str, *, sealed: bool) -> tuple[bytes, bytes]:
    """Return objects and list of images of a tar archive.

    It is written again from what was read of it, and must be the same: then it holds no other file, no path that
    leaves it, no link, none twice, and nothing that another reader could take for something else.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            members = [archive.next(), archive.next()]
            content, listed = (
                file.read() if one is not None and (file := archive.extractfile(one)) else b""
                for one in members
            )
    except (tarfile.TarError, ValueError, LookupError, OSError, EOFError):
        content = listed = b""
    texts = listed.decode("utf-8", "replace").splitlines()
    if b"".join(tar_stream(_entries(content, texts, sealed=sealed))) != packed:
        raise TrustError(
            f"the layer of {short} holds something else than its two files", hint=_REFUSED
        )
    return content, listed
