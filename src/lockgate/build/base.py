"""The base layer of an image: the files of locked Debian packages, merged without executing anything.

Packages are read one after the other, sorted by name, each as a stream: the order is the same everywhere
and memory does not grow with the stack. What maintainer scripts would do and an image needs, is done here:
the links of the merged `/usr`, users, the bundle of certificates, and the records by which scanners know
the packages.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.build import copyright as licences
from lockgate.build import deb
from lockgate.build.debs import sha256_of
from lockgate.build.layer import Entry
from lockgate.build.model import Package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lockgate.build.stack_lock import LockedPackage, StackLock

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
"""Where programs of Debian look for certificate authorities."""

_CERTIFICATES = "usr/share/ca-certificates/"
_STATUS = "var/lib/dpkg/status.d/"
"""One control file a package, as images without dpkg keep them; scanners look here."""
_MERGED = ("bin", "lib", "lib64", "sbin")
"""Folders that are links into `usr` since Debian 12 (usrmerge); packages may still ship the old paths."""


class _Placed(NamedTuple):
    owner: str
    kind: str
    mode: int
    link: str
    sha256: str


class Base:
    """The files and the packages of a stack on one platform.

    `entries` is read once; `packages` is free after it, and reads everything itself when it comes first.
    """

    def __init__(self, lock: StackLock, platform: str, debs: Mapping[str, Path]) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            lock: the lock; the stack in it says what stays out.
            platform: `linux/amd64`.
            debs: path of every package's `.deb` by name, as `fetch` returns them.
        """
        self._stack = lock.stack
        self._locked = lock.of(platform)
        self._release = lock.release.partition(".")[0]
        self._debs = debs
        self._excluded, self._kept = matcher(lock.stack.exclude), matcher(lock.stack.keep)
        self._copyrights: dict[str, bytes] = {}
        self._doc_links: dict[str, str] = {}
        self._done = False

    def entries(self) -> Iterator[Entry]:
        """Yield the files of the layer in their fixed order.

        A file's content must be read before the next entry is asked for.

        Raises:
            DigestMismatch: a `.deb` is not the one that the lock names.
            UsageError: two packages bring different files for one path, or a package is unreadable.
            StorageError: a package cannot be read.
        """
        merge = _Merge()
        certificates: dict[str, bytes] = {}
        yield from merge.add(_folders(), "the image")
        for package in self._locked:
            path = self._checked(package)
            own = (merged(entry) for entry in deb.entries(path) if entry.path not in _MERGED)
            files = merge.add(self._wanted(own, package, certificates), package.name)
            yield from files
            yield from merge.add(_status(path, package, merge), "the image")
        yield from merge.add(self._rest(certificates, merge), "the image")
        self._done = True

    def packages(self) -> tuple[Package, ...]:
        """Return the packages with their licences, sorted by name.

        Raises:
            As `entries`.
        """
        if not self._done:
            for _ in self.entries():
                pass
        return tuple(self._package(one) for one in self._locked)

    def _checked(self, package: LockedPackage) -> Path:
        path = self._debs[package.name]
        if sha256_of(path) != package.sha256:
            raise DigestMismatch(
                f"{package.name} {package.version} in the cache is not the package that the lock names",
                hint="run the same command again: it is downloaded anew",
            )
        return path

    def _wanted(
        self, entries: Iterable[Entry], package: LockedPackage, certificates: dict[str, bytes]
    ) -> Iterator[Entry]:
        """Leave out what the stack excludes, after a look at what is needed of it."""
        doc = f"usr/share/doc/{package.name}"
        for entry in entries:
            if entry.path.startswith(_CERTIFICATES) and isinstance(entry.data, bytes) and entry.data:
                certificates[entry.path] = entry.data
            if entry.path == f"{doc}/copyright" and isinstance(entry.data, bytes):
                self._copyrights[package.name] = entry.data
            if entry.path == doc and entry.kind == "symlink":
                self._doc_links[package.name] = entry.link
            if not self._excluded(entry.path) or self._kept(entry.path):
                yield entry

    def _rest(self, certificates: Mapping[str, bytes], merge: _Merge) -> Iterator[Entry]:
        """Yield what no package brings."""
        user = self._stack.user
        passwd = (
            "root:x:0:0:root:/root:/usr/sbin/nologin\n"
            f"nonroot:x:{user}:{user}:nonroot:/home/nonroot:/usr/sbin/nologin\n"
        )
        yield Entry("etc/passwd", "file", 0o644, passwd.encode())
        yield Entry("etc/group", "file", 0o644, f"root:x:0:\nnonroot:x:{user}:\n".encode())
        yield Entry("etc/nsswitch.conf", "file", 0o644, b"hosts: files dns\n")
        if certificates:
            bundle = b"".join(certificates[path].rstrip() + b"\n" for path in sorted(certificates))
            yield Entry(BUNDLE, "file", 0o644, bundle)
        for path, target in sorted(self._stack.links.items()):
            yield Entry(path, "symlink", 0o777, link=target)
        for name in _MERGED:
            if merge.has(f"usr/{name}"):
                yield Entry(name, "symlink", 0o777, link=f"usr/{name}")

    def _package(self, one: LockedPackage) -> Package:
        from packageurl import PackageURL

        # A package may share the documents of another one of the same source.
        shared = self._doc_links.get(one.name, one.name)
        text = self._copyrights.get(shared, b"")
        qualifiers = {"arch": one.architecture, "distro": f"debian-{self._release}"}
        url = PackageURL("deb", "debian", one.name, one.version, qualifiers)
        return Package(
            kind="deb",
            name=one.name,
            version=one.version,
            architecture=one.architecture,
            source=one.source,
            licences=licences.names(text.decode("utf-8", "replace")),
            sha256=one.sha256,
            purl=url.to_string(),
        )


