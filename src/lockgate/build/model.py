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
    """One Debian package, Python distribution or Go module in an image."""

    kind: str
    """`deb`, `pypi`, or `gobinary` for a Go module in a program; scanners use the same words."""
    name: str
    version: str
    """Empty for a Go module whose sources are the component's own."""
    architecture: str
    """Debian architecture; empty for others."""
    source: str
    """Name of the Debian source package; empty for others."""
    licences: tuple[str, ...]
    """SPDX expressions where the package says so, else the words of its copyright file; sorted."""
    sha256: str
    """Hexadecimal digest of the `.deb` or wheel; of a Go module what `go.sum` lists, which is the sha256 of a list of
    its files (Go modules reference, "Checksum database"). Empty for Go's standard library."""
    purl: str
    """Package URL, purl specification."""


class GoSources(Record, frozen=True):
    """One Go module of which programs are in an image."""

    module: str
    """Folder of its `go.mod`, relative to the repository."""
    programs: dict[str, str]
    """Main package by the program's name, which is also the file's below `/usr/local/bin`."""
    mod: str
    """Digest of `go.mod`."""
    sums: str
    """Digest of `go.sum`; empty where nothing is required."""
    content: str
    """Digest over all that decides over the programs' bytes but Go's version: these two, sources, flags."""


class PlatformImage(Record, frozen=True):
    """The image of one platform."""

    platform: str
    """`linux/amd64`."""
    manifest: str
    """Digest of the image manifest."""
    config: str
    """Digest of the image configuration, which Trivy calls ImageID."""
    layers: tuple[str, ...]
    """Digests of the compressed layers: base, then dependencies or one a Go program, then the files of the component."""
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
    """Digest of the requirements file; empty for components without Python."""
    builder: str
    """`lockgate/native@0.1.0`."""
    platforms: tuple[PlatformImage, ...]
    inputs: dict[str, str]
    """Everything the image depends on, by reason: COMMIT, SOURCE, CONFIG, STACK, DEPS, GO, BUILDER."""
    go: tuple[GoSources, ...] = ()
    """Go modules that it was compiled from."""
    compiler: str = ""
    """The Go that compiled them: `go1.27.3`; empty where there are none."""
    relocked: tuple[str, ...] = ()
    """Packages that were gone from the mirror, for which the stack was locked again in this build."""
