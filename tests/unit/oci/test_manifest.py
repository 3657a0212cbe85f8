"""Manifests and indexes: what is read, what is refused, and the bytes that are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import (
    CONFIG,
    EMPTY_JSON,
    INDEX,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    index_bytes,
    is_index,
    manifest_bytes,
)

PART = {"mediaType": LAYER_GZIP, "digest": Digest.of(b"x"), "size": 1}
SETUP = {"mediaType": CONFIG, "digest": Digest.of(b"{}"), "size": 2}

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLATFORMS = st.builds(Platform, architecture=TEXT.filter(bool), os=TEXT.filter(bool), variant=TEXT)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=TEXT,
    digest=st.binary().map(Digest.of),
    size=st.integers(0, 2**62),
    annotations=st.dictionaries(TEXT, TEXT, max_size=3),
    platform=st.none() | PLATFORMS,
    artifact_type=TEXT,
)


def manifest(**changes: Any) -> bytes:
    """A manifest with some fields replaced; None leaves a field out."""
    found = {"schemaVersion": 2, "mediaType": MANIFEST, "config": SETUP, "layers": [PART]}
    return text({**found, **changes})


def index(**changes: Any) -> bytes:
    """An index with some fields replaced; None leaves a field out."""
    entry = {"mediaType": MANIFEST, "digest": Digest.of(b"m"), "size": 1}
    return text({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry], **changes})


def text(fields: dict[str, Any]) -> bytes:
    """JSON without the fields that are None."""
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


@given(
    DESCRIPTORS, st.lists(DESCRIPTORS, max_size=3), st.none() | DESCRIPTORS, TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
)  # fmt: skip
def test_a_manifest_survives_the_round_trip(
    config: Descriptor,
    layers: list[Descriptor],
    subject: Descriptor | None,
    kind: str,
    annotations: dict[str, str],
) -> None:
    """Every field that is written is read back."""
    made = Manifest(
        config=config,
        layers=tuple(layers),
        subject=subject,
        artifact_type=kind,
        annotations=annotations,
    )
    data = manifest_bytes(made)
    assert manifest_bytes(Manifest.parse(data)) == data
    found = Manifest.parse(data)
    assert (found.config, found.layers, found.subject) == (config, tuple(layers), subject)
    assert (found.schema_version, found.media_type) == (2, MANIFEST)


@given(st.lists(DESCRIPTORS, max_size=3), st.dictionaries(TEXT, TEXT, max_size=3))
def test_an_index_survives_the_round_trip(
    manifests: list[Descriptor], annotations: dict[str, str]
) -> None:
    """Every field that is written is read back."""
    data = index_bytes(Index(manifests=tuple(manifests), annotations=annotations))
    found = Index.parse(data)
    assert index_bytes(found) == data
    assert found.manifests == tuple(manifests)


def test_what_is_written_names_its_kind() -> None:
    """Schema version and media type stand in the bytes, defaults do not."""
    assert json.loads(index_bytes(Index(manifests=()))) == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [],
    }


def test_a_manifest_of_schema_1_is_refused() -> None:
    """The old form has no config: it is refused as what it is."""
    old = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}
    with pytest.raises(UsageError):
        Manifest.parse(text(old))


@pytest.mark.parametrize("version", [None, 0, 1, 3])
def test_only_schema_version_2_is_read(version: int | None) -> None:
    """Any other number, or none, is refused and shown."""
    for read in (lambda: Manifest.parse(manifest(schemaVersion=version)),
                 lambda: Index.parse(index(schemaVersion=version))):  # fmt: skip
        with pytest.raises(UsageError, match=f"schema version {version or 0}, only 2") as caught:
            read()
        assert caught.value.hint


@pytest.mark.parametrize(
    "kind",
    [
        INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        MANIFEST.upper(),
        MANIFEST + " ",
    ],
)
def test_a_manifest_with_another_media_type_is_refused(kind: str) -> None:
    """The type inside must agree with the one that it is read as."""
    with pytest.raises(UsageError, match="media type"):
        Manifest.parse(manifest(mediaType=kind))


def test_an_index_with_another_media_type_is_refused() -> None:
    """An index that calls itself a manifest is not read as an index."""
    with pytest.raises(UsageError, match="media type"):
        Index.parse(index(mediaType=MANIFEST))


def test_the_media_type_may_be_absent() -> None:
    """Images of the first version of the specification leave it out."""
    assert Manifest.parse(manifest(mediaType=None)).media_type == ""
    assert Index.parse(index(mediaType=None)).media_type == ""


@pytest.mark.parametrize("kind", [None, MANIFEST])
def test_a_manifest_that_is_an_index_too_is_refused(kind: str | None) -> None:
    """One document, two images, one digest (CVE-2021-41190): refused whatever it calls itself."""
    with pytest.raises(UsageError, match="`manifests`"):
        Manifest.parse(manifest(mediaType=kind, manifests=[]))


@pytest.mark.parametrize("field", ["Manifests", "manifestS", "manife\u017fts"])
def test_a_field_in_other_letters_is_refused(field: str) -> None:
    """Go reads it as the field itself, and so another image than is seen here: refused, in whichever document."""
    other = {"mediaType": MANIFEST, "digest": Digest.of(b"other"), "size": 5}
    for read in (lambda: Index.parse(index(**{field: [other]})),
                 lambda: Manifest.parse(manifest(**{field: [other]}))):  # fmt: skip
        with pytest.raises(UsageError, match="some readers take") as caught:
            read()
        assert caught.value.hint


@pytest.mark.parametrize("field", ["Digest", "SIZE", "MediaType"])
def test_a_field_of_a_descriptor_in_other_letters_is_refused(field: str) -> None:
    """Wherever in a document the descriptor stands."""
    wrong = {**PART, field: Digest.of(b"other")}
    for read in (lambda: Manifest.parse(manifest(layers=[PART, wrong])),
                 lambda: Manifest.parse(manifest(config=wrong)),
                 lambda: Manifest.parse(manifest(subject=wrong)),
                 lambda: Index.parse(index(manifests=[wrong]))):  # fmt: skip
        with pytest.raises(UsageError, match="some readers take"):
            read()


def test_annotations_and_unknown_fields_are_in_any_letters() -> None:
    """Only the names of known fields are kept for them."""
    marks = {"Digest": "a", "manifests": "b"}
    found = Manifest.parse(manifest(annotations=marks, X="y", config={**SETUP, "other": 1}))
    assert found.annotations == marks


@pytest.mark.parametrize("kind", [None, INDEX])
@pytest.mark.parametrize("field", ["config", "layers"])
def test_an_index_that_is_a_manifest_too_is_refused(kind: str | None, field: str) -> None:
    """The same from the other side."""
    with pytest.raises(UsageError, match=f"`{field}`"):
        Index.parse(index(mediaType=kind, **{field: []}))


@pytest.mark.parametrize(
    "wrong",
    [
        {**PART, "size": -1},
        {**PART, "size": 1.5},
        {**PART, "size": "1"},
        {**PART, "digest": "sha256:abc"},
        {**PART, "digest": "../../etc/passwd"},
        {**PART, "digest": None},
        {"mediaType": LAYER_GZIP},
        5,
        None,
    ],
)
def test_a_wrong_descriptor_is_refused_wherever_it_stands(wrong: Any) -> None:
    """Negative sizes, other digests and missing fields: in config, layers, subject and lists."""
    for read in (
        lambda: Manifest.parse(manifest(config=wrong or {})),
        lambda: Manifest.parse(manifest(layers=[PART, wrong])),
        lambda: Manifest.parse(manifest(subject=wrong or {})),
        lambda: Index.parse(index(manifests=[wrong])),
    ):
        with pytest.raises(UsageError):
            read()


@pytest.mark.parametrize("field", ["config", "layers"])
def test_a_manifest_needs_its_parts(field: str) -> None:
    """A manifest without config or layers is none."""
    with pytest.raises(UsageError, match=field):
        Manifest.parse(manifest(**{field: None}))


def test_unknown_fields_are_tolerated() -> None:
    """Others may add fields that this version does not know."""
    assert Manifest.parse(manifest(future={"a": 1})).layers
    assert Manifest.parse(manifest(layers=[{**PART, "urls": ["x"], "data": "eA=="}])).layers


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"5", b"{}", b'{"schemaVersion":2}', b"\xff"]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """Anything that is not such a document is a UsageError."""
    for kind in (Manifest, Index):
        with pytest.raises(UsageError):
            kind.parse(data)


def test_an_index_is_told_from_a_manifest() -> None:
    """A document that lists manifests is an index, nothing else is."""
    assert is_index(index())
    assert not is_index(manifest())
    assert not is_index(b"[]")
    with pytest.raises(UsageError):
        is_index(b"{")


@pytest.mark.parametrize("name", ["linux/amd64", "linux/arm64", "linux/arm/v7"])
def test_a_platform_is_its_text(name: str) -> None:
    """Parsed and written it is the same."""
    assert str(Platform.parse(name)) == name


@pytest.mark.parametrize("name", ["", "linux", "/", "linux/", "/amd64", "a/b/c/d", "linux//v7"])
def test_what_is_no_platform_is_refused(name: str) -> None:
    """Two or three parts, none empty."""
    with pytest.raises(UsageError, match="is not a platform") as caught:
        Platform.parse(name)
    assert caught.value.hint


@given(st.binary())
def test_a_descriptor_describes_its_bytes(data: bytes) -> None:
    """Digest and size are those of the bytes."""
    found = Descriptor.of("text/plain", data)
    assert (found.media_type, found.digest, found.size) == (
        "text/plain",
        Digest.of(data),
        len(data),
    )


def test_the_empty_descriptor_is_the_specifications() -> None:
    """The digest that manifest.md gives for the empty JSON object."""
    assert (
        Descriptor.of("x", EMPTY_JSON).digest
        == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
