"""Records of the config floor: an artifact, and how it came to be."""

from __future__ import annotations

from lockgate.base.canonical import Record
from lockgate.build.model import Source
from lockgate.sign.model import Verification


class Artifact(Record, frozen=True):
    """Pinned objects, packaged."""

    subject: str
    """Digest of its OCI manifest."""
    name: str
    """Name in the store: `config-dev`; or of the repository that it came from."""
    source: str
    """Address of the git repository, as its annotations say; empty when they do not."""
    revision: str
    """Commit, with `-dirty` behind it where the files were not those of a commit; empty without one."""
    created: int
    """Time of the commit in seconds since 1970; 0 without one."""
    checksum: str
    """Digest of the plain YAML."""
    objects: int
    """How many objects it holds."""
    images: tuple[str, ...]
    """Every image that they run, `NAME@sha256:…`, sorted."""
    encrypted: bool


class VerifiedArtifact(Artifact, frozen=True):
    """An artifact, and what holds of an environment's requirements for it."""

    verification: Verification


class Built(Record, frozen=True):
    """What `inv config.build` leaves: an artifact, and what it was made from."""

    artifact: Artifact
    environment: str
    source: Source
    renderer: str
    """Name and version of what rendered it; empty when nothing had to be rendered."""
    inputs: dict[str, str]
    """Everything that it depends on, by reason: COMMIT, FILES, IMAGES, RENDERER …"""
