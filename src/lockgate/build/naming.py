"""The names of an image in the layout: the component's for the index, one for each platform's manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.oci.manifest import INDEX, Descriptor, Index

if TYPE_CHECKING:
    from lockgate.build.model import Image
    from lockgate.oci.layout import Layout


def name_image(layout: Layout, image: Image) -> None:
    """Point the image's names at it, all at once.

    Tools that cannot choose a platform read `app-linux-amd64`; `app` is the index.

    Raises:
        UsageError: the index is not in the layout.
        DigestMismatch: its bytes were changed.
    """
    data = layout.read(image.subject)
    manifests = {one.digest: one for one in Index.parse(data).manifests}
    names = {image.component: Descriptor.of(INDEX, data)}
    for one in image.platforms:
        names[f"{image.component}-{one.platform.replace('/', '-')}"] = manifests[one.manifest]
    layout.tag(names)
