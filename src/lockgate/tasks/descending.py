"""What `inv verify` verifies: an image, or a config artifact, every image in it, and the base of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lockgate.oci.layout import Layout
from lockgate.oci.reference import PinnedRef
from lockgate.tasks import places, signing, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lockgate.oci.readable import Readable
    from lockgate.sign.model import Verification
    from lockgate.tasks.places import Doors, Ways


class Asked(NamedTuple):
    """What is required, and how it is read."""

    env: str
    entries: Sequence[str]
    """Requirements in place of the environment's; for images, since an artifact has requirements of its own."""


def verifications(
    doors: Doors, place: Readable, digest: str, text: str, asked: Asked
) -> Iterator[tuple[str, Verification]]:
    """Yield what was found, with how to name it to people: of the image, or of an artifact and what is in it.

    What is in an artifact is looked at only when the artifact is trusted.

    Raises:
        LockgateError: something is not there, was changed, or could not be looked at.
    """
    from lockgate.config import package

    if not package.is_artifact(place, digest):
        yield text, _image(doors.ways, place, digest, asked)
        return
    from lockgate.tasks import publishing

    found = publishing.verification(doors.ways.session, digest, asked.env, place=place)
    # Its one layer is what the images are read from, right here.
    found = msgspec.structs.replace(found, unread=())
    if not found.met:
        said = ("its images were not looked at: it does not name them to anybody",)
        yield text, msgspec.structs.replace(found, notes=said)
        return
    yield text, found
    artifact = package.describe(place, digest, name=text)
    if not artifact.encrypted:
        # Beside the list of images there are the objects, and both must say the same.
        package.read(place, digest, name=text)
    for one in artifact.images:
        image = PinnedRef.parse(one)
        there, named = doors.open(_where(doors.ways, place, image))
        found = _image(doors.ways, there, named, asked)
        yield image.name, _with_base(there, named, found)


def _image(ways: Ways, place: Readable, digest: str, asked: Asked) -> Verification:
    return trusting.verification(
        ways.session, digest, asked.env, signing.now(), place=place, entries=asked.entries
    )


def _where(ways: Ways, place: Readable, image: PinnedRef) -> str:
    """Return where an image of an artifact is read: beside it in the store, else where its name says."""
    store = ways.session.layout
    elsewhere = not isinstance(place, Layout) and places.Place.parse(str(image)).kind == "registry"
    return str(image) if elsewhere or not store.has(image.digest) else image.digest


def _with_base(place: Readable, digest: str, found: Verification) -> Verification:
    from lockgate.sign import lineage

    base = lineage.base(place, digest)
    if isinstance(base, str):
        return msgspec.structs.replace(found, notes=(*found.notes, f"base not compared: {base}"))
    return msgspec.structs.replace(
        found, results=(*found.results, base), met=found.met and base.met
    )
