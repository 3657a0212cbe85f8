"""`lockgate.scan.sbom`, judged by the schema of CycloneDX 1.6 and read back by its library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lockgate.base.canonical import encode
from lockgate.base.errors import UsageError
from lockgate.build.model import Package
from lockgate.scan.sbom import PLATFORM, cyclonedx

if TYPE_CHECKING:
    from lockgate.build.model import Image


def package(name: str, *licences: str, kind: str = "deb", sha256: str = "1" * 64) -> Package:
    """Return a package with licences."""
    return Package(
        kind=kind,
        name=name,
        version="1.0",
        architecture="",
        source="",
        licences=licences,
        sha256=sha256,
        purl=f"pkg:{kind}/{'debian/' if kind == 'deb' else ''}{name}@1.0",
    )


def with_packages(image: Image, *packages: Package) -> Image:
    """Return the image with these packages on its first platform and none on the second."""
    first, second = image.platforms
    return msgspec.structs.replace(
        image,
        platforms=(
            msgspec.structs.replace(first, packages=packages),
            msgspec.structs.replace(second, packages=()),
        ),
    )


def valid(data: bytes) -> Any:
    """Return the parsed document when it follows the schema and the library can read it."""
    text = data.decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert Bom.from_json(found) is not None  # type: ignore[attr-defined]
    return found


def component(data: bytes, name: str) -> Any:
    """Return one component of a valid document."""
    (one,) = [one for one in valid(data)["components"] if one["name"] == name]
    return one


def test_document_describes_the_index(image: Image) -> None:
    """The subject is the index by digest; everything in it depends from there."""
    found = valid(cyclonedx(image))
    root = found["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("container", "todo", image.subject)
    assert root["purl"] == f"pkg:oci/todo@{image.subject}"
    assert root["hashes"] == [{"alg": "SHA-256", "content": image.subject.removeprefix("sha256:")}]
    (dependency,) = [one for one in found["dependencies"] if one["ref"] == root["bom-ref"]]
    assert sorted(dependency["dependsOn"]) == sorted(one["bom-ref"] for one in found["components"])
    assert found["metadata"]["timestamp"] == "1970-01-01T00:16:40+00:00"


def test_package_has_url_digest_and_platforms(image: Image) -> None:
    """A package that is the same on both platforms stands once and names both."""
    flask = component(cyclonedx(image), "flask")
    assert flask["purl"] == "pkg:pypi/flask@3.1.3"
    assert flask["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert flask["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert flask["properties"] == [
        {"name": PLATFORM, "value": "linux/amd64"},
        {"name": PLATFORM, "value": "linux/arm64"},
    ]


def test_wheels_of_two_platforms_are_two_components(image: Image) -> None:
    """The same version from different files is told apart by its digest."""
    first, second = image.platforms
    other = package("markupsafe", "BSD-3-Clause", kind="pypi", sha256="2" * 64)
    changed = msgspec.structs.replace(
        image,
        platforms=(
            msgspec.structs.replace(first, packages=(package("markupsafe", kind="pypi"),)),
            msgspec.structs.replace(second, packages=(other,)),
        ),
    )
    found = valid(cyclonedx(changed))["components"]
    assert len({one["bom-ref"] for one in found}) == 2
    assert {one["purl"] for one in found} == {"pkg:pypi/markupsafe@1.0"}


def test_what_has_no_digest_is_listed_without_one(image: Image) -> None:
    """Go's standard library comes with the compiler: it has a URL and a version, and no digest is made up."""
    library = package("stdlib", "BSD-3-Clause", kind="golang", sha256="")
    found = component(cyclonedx(with_packages(image, library)), "stdlib")

    assert found["purl"] == found["bom-ref"] == "pkg:golang/stdlib@1.0"
    assert "hashes" not in found


def test_one_platform_is_a_document_of_its_own(image: Image) -> None:
    """Of one platform the subject is its manifest, and only its packages stand there."""
    found = valid(cyclonedx(image, "linux/arm64"))
    assert found["metadata"]["component"]["version"] == image.platforms[1].manifest
    assert found["serialNumber"] != valid(cyclonedx(image))["serialNumber"]
    platforms = {p["value"] for one in found["components"] for p in one["properties"]}
    assert platforms == {"linux/arm64"}


@pytest.mark.parametrize(
    ("kind", "licences", "expected"),
    [
        ("deb", (), None),
        ("deb", ("NOASSERTION",), None),
        ("deb", ("MIT",), [{"license": {"id": "MIT"}}]),
        ("deb", ("MIT", "Zlib"), [{"license": {"id": "MIT"}}, {"license": {"id": "Zlib"}}]),
        ("pypi", ("MIT OR Apache-2.0",), [{"expression": "MIT OR Apache-2.0"}]),
        (
            "deb",
            ("Zlib", "MIT OR GPL-2.0-or-later", "LicenseRef-GPL-2"),
            [{"expression": "LicenseRef-GPL-2 AND (MIT OR GPL-2.0-or-later) AND Zlib"}],
        ),
        (
            "pypi",
            ("MIT License", "MIT"),
            [{"license": {"id": "MIT"}}, {"license": {"name": "MIT License"}}],
        ),
        ("deb", ("as you like",), [{"license": {"name": "as you like"}}]),
        ("deb", ("MIT AND (",), [{"license": {"name": "MIT AND ("}}]),
    ],
)
def test_licences(image: Image, kind: str, licences: tuple[str, ...], expected: Any) -> None:
    """SPDX ids and expressions are given as such, other words as names, and nothing is guessed."""
    found = component(cyclonedx(with_packages(image, package("x", *licences, kind=kind))), "x")
    listed = found.get("licenses")
    assert (listed and sorted(listed, key=str)) == (expected and sorted(expected, key=str))


def test_image_without_packages_is_refused(image: Image) -> None:
    """An empty bill of materials says that nothing is in it, which is never true."""
    for changed, platform in ((with_packages(image), ""), (image, "linux/s390x")):
        with pytest.raises(UsageError, match="has no packages") as caught:
            cyclonedx(changed, platform)
        assert caught.value.hint


def test_order_of_packages_does_not_matter(image: Image) -> None:
    """The same packages in another order give the same bytes."""
    packages = [package(name, "MIT") for name in "abcdef"]
    forwards = cyclonedx(with_packages(image, *packages))
    assert cyclonedx(with_packages(image, *packages[::-1])) == forwards


_AGAIN = """\
import sys
from lockgate.base.canonical import decode
from lockgate.build.model import Image
from lockgate.scan.sbom import cyclonedx
sys.stdout.buffer.write(cyclonedx(decode(sys.stdin.buffer.read(), Image)))
"""


@pytest.mark.parametrize("changed", [{"PYTHONHASHSEED": "7"}, {"TZ": "Pacific/Apia"}])
def test_bytes_are_the_same_elsewhere(image: Image, changed: dict[str, str]) -> None:
    """Another process, hash seed and time zone give the same bytes."""
    again = subprocess.run(
        [sys.executable, "-c", _AGAIN],
        input=encode(image),
        stdout=subprocess.PIPE,
        env={**os.environ, **changed},
        check=True,
        timeout=60,
    )
    assert again.stdout == cyclonedx(image)
