"""Images by digest: what a manifest calls by a component's name is the image that was built. Pure.

A tag can be moved after it was reviewed, signed and packaged. So an image is a digest, or the name of a component
whose digest is known here, or an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.base.settings import nearest
from lockgate.config.images import images, replace
from lockgate.config.told import tell
from lockgate.oci.reference import ImageRef, PinnedRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lockgate.config.resource import Resource


def pin(
    resources: Iterable[Resource], known: Mapping[str, PinnedRef]
) -> tuple[tuple[Resource, ...], tuple[str, ...]]:
    """Return objects with every image by digest, and these images, sorted, each one time.

    A container that has a place for the digest of its image is told it (`told`).

    Args:
        resources: the objects; they stay as they are.
        known: repository and digest of each component, by the names that manifests may call it by.

    Raises:
        UsageError: images have neither a digest nor a known name; every one is named, with who runs it.
    """
    listed = tuple(resources)
    pinned: dict[str, str] = {}
    loose: dict[str, str] = {}
    for one in listed:
        for text in images(one):
            if text in pinned:
                continue
            found = _resolved(text, known)
            if found is None:
                loose.setdefault(text, one.id.label)
            else:
                pinned[text] = str(found)
    if loose:
        raise _unpinned(loose, known)
    changed = tuple(tell(replace(one, pinned.__getitem__)) for one in listed)
    return changed, tuple(sorted(set(pinned.values())))


def names(resources: Iterable[Resource], components: Iterable[str]) -> tuple[str, ...]:
    """Return the components that objects call by name, sorted."""
    called = {text for one in resources for text in images(one)}
    return tuple(sorted(called & set(components)))


def _resolved(text: str, known: Mapping[str, PinnedRef]) -> PinnedRef | None:
    try:
        found = ImageRef.parse(text)
    except UsageError:
        return None
    if found.digest:
        return PinnedRef(name=found.name, digest=found.digest)
    return None if found.tag else known.get(found.name)


def _unpinned(loose: Mapping[str, str], known: Mapping[str, PinnedRef]) -> UsageError:
    text = min(loose)
    every = ", ".join(f"{image} of {owner}" for image, owner in sorted(loose.items()))
    name = text.partition(":")[0].partition("@")[0]
    hint = f"write `{name}@sha256:…`; `crane digest {text}` says which"
    if name in known:
        hint = f"write `image: {name}` without a tag: the digest of the last build is put there"
    elif close := nearest(name, list(known)):
        hint = f"{close} Else {hint}"
    several = f"{len(loose)} images have" if len(loose) > 1 else "an image has"
    return UsageError(f"{several} no digest: {every}", hint=hint)
