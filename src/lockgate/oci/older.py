"""cosign's older tags, to which every signer of an image adds: `sha256-<hex>.sig` and `.att`.

Behind such a tag is an image whose layers are signatures (cosign, specs/SIGNATURE_SPEC.md). Where two places hold
one of the same name, neither replaces the other: that would be somebody's signature lost. Pure over `store`.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import encode
from lockgate.base.errors import DigestMismatch, TrustError, UsageError
from lockgate.oci.manifest import CONFIG, MANIFEST, Descriptor, Manifest, manifest_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.oci.store import Target

_SHARED = re.compile(r"sha256-[0-9a-f]{64}\.(sig|att)")
MAX_LAYERS = 1000
"""Most layers that readers take, the limit of cosign (pkg/oci/mutate/signatures.go)."""

_NO_TIME = "0001-01-01T00:00:00Z"


def is_shared(name: str) -> bool:
    """True for a tag to which several signers add."""
    return bool(_SHARED.fullmatch(name))


def config(layers: Sequence[Descriptor]) -> bytes:
    """Return the configuration that cosign gives such an image: no platform, no time, the layers as diff ids."""
    return encode(
        {
            "architecture": "",
            "config": {},
            "created": _NO_TIME,
            "history": [{"created": _NO_TIME} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
        }
    )


def points(target: Target, name: str, descriptor: Descriptor, data: bytes) -> bool:
    """True when a name in the target leads to a manifest; a shared one, to all of its layers.

    Not to one that has other bytes: where it is this one, it is sent again (`transfer`), and else refused then.
    """
    try:
        found = target.resolve(name)
    except DigestMismatch:
        return False
    if found is None or found.digest == descriptor.digest or not is_shared(name):
        return found is not None and found.digest == descriptor.digest
    held, where = target.manifest(found.digest), f"{name} at {target.label}"
    return held is not None and not _missing(_parse(held, where), _parse(data, where))


def tag(target: Target, name: str, descriptor: Descriptor, data: bytes) -> None:
    """Point a name at a manifest; behind a shared one what is there stays, and the new layers follow.

    Raises:
        TrustError: what is there is no such image, or with the new layers nobody would read it any more.
    """
    found = target.resolve(name) if is_shared(name) else None
    held = target.manifest(found.digest) if found else None
    if held is None:
        target.tag(name, descriptor, data)
        return
    content, both = combine(held, data, f"{name} at {target.label}")
    if content:

        @contextlib.contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            yield iter((content,))

        target.put_blob(Descriptor.of(CONFIG, content), opened)
        target.put_manifest(Descriptor.of(MANIFEST, both), both)
    target.tag(name, Descriptor.of(MANIFEST, both), both)


def combine(held: bytes, data: bytes, where: str) -> tuple[bytes, bytes]:
    """Return the configuration and the manifest of an image with the layers of two; those of `held` come first.

    When `data` has all of them, it is returned as it is, and no configuration.

    Raises:
        TrustError: one of the two is no such image, or with all layers nobody would read it any more.
    """
    there, here = _parse(held, where), _parse(data, where)
    if not _missing(here, there):
        # Nothing of theirs is lost.
        return b"", data
    layers = (*there.layers, *_missing(there, here))
    if len(layers) > MAX_LAYERS:
        raise TrustError(
            f"{where} would hold {len(layers)} signatures, and {MAX_LAYERS} are read",
            hint="somebody may be adding them; remove those that nobody needs",
        )
    content = config(layers)
    described = Descriptor.of(CONFIG, content)
    return content, manifest_bytes(msgspec.structs.replace(there, config=described, layers=layers))


def _missing(there: Manifest, here: Manifest) -> tuple[Descriptor, ...]:
    """Return the layers of `here` that `there` lacks; two with other annotations are two signatures."""
    known = {encode(one) for one in there.layers}
    return tuple(one for one in here.layers if encode(one) not in known)


def _parse(data: bytes, where: str) -> Manifest:
    try:
        return Manifest.parse(data)
    except UsageError as error:
        raise TrustError(
            f"{where} holds no signatures: {error.message}",
            hint="remove that tag, if nobody needs it, and run the same command again",
        ) from None
