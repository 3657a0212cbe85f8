"""The `.sig` and `.att` images."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.sign.shelf import layers_of

from lockgate.base.errors import DigestMismatch, SignatureInvalid, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.manifest import CONFIG, MANIFEST
from lockgate.sign import legacy

if TYPE_CHECKING:
    from tests.unit.sign.world import World

PAYLOAD = legacy.signature_layer(b"payload", b"signature")
OTHER = legacy.signature_layer(b"payload", b"another key's")
ENVELOPE = legacy.attestation_layer(b"{}", "https://example.org/v1")


def manifest(world: World, kind: str) -> dict[str, object]:
    """Return the manifest behind a tag."""
    entry = world.layout.resolve(legacy.tag(world.image.subject, kind))
    found: dict[str, object] = json.loads(world.layout.read(entry.digest))
    return found


def test_the_tags_are_cosigns(world: World) -> None:
    """`sha256-` and the digits, then what it is."""
    assert legacy.tag(world.image.subject, legacy.SIGNATURES) == (
        f"sha256-{Digest(world.image.subject).hex}.sig"
    )


def test_the_images_are_cosigns(world: World) -> None:
    """As cosign writes them: an image of layers, a configuration that names them, annotations on each."""
    layout, subject = world.layout, world.image.subject
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    legacy.add(layout, subject, legacy.ATTESTATIONS, [ENVELOPE])
    signed, attested = manifest(world, "sig"), manifest(world, "att")
    assert signed["mediaType"] == MANIFEST
    assert "subject" not in signed
    assert signed["layers"] == [
        {
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": Digest.of(b"payload"),
            "size": 7,
            "annotations": {
                "dev.cosignproject.cosign/signature": base64.b64encode(b"signature").decode()
            },
        }
    ]
    assert attested["layers"] == [
        {
            "mediaType": "application/vnd.dsse.envelope.v1+json",
            "digest": Digest.of(b"{}"),
            "size": 2,
            "annotations": {
                "dev.cosignproject.cosign/signature": "",
                "predicateType": "https://example.org/v1",
            },
        }
    ]
    config = signed["config"]
    assert isinstance(config, dict)
    assert config["mediaType"] == CONFIG
    assert json.loads(layout.read(config["digest"])) == {
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [Digest.of(b"payload")]},
    }


def test_adding_it_again_changes_nothing(world: World) -> None:
    """The same payload with the same signature is one layer, and the store stays as it is."""
    layout, subject = world.layout, world.image.subject
    first = legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    index = (layout.root / "index.json").read_bytes()
    assert legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD]) == first
    assert (layout.root / "index.json").read_bytes() == index


def test_what_is_there_stays(world: World) -> None:
    """A second key's signature over the same payload is a second layer behind the first."""
    layout, subject = world.layout, world.image.subject
    one = legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    two = legacy.add(layout, subject, legacy.SIGNATURES, [OTHER, PAYLOAD])
    layers = layers_of(layout, subject, legacy.SIGNATURES)
    assert [legacy.identity(layer) for layer in layers] == [one[0], two[0]]
    assert two[1] == one[0]


def test_layers_of_another_writer_are_kept(world: World) -> None:
    """Layers of cosign, with annotations that are not ours, stay as they are."""
    layout, subject = world.layout, world.image.subject
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    name = legacy.tag(subject, legacy.SIGNATURES)
    theirs = json.loads(layout.read(layout.resolve(name).digest))
    theirs["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"] = "{}"
    layout.tag({name: layout.put(json.dumps(theirs, indent=1).encode(), MANIFEST)})
    legacy.add(layout, subject, legacy.SIGNATURES, [OTHER])
    layers = manifest(world, "sig")["layers"]
    assert isinstance(layers, list)
    assert layers[0] == theirs["layers"][0]
    assert len(layers) == 2


def test_what_a_registry_was_sent_counts_too(world: World) -> None:
    """A registry over this store keeps pushed tags below their repository; each layer stands once."""
    layout, subject = world.layout, world.image.subject
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    name = legacy.tag(subject, legacy.SIGNATURES)
    layout.tag({f"team/app:{name}": layout.resolve(name)})
    assert len(layers_of(layout, subject, legacy.SIGNATURES)) == 1
    legacy.add(layout, subject, legacy.SIGNATURES, [OTHER])
    both = layout.resolve(name)
    with layout.change() as names:
        del names[name]
        names[f"team/app:{name}"] = both
    assert len(layers_of(layout, subject, legacy.SIGNATURES)) == 2
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    assert len(layers_of(layout, subject, legacy.SIGNATURES)) == 2


def test_without_a_tag_there_is_nothing(world: World) -> None:
    """An image that nobody signed has no layers, and that is no error."""
    assert layers_of(world.layout, world.image.subject, legacy.SIGNATURES) == ()


@pytest.mark.parametrize("content", [b"junk", b"{}", b'{"manifests":[],"schemaVersion":2}'])
def test_another_document_is_refused(content: bytes, world: World) -> None:
    """A tag can point at anything; nothing is read from it, and nothing is put over it."""
    layout, subject = world.layout, world.image.subject
    name = legacy.tag(subject, legacy.SIGNATURES)
    layout.tag({name: layout.put(content, MANIFEST)})
    with pytest.raises(SignatureInvalid):
        layers_of(layout, subject, legacy.SIGNATURES)
    with pytest.raises(SignatureInvalid):
        legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    assert layout.read(layout.resolve(name).digest) == content


def test_changed_bytes_are_a_mismatch(world: World) -> None:
    """Manifest and layer are checked against their digests."""
    layout, subject = world.layout, world.image.subject
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    (layer,) = layers_of(layout, subject, legacy.SIGNATURES)
    layout.path(layer.digest).write_bytes(b"paylaod")
    with pytest.raises(DigestMismatch):
        legacy.load(layout, layer, legacy.SIGNATURES)
    path = layout.path(layout.resolve(legacy.tag(subject, "sig")).digest)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DigestMismatch):
        layers_of(layout, subject, legacy.SIGNATURES)


def test_a_layer_of_another_type_is_refused(world: World) -> None:
    """A signature is no attestation and the other way round."""
    layout, subject = world.layout, world.image.subject
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    (layer,) = layers_of(layout, subject, legacy.SIGNATURES)
    with pytest.raises(SignatureInvalid, match="is of type"):
        legacy.load(layout, layer, legacy.ATTESTATIONS)


def test_more_than_cosign_reads_is_not_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer too many would make all of them unreadable for cosign; the store stays as it is."""
    layout, subject = world.layout, world.image.subject
    monkeypatch.setattr(legacy, "MAX_LAYERS", 1)
    legacy.add(layout, subject, legacy.SIGNATURES, [PAYLOAD])
    with pytest.raises(UsageError, match="cosign reads 1"):
        legacy.add(layout, subject, legacy.SIGNATURES, [OTHER])
    assert len(layers_of(layout, subject, legacy.SIGNATURES)) == 1
    monkeypatch.setattr(legacy, "MAX_LAYERS", 0)
    with pytest.raises(SignatureInvalid, match="at most 0"):
        layers_of(layout, subject, legacy.SIGNATURES)
