"""Apply layers to a folder: whiteouts, replacements, links, modes (OCI image specification 1.1, layer.md)."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lockgate.base.errors import TrustError
    from lockgate.oci.entries import LayerReader, Member

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAX_DEPTH = 200
"""Deepest path, in parts."""
_MAX_PATH = 4095
"""Longest path or link, in bytes: path_resolution(7)."""

_MAX_NAME = 255
"""Longest part of a path, in bytes."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]


class _Later(NamedTuple):
    """What a folder gets when nothing will be written into it any more."""

    mode: int
    uid: int
    gid: int
    mtime: int


_IMPLIED = _Later(mode=0o755, uid=0, gid=0, mtime=0)
"""A folder that no entry names."""


class Tree:
    """A root file system that grows layer by layer. Holds one open folder for each level of one path."""

    def __init__(self, root: Path) -> None:
        self._chain = [os.open(root, _FOLDER)]
        """The root and the folders of `_names`, open."""
        self._names: list[str] = []
        self._owners = os.geteuid() == 0
        self._folders: dict[Parts, _Later] = {}
        self._layer: LayerReader | None = None
        """The layer that is applied; folders that its entries imply count as entries."""
        self._fresh: set[Parts] = set()
        """Paths of the current layer with their parents: its whiteouts do not apply to them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._chain:
            os.close(folder)

    def apply(self, layer: LayerReader) -> None:
        """Apply every entry of a layer.

        Raises:
            TrustError: an entry would leave the root.
            DigestMismatch, UsageError: as `LayerReader.entries`.
            OSError: the file system refuses.
        """
        self._fresh, self._layer = set(), layer
        for member in layer.entries():
            try:
                self._entry(member, layer)
            except _Refused as refused:
                layer.check_blob()
                raise refused.error(layer, member.name) from None
        self._layer = None

    def add_mount_points(self, folders: Sequence[str], etc: Sequence[str]) -> None:
        """Make the folders, and the files in `etc`, that the image lacks."""
        for name in folders:
            if _kind(self._chain[0], name) is None:
                self._open((name,))
        if _kind(self._chain[0], "etc") in (None, stat.S_IFDIR):
            parent = self._open(("etc",))
            for name in etc:
                if _kind(parent, name) is None:
                    file = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
                    os.fchmod(file, 0o644)
                    os.close(file)

    def finish(self) -> None:
        """Give folders their modes, owners and times; deepest first, so that no time changes again."""
        for parts, later in sorted(self._folders.items(), reverse=True):
            try:
                folder = self._open(parts, make=False)
            except (FileNotFoundError, _Refused):
                continue  # a later layer removed or replaced it
            if self._owners:
                os.fchown(folder, later.uid, later.gid)
            # The owner keeps the right to remove what it unpacked.
            os.fchmod(folder, later.mode & 0o1777 | 0o700)
            os.utime(folder, (later.mtime, later.mtime))

    def _entry(self, member: Member, layer: LayerReader) -> None:
        parts = _parts(member.name)
        if member.kind == "dir":
            self._folder(parts, member)
            return
        if not parts:
            raise _Refused("stands where the root is")
        name = parts[-1]
        parent = self._open(parts[:-1])
        if name == _OPAQUE:
            self._hide_below(parts[:-1])
        elif name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", "..") or hidden.startswith(_WHITEOUT):
                raise _Refused("is not a whiteout of anything")
            self._hide((*parts[:-1], hidden))
        else:
            target = self._link_target(member) if member.kind == "hardlink" else None
            self._remove(parts)
            self._mark(parts)
            if member.kind == "file":
                self._file(parent, name, member, layer)
            elif target is not None:
                self._hardlink(target, parent, name)
            else:
                self._symlink(parent, name, member)

    def _folder(self, parts: Parts, member: Member) -> None:
        if parts:
            if parts[-1].startswith(_WHITEOUT):
                raise _Refused("is a folder with the name of a whiteout")
            parent = self._open(parts[:-1])
            if _kind(parent, parts[-1]) != stat.S_IFDIR:
                self._remove(parts)
                os.mkdir(parts[-1], 0o700, dir_fd=parent)
        self._folders[parts] = _Later(member.mode, member.uid, member.gid, member.mtime)
        self._mark(parts)

    def _file(self, parent: int, name: str, member: Member, layer: LayerReader) -> None:
        handle = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        with os.fdopen(handle, "wb", buffering=0) as file:
            for piece in layer.content():
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
            if self._owners:
                os.fchown(handle, member.uid, member.gid)
            os.fchmod(handle, member.mode & 0o1777)
            os.utime(handle, (member.mtime, member.mtime))

    def _symlink(self, parent: int, name: str, member: Member) -> None:
        if not 0 < len(os.fsencode(member.link)) <= _MAX_PATH or "\0" in member.link:
            raise _Refused("is a link to a name that cannot be")
        os.symlink(member.link, name, dir_fd=parent)
        if self._owners:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        times = (member.mtime, member.mtime)
        os.utime(name, times, dir_fd=parent, follow_symlinks=False)

    def _link_target(self, member: Member) -> Parts:
        target = _parts(member.link)
        if not target or target == _parts(member.name):
            raise _Refused("is a hard link to itself or to the root")
        return target

    def _hardlink(self, target: Parts, parent: int, name: str) -> None:
        source = _walk(self._chain[0], target[:-1])
        try:
            kind = _kind(source, target[-1])
            if kind not in (stat.S_IFREG, stat.S_IFLNK):
                raise _Refused("is a hard link to what is not a file")
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _hide(self, parts: Parts) -> None:
        """Remove what lower layers have at a path."""
        if parts not in self._fresh:
            self._remove(parts)
        elif _kind(self._open(parts[:-1]), parts[-1]) == stat.S_IFDIR:
            self._hide_below(parts)

    def _hide_below(self, parts: Parts) -> None:
        for name in os.listdir(self._open(parts)):
            self._hide((*parts, name))

    def _remove(self, parts: Parts) -> None:
        parent, name = self._open(parts[:-1]), parts[-1]
        kind = _kind(parent, name)
        if kind == stat.S_IFDIR:
            shutil.rmtree(name, dir_fd=parent)
        elif kind is not None:
            os.unlink(name, dir_fd=parent)

    def _mark(self, parts: Parts) -> None:
        while parts and parts not in self._fresh:
            self._fresh.add(parts)
            parts = parts[:-1]

    def _open(self, parts: Parts, *, make: bool = True) -> int:
        """Return an open folder below the root, making what is missing; never follows a link."""
        shared = 0
        for old, new in zip(self._names, parts, strict=False):
            if old != new:
                break
            shared += 1
        self._forget(shared)
        for name in parts[shared:]:
            try:
                folder = os.open(name, _FOLDER, dir_fd=self._chain[-1])
            except FileNotFoundError:
                if not make:
                    raise
                if self._layer is not None and not self._layer.room():
                    raise _Refused("needs too many folders") from None
                os.mkdir(name, 0o700, dir_fd=self._chain[-1])
                self._folders[*self._names, name] = _IMPLIED
                folder = os.open(name, _FOLDER, dir_fd=self._chain[-1])
            except OSError as error:
                raise _not_a_folder(error, name) from None
            self._chain.append(folder)
            self._names.append(name)
        return self._chain[-1]

    def _forget(self, depth: int) -> None:
        for folder in self._chain[depth + 1 :]:
            os.close(folder)
        del self._chain[depth + 1 :], self._names[depth:]


class _Refused(Exception):
    """An entry that must not be applied; becomes a TrustError that names the layer."""

    def error(self, layer: LayerReader, name: str) -> TrustError:
        """Return the error for the reader."""
        return layer.refuse(name, str(self))


def _parts(name: str) -> Parts:
    if name.startswith("/"):
        raise _Refused("is absolute")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _Refused("leaves the root")
    if len(parts) > _MAX_DEPTH or len(os.fsencode(name)) > _MAX_PATH or "\0" in name:
        raise _Refused("cannot be a path")
    if any(len(os.fsencode(part)) > _MAX_NAME for part in parts):
        raise _Refused("has a part that is too long")
    if any(part.startswith(_WHITEOUT) for part in parts[:-1]):
        raise _Refused("goes through the name of a whiteout")
    return parts


def _walk(root: int, parts: Parts) -> int:
    """Return a new open folder that must exist; never follows a link."""
    folder = os.dup(root)
    for name in parts:
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            raise _not_a_folder(error, name) from None
        finally:
            os.close(folder)
        folder = below
    return folder


def _not_a_folder(error: OSError, name: str) -> Exception:
    import errno

    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG):
        return _Refused(f"goes through {name!r}, which is no folder")
    return error


def _kind(parent: int, name: str) -> int | None:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
