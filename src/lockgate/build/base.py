"""The base layer of an image: the files of locked Debian packages, merged without executing anything.

Packages are read one after the other, sorted by name, each as a stream: the order is the same everywhere
and memory does not grow with the stack. What maintainer scripts would do and an image needs, is done here:
the links of the merged `/usr`, users, the bundle of certificates, and the records by which scanners know
the packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import DigestMismatch
from lockgate.build import copyright as licences
from lockgate.build import deb
from lockgate.build.debs import sha256_of
from lockgate.build.layer import Entry
from lockgate.build.merge import MERGED, Merge, matching, merged, merged_path
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
_IMAGE = "the image"


class Base:
    """The files and the packages of a stack on one platform.

    `entries` is read once; `packages` costs nothing after it, and reads everything itself when it is first.
    """

    def __init__(self, lock: StackLock, platform: str, debs: Mapping[str, Path]) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            lock: the lock; the stack in it says what stays out.
            platform: `linux/amd64`.
            debs: path of every package's `.deb` by name, as `fetch` returns them.

        Raises:
            UsageError: the stack is not locked for the platform.
        """
        self._stack = lock.stack
        self._locked = lock.of(platform)
        self._release = lock.release.partition(".")[0]
        self._debs = debs
        self._excluded, self._kept = matching(lock.stack.exclude), matching(lock.stack.keep)
        self._copyrights: dict[str, bytes] = {}
        self._shared: dict[str, str] = {}
        self._done = False

    def entries(self) -> Iterator[Entry]:
        """Yield the files of the layer in their fixed order.

        A file's content must be read before the next entry is asked for.

        Raises:
            DigestMismatch: a `.deb` is not the one that the lock names.
            UsageError: two packages bring different files for one path, or a package is unreadable.
            StorageError: a package cannot be read.
        """
        merge = Merge()
        certificates: dict[str, bytes] = {}
        yield from merge.add(_folders(), _IMAGE)
        for package in self._locked:
            path = self._checked(package)
            files = (merged(entry) for entry in deb.entries(path) if entry.path not in MERGED)
            wanted = self._wanted(files, package, certificates)
            yield from merge.add(wanted, package.name)
            yield from merge.add(_status(path, package, merge), _IMAGE)
        yield from merge.add(self._rest(certificates, merge), _IMAGE)
        self._done = True

    def packages(self) -> tuple[Package, ...]:
        """Return the packages with their licences, sorted by name.

        Raises:
            DigestMismatch, UsageError, StorageError: as `entries`.
        """
        if not self._done:
            for entry in self.entries():
                if not isinstance(entry.data, bytes):
                    for _ in entry.data():
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
        documents = f"usr/share/doc/{package.name}"
        for entry in entries:
            if entry.path.startswith(_CERTIFICATES) and entry.path.endswith(".crt"):
                certificates[entry.path] = entry.data if isinstance(entry.data, bytes) else b""
            if entry.path == f"{documents}/copyright" and isinstance(entry.data, bytes):
                self._copyrights[package.name] = entry.data
            if entry.path == documents and entry.kind == "symlink":
                # A package may share the documents of another one of the same source.
                self._shared[package.name] = entry.link.rpartition("/")[2]
            if not self._excluded(entry.path) or self._kept(entry.path):
                yield entry

    def _rest(self, certificates: Mapping[str, bytes], merge: Merge) -> Iterator[Entry]:
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
        for name in MERGED:
            if merge.has(f"usr/{name}"):
                yield Entry(name, "symlink", 0o777, link=f"usr/{name}")

    def _package(self, one: LockedPackage) -> Package:
        from packageurl import PackageURL

        text = self._copyrights.get(self._shared.get(one.name, one.name), b"")
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


def _folders() -> Iterator[Entry]:
    """Folders that must be there; they come first, since of two entries for a folder the first one counts."""
    yield Entry("tmp", "dir", 0o1777)
    for path in ("usr/bin", "usr/lib", "usr/sbin", "home/nonroot"):
        yield Entry(path, "dir", 0o755)


def _status(path: Path, package: LockedPackage, merge: Merge) -> Iterator[Entry]:
    files = deb.control_files(path)
    yield Entry(f"{_STATUS}{package.name}", "file", 0o644, files["control"])
    if "md5sums" in files:
        sums = b"".join(_sums(files["md5sums"], merge))
        yield Entry(f"{_STATUS}{package.name}.md5sums", "file", 0o644, sums)


def _sums(listing: bytes, merge: Merge) -> Iterator[bytes]:
    """Yield the lines of the files that are in the image, with the paths that they have there."""
    for line in listing.splitlines():
        digest, _, name = line.partition(b"  ")
        path = merged_path(name.decode("utf-8", "surrogateescape"))
        if merge.has(path):
            yield digest + b"  " + path.encode("utf-8", "surrogateescape") + b"\n"
