"""What is pushed as a manifest is one: of one kind, with digests that can be checked."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.oci.manifest import CONFIG, EMPTY, INDEX, LAYER_GZIP, MANIFEST
from lockgate.oci.server_documents import DOCKER_LIST, DOCKER_MANIFEST, parse

DIGEST = "sha256:" + "a" * 64


def part(kind: str = LAYER_GZIP, **more: Any) -> dict[str, Any]:
    """Return a descriptor."""
    return {"mediaType": kind, "digest": DIGEST, "size": 3, **more}


def image(**more: Any) -> bytes:
    """Return an image manifest; a field that is None is left out."""
    found = {"schemaVersion": 2, "mediaType": MANIFEST, "config": part(CONFIG), "layers": [part()]}
    return json.dumps({k: v for k, v in (found | more).items() if v is not None}).encode()


def index(**more: Any) -> bytes:
    """Return an index; a field that is None is left out."""
    found = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [part(MANIFEST)]}
    return json.dumps({k: v for k, v in (found | more).items() if v is not None}).encode()


def test_an_image_needs_config_and_layers() -> None:
    """They are blobs; nothing else is needed."""
    found = parse(image(), MANIFEST)
    assert [one.media_type for one in found.parts] == [CONFIG, LAYER_GZIP]
    assert found.manifests == ()
    assert (found.media_type, found.artifact_type, found.subject) == (MANIFEST, CONFIG, None)


def test_an_index_needs_its_manifests() -> None:
    """An artifact type is repeated only when it has one."""
    found = parse(index(), INDEX)
    assert [one.media_type for one in found.parts] == [MANIFEST]
    assert found.artifact_type == ""
    assert parse(index(artifactType="a/b")).artifact_type == "a/b"


def test_a_subject_is_not_needed_but_told() -> None:
    """It may come later; type and annotations are for the list of referrers."""
    found = parse(image(subject=part(MANIFEST), artifactType="a/b", annotations={"c": "d"}))
    assert found.subject is not None
    assert found.subject.digest == DIGEST
    assert len(found.parts) == 2
    assert (found.artifact_type, found.annotations) == ("a/b", {"c": "d"})


def test_an_artifact_without_a_type_has_that_of_its_config() -> None:
    """spec.md, "Listing Referrers"; an empty one counts as none."""
    assert parse(image(config=part(EMPTY), artifactType="")).artifact_type == EMPTY


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (image(), MANIFEST),
        (image(mediaType=None), MANIFEST),
        (image(mediaType=None), ""),
        (image(mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST),
        (image(mediaType=DOCKER_MANIFEST), "Application/VND.docker.distribution.manifest.v2+json"),
        (image(), MANIFEST + "; charset=utf-8"),
        (image(layers=[]), MANIFEST),
        (image(layers=None), MANIFEST),
        (index(), INDEX),
        (index(mediaType=None), INDEX),
        (index(mediaType=DOCKER_LIST), DOCKER_LIST),
        (index(manifests=[]), INDEX),
        (b'{"schemaVersion":2,"mediaType":"%s","manifests":null}' % INDEX.encode(), INDEX),
        (image(custom={"x": [1, 2]}, config=part(CONFIG, data="e30=", more=1)), MANIFEST),
    ],
)
def test_what_clients_write_is_taken(data: bytes, kind: str) -> None:
    """With Docker's types, with parameters, without a media type, with lists that are null, with more fields."""
    assert parse(data, kind).media_type == (json.loads(data).get("mediaType") or kind or MANIFEST)


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"", MANIFEST, "not readable"),
        (b"blablabla", MANIFEST, "not readable"),
        (b"[]", MANIFEST, "not an object"),
        (b"{}", MANIFEST, "not valid"),
        (b'{"schemaVersion":2,"schemaVersion":2}', MANIFEST, "twice"),
        (image(schemaVersion=1), MANIFEST, "schema version 1"),
        (image(fsLayers=[]), MANIFEST, "another kind"),
        (image(config=None), MANIFEST, "no config"),
        (image(), INDEX, "manifest is a"),
        (index(), MANIFEST, "manifest is a"),
        (index(mediaType=MANIFEST), MANIFEST, "not taken"),
        (image(mediaType=INDEX), INDEX, "not taken"),
        (image(mediaType="text/plain"), "text/plain", "not taken"),
        (image(mediaType=None), "text/plain", "not taken"),
        (image(manifests=[]), MANIFEST, "another kind"),
        (index(layers=[]), INDEX, "another kind"),
        (index(config=part()), INDEX, "another kind"),
        (image(layers=[part(digest="sha256:abc")]), MANIFEST, "names the digest"),
        (image(layers=[part(digest="md5:" + "a" * 32)]), MANIFEST, "names the digest"),
        (image(subject=part(digest="x")), MANIFEST, "names the digest"),
        (image(layers=[part(size=-1)]), MANIFEST, "negative size"),
        (image(layers=[part(size="3")]), MANIFEST, "not valid"),
        (image(layers=[part(digest=None)]), MANIFEST, "not valid"),
        (image(annotations={"a": 1}), MANIFEST, "not valid"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, MANIFEST, "deeply"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, kind: str, says: str) -> None:
    """Not JSON, two kinds at once, a kind that is not taken, digests and sizes that mean nothing."""
    with pytest.raises(UsageError, match=says) as caught:
        parse(data, kind)
    assert caught.value.hint


def test_layers_from_elsewhere_need_not_be_here() -> None:
    """Only layers of the two types that are never pushed."""
    kinds = [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        LAYER_GZIP,
    ]
    found = parse(image(layers=[part(kind, urls=["https://example.org/x"]) for kind in kinds]))
    assert [one.elsewhere for one in found.blobs] == [False, True, True, False]


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_nonsense_is_a_usage_error(data: bytes) -> None:
    """No other error comes out of any bytes."""
    with contextlib.suppress(UsageError):
        parse(data)
