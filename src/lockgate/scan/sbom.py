"""A CycloneDX 1.6 bill of materials of an image, from what the build put into it. Pure.

Nothing is guessed from file systems: the packages are those of the locks. The same image gives the same
bytes: identifiers derive from digests, and the time is that of the source.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclonedx.model import Property
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

    from lockgate.build.model import Image, Package

MEDIA_TYPE = "application/vnd.cyclonedx+json"

PLATFORM = "lockgate:platform"
"""Name of the property that says on which platforms of the index a package is."""

_NAMESPACE = UUID("2f2fb2cd-9eb0-5a1c-8c0b-8c0a3f0ce1a5")
"""Of our serial numbers (RFC 9562 section 5.5); any fixed UUID would do."""

_REFERENCE = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


def cyclonedx(image: Image, platform: str = "") -> bytes:
    """Return the bill of materials of an image index, or of one of its platforms.

    Args:
        image: what was built.
        platform: `linux/amd64`; empty for the whole index.

    Raises:
        UsageError: the image has no such platform, or holds no packages.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    platforms = [one for one in image.platforms if platform in ("", one.platform)]
    subject = platforms[0].manifest if platform and platforms else image.subject
    where: dict[Package, list[str]] = {}
    for one in platforms:
        for package in one.packages:
            where.setdefault(package, []).append(one.platform)
    if not where:
        raise UsageError(
            f"{image.component} has no packages on {platform or 'any platform'}",
            hint="run `inv build`, and name one of its platforms",
        )
    parts = [_package(package, on) for package, on in where.items()]
    root = _image(image, subject, [one.platform for one in platforms])
    bom = Bom(serial_number=uuid5(_NAMESPACE, subject), components=parts)
    bom.metadata.component = root
    bom.metadata.timestamp = dt.datetime.fromtimestamp(image.source.time, dt.UTC)
    bom.register_dependency(root, parts)
    # Written again in our own form, so that no release of the library can change the bytes' order.
    return encode(json.loads(JsonV1Dot6(bom).output_as_string()))


def _image(image: Image, subject: str, platforms: Iterable[str]) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    url = PackageURL("oci", None, image.component, subject)
    return Component(
        type=ComponentType.CONTAINER,
        name=image.component,
        version=subject,
        bom_ref=url.to_string(),
        purl=url,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=subject.removeprefix("sha256:"))],
        properties=_platforms(platforms),
    )


def _package(package: Package, platforms: Iterable[str]) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        # Wheels of two platforms share a package URL; only the digest tells them apart.
        bom_ref=f"{package.purl}#{package.sha256[:16]}" if package.sha256 else package.purl,
        purl=PackageURL.from_string(package.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)]
        if package.sha256
        else [],
        licenses=_licences(package),
        properties=_platforms(platforms),
    )


def _platforms(platforms: Iterable[str]) -> list[Property]:
    from cyclonedx.model import Property

    return [Property(name=PLATFORM, value=one) for one in platforms]


def _licences(package: Package) -> list[License]:
    """Return licences as CycloneDX has them: one expression, or any number of ids and names.

    Those of a Debian package hold together, so several become one expression when one of them is a choice.
    How several words of a Python distribution belong together is not known; each stands for itself.
    """
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_supported_id

    listed = sorted(set(package.licences) - {"NOASSERTION"})
    plain = all(is_supported_id(one) for one in listed)
    if not plain and (len(listed) == 1 or package.kind == "deb") and all(map(_valid, listed)):
        grouped = (f"({one})" if " OR " in one and listed[1:] else one for one in listed)
        return [LicenseExpression(" AND ".join(grouped))]
    return [
        DisjunctiveLicense(id=one) if is_supported_id(one) else DisjunctiveLicense(name=one)
        for one in listed
    ]


def _valid(text: str) -> bool:
    """Say whether a text is an SPDX expression; `LicenseRef-…` may stand where an id may."""
    from cyclonedx.spdx import is_expression

    return is_expression(_REFERENCE.sub("MIT", text))
