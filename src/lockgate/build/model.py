"""Records of the build floor: where an image comes from and what it is made of."""

from __future__ import annotations

from lockgate.base.canonical import Record


class Source(Record, frozen=True):
    """The tree that an image was built from."""

    repository: str
    """Address from the settings; empty when they name none."""
    revision: str
    """Full commit id; empty outside git or before the first commit."""
    time: int
    """Commit time, or SOURCE_DATE_EPOCH when set, in seconds since 1970; 0 without a commit."""
    subpath: str
    """The component's folder, relative to the repository."""
    content: str
    """Digest over the names, modes and bytes of the component's files."""
    changes: tuple[str, ...]
    """Paths under `subpath`, and settings or locks, that differ from the commit; empty when clean."""

    @property
    def dirty(self) -> bool:
        """True when the bytes are not those of a commit."""
        return bool(self.changes) or not self.revision


class Package(Record, frozen=True):
    """One Debian package or Python distribution in an image."""

    kind: str
    """`deb` or `pypi`."""
    name: str
    version: str
    architecture: str
    """Debian architecture; empty for Python distributions."""
    source: str
    """Name of the Debian source package; empty for Python distributions."""
    licences: tuple[str, ...]
    """SPDX expressions where the package says so, else the words of its copyright file; sorted."""
    sha256: str
    """Hexadecimal digest of the `.deb` or wheel."""
    purl: str
    """Package URL, purl specification."""


class PlatformImage(Record, frozen=True):
    """The image of one platform."""

    platform: str
    """`linux/amd64`."""
    manifest: str
    """Digest of the image manifest."""
    config: str
    """Digest of the image configuration, which Trivy calls ImageID."""
    layers: tuple[str, ...]
    """Digests of the compressed layers: base, dependencies, app."""
    packages: tuple[Package, ...]


class Image(Record, frozen=True):
    """What `build` returns: an image index and how it came to be."""

    subject: str
    """Digest of the image index."""
    component: str
    source: Source
    stack: str
    """Name of the stack."""
    stack_lock: str
    """Digest of the stack's lock file."""
    requirements: str
    """Digest of the requirements file."""
    builder: str
    """`lockgate/native@0.1.0`."""
    platforms: tuple[PlatformImage, ...]
    inputs: dict[str, str]
    """Everything the image depends on, by reason: COMMIT, SOURCE, CONFIG, STACK, DEPS, BUILDER."""
    relocked: tuple[str, ...] = ()
    """Packages that were gone from the mirror, for which the stack was locked again in this build."""