class _Merge:
    """What the layer holds so far, to refuse two different things for one path."""

    def __init__(self) -> None:
        self._placed: dict[str, _Placed] = {}

    def has(self, path: str) -> bool:
        """True when the layer has something there, or below."""
        return path in self._placed

    def add(self, entries: Iterable[Entry], owner: str) -> Iterator[Entry]:
        """Pass on what is new. The same thing twice stands once; of two folders the first one's mode counts."""
        for entry in entries:
            self._parents(entry, owner)
            known = self._placed.get(entry.path)
            if known is not None and known.kind == entry.kind == "dir":
                continue
            if entry.kind == "hardlink" and entry.link not in self._placed:
                raise UsageError(
                    f"{owner}: `{entry.path}` is a hard link to `{entry.link}`, which is excluded",
                    hint="name the target under `keep` in `stack.yaml`",
                )
            entry, digest = _digested(entry) if known is not None else (entry, "")
            placed = _Placed(owner, entry.kind, entry.mode, entry.link, digest)
            if known is None:
                self._placed[entry.path] = placed
                yield self._remembered(entry, placed)
            elif known._replace(owner=owner) != placed:
                raise UsageError(
                    f"`{entry.path}` is in {known.owner} and in {owner}, with different content",
                    hint="exclude it in `stack.yaml`, or leave one of the packages out",
                )

    def _remembered(self, entry: Entry, placed: _Placed) -> Entry:
        """Note the content's digest while it passes through."""
        if entry.kind != "file":
            return entry
        if isinstance(entry.data, bytes):
            found = hashlib.sha256(entry.data).hexdigest()
            self._placed[entry.path] = placed._replace(sha256=found)
            return entry
        pieces = entry.data

        def passing() -> Iterator[bytes]:
            found = hashlib.sha256()
            for piece in pieces():
                found.update(piece)
                yield piece
            self._placed[entry.path] = placed._replace(sha256=found.hexdigest())

        return entry._replace(data=passing)

    def _parents(self, entry: Entry, owner: str) -> None:
        """Every folder above an entry is a folder: through a link, a file would land somewhere else."""
        parent = entry.path.rpartition("/")[0]
        while parent:
            known = self._placed.setdefault(parent, _Placed(owner, "dir", 0o755, "", ""))
            if known.kind != "dir":
                raise UsageError(
                    f"`{entry.path}` of {owner} lies in `{parent}`, which is no folder in {known.owner}",
                    hint="exclude one of the two in `stack.yaml`",
                )
            parent = parent.rpartition("/")[0]


def _digested(entry: Entry) -> tuple[Entry, str]:
    if entry.kind != "file":
        return entry, ""
    found = hashlib.sha256()
    for piece in [entry.data] if isinstance(entry.data, bytes) else entry.data():
        found.update(piece)
    return entry, found.hexdigest()


def _folders() -> Iterator[Entry]:
    """Folders that must be there, the open one first: of two entries for a folder the first one counts."""
    yield Entry("tmp", "dir", 0o1777)
    for path in ("usr/bin", "usr/lib", "usr/sbin", "home/nonroot"):
        yield Entry(path, "dir", 0o755)


def _status(path: Path, package: LockedPackage, merge: _Merge) -> Iterator[Entry]:
    files = deb.control_files(path)
    yield Entry(f"{_STATUS}{package.name}", "file", 0o644, files["control"])
    if "md5sums" in files:
        sums = b"".join(_sums(files["md5sums"], merge))
        yield Entry(f"{_STATUS}{package.name}.md5sums", "file", 0o644, sums)


def _sums(listing: bytes, merge: _Merge) -> Iterator[bytes]:
    """Yield the lines of the files that are in the image, with the paths that they have there."""
    for line in listing.splitlines():
        digest, _, name = line.partition(b"  ")
        path = _merged_path(name.decode("utf-8", "surrogateescape"))
        if merge.has(path):
            yield digest + b"  " + path.encode("utf-8", "surrogateescape") + b"\n"


def merged(entry: Entry) -> Entry:
    """Return an entry as the merged `/usr` has it: `lib/x` as `usr/lib/x`.

    A relative link that climbs out of a folder that moved is written from the root, since it would climb
    one folder too few.
    """
    path, link = _merged_path(entry.path), entry.link
    if entry.kind == "hardlink":
        link = _merged_path(link)
    elif path != entry.path and entry.kind == "symlink" and link.startswith("../"):
        link = posixpath.normpath(posixpath.join("/", posixpath.dirname(entry.path), link))
    return entry._replace(path=path, link=link)


def _merged_path(path: str) -> str:
    return f"usr/{path}" if path.split("/", 1)[0] in _MERGED else path


class matcher:  # noqa: N801 - used as a function
    """Tells whether a path, or a folder above it, matches one of some patterns.

    `*` stands for any characters within a name, `**` for any at all.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        each = "|".join(f"(?:{_expression(pattern)})" for pattern in patterns)
        self._compiled = re.compile(f"(?:{each})(?:/.*)?", re.DOTALL) if each else None

    def __call__(self, path: str) -> bool:
        """True when the path matches."""
        return self._compiled is not None and self._compiled.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    parts = re.split(r"(\*+)", pattern.strip("/"))
    stars = {"*": "[^/]*", "**": ".*"}
    return "".join(stars.get(part, re.escape(part)) for part in parts)
