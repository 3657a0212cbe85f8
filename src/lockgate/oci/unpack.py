"""Unpack an image into a folder that becomes a root file system (OCI image specification 1.1, layer.md).

    INTO/<hex of the manifest>/root     the file system
    INTO/<hex of the manifest>/seal     digest of its names, modes, sizes and times

The folder is filled under another name and renamed when every blob was checked, so a folder with this name
is whole. The seal tells whether someone changed it afterwards.

No symlink is ever followed on the way: every path is walked from the root by file descriptors, and a parent
that is a link is refused. An absolute link inside the image is harmless until something follows it, and what
follows it runs with this root as its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import Foreign, Record, decode
from lockgate.base.errors import UsageError
from lockgate.base.files import exclusive, storage_error
from lockgate.oci.digest import Digest
from lockgate.oci.entries import DEFAULT, Budget, LayerReader, Limits
from lockgate.oci.manifest import Manifest
from lockgate.oci.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lockgate.oci.layout import Layout

_PARTIAL = ".partial-"

MOUNT_POINTS = ("dev", "proc", "sys", "tmp")
"""Folders that a root file system needs and an image may lack; runtimes make them (runtime
specification, config.md#mounts)."""

MOUNT_FILES = ("hosts", "resolv.conf")
"""The same for files in `etc`."""


class Process(Foreign, frozen=True):
    """config.md#properties, `config`: how the image wants to be run."""

    user: str = msgspec.field(default="", name="User")
    environment: tuple[str, ...] = msgspec.field(default=(), name="Env")
    """`NAME=value`."""
    entrypoint: tuple[str, ...] = msgspec.field(default=(), name="Entrypoint")
    arguments: tuple[str, ...] = msgspec.field(default=(), name="Cmd")
    folder: str = msgspec.field(default="", name="WorkingDir")
    labels: dict[str, str] = msgspec.field(default_factory=dict, name="Labels")


class RootFs(Foreign, frozen=True):
    """config.md#properties, `rootfs`."""

    diff_ids: tuple[str, ...]


class ImageConfig(Foreign, frozen=True):
    """config.md: the configuration of an image, as far as running it needs."""

    architecture: str
    os: str
    rootfs: RootFs
    config: Process = msgspec.field(default_factory=Process)
    variant: str = ""


class Unpacked(Record, frozen=True):
    """A root file system on disk."""

    root: str
    """Absolute path of the folder."""
    config: ImageConfig
    reused: bool
    """True when an earlier call had unpacked it."""


def read_config(layout: Layout, manifest_digest: str) -> tuple[Manifest, ImageConfig]:
    """Return a manifest and its configuration, both checked against their digests.

    Raises:
        UsageError: a blob is absent or not of its kind, or the two disagree on the number of layers.
        DigestMismatch: a blob's bytes were changed.
    """
    manifest = Manifest.parse(layout.read(manifest_digest))
    config = decode(layout.read(manifest.config.digest), ImageConfig, what="image configuration")
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise UsageError(
            f"image {Digest(manifest_digest).short} has {len(manifest.layers)} layers, its "
            f"configuration {len(config.rootfs.diff_ids)}"
        )
    for diff_id in config.rootfs.diff_ids:
        Digest(diff_id)
    return manifest, config


def unpack(
    layout: Layout, manifest_digest: str, into: Path, *, limits: Limits = DEFAULT
) -> Unpacked:
    """Unpack the image of one platform below `into`, or find it there untouched.

    Root keeps the owners of the image; another user owns everything, as in a user namespace that maps it.
    Set-user-id and set-group-id bits are dropped, extended attributes too.

    Raises:
        UsageError: a blob is absent, or a layer is not a tar archive of a known type.
        DigestMismatch: a blob differs from its digest, its size or its diff_id.
        TrustError: a layer tries to leave the root, holds devices, or is larger than `limits`.
        StorageError: the disk is full.
    """
    manifest, config = read_config(layout, manifest_digest)
    home = into.absolute() / Digest(manifest_digest).hex
    try:
        with exclusive(into / ".lock"):
            _sweep(into)
            if _is_sealed(home):
                return Unpacked(root=str(home / "root"), config=config, reused=True)
            _fill(layout, manifest, config, home, limits)
    except OSError as error:
        raise storage_error(error, home) from error
    return Unpacked(root=str(home / "root"), config=config, reused=False)


def prune(into: Path, keep: Callable[[], Collection[str]]) -> None:
    """Remove the unpacked images except those whose manifest digests `keep` returns.

    It is asked under the lock that `unpack` takes: who records what it needs before it unpacks, keeps it.

    Raises:
        StorageError: a folder cannot be removed.
    """
    try:
        with exclusive(into / ".lock"):
            _sweep(into)
            wanted = {Digest(digest).hex for digest in keep()}
            for home in into.iterdir():
                if home.is_dir() and home.name not in wanted:
                    _discard(home)
    except OSError as error:
        raise storage_error(error, into) from error


def _fill(
    layout: Layout, manifest: Manifest, config: ImageConfig, home: Path, limits: Limits
) -> None:
    partial = Path(tempfile.mkdtemp(dir=home.parent, prefix=_PARTIAL))
    try:
        root = partial / "root"
        root.mkdir(mode=0o755)
        budget = Budget(limits)
        with Tree(root) as tree:
            for descriptor, diff_id in zip(manifest.layers, config.rootfs.diff_ids, strict=True):
                with layout.stream(descriptor.digest) as blob:
                    reader = LayerReader(blob, descriptor, diff_id, budget)
                    tree.apply(reader)
                    reader.finish()
            tree.add_mount_points(MOUNT_POINTS, MOUNT_FILES)
            tree.finish()
        (partial / "seal").write_text(_seal(root), encoding="ascii")
        _discard(home)
        partial.rename(home)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sweep(into: Path) -> None:
    """Remove what a killed process left half done; the caller holds the lock, so nobody works on it."""
    for left in into.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left)


def _discard(home: Path) -> None:
    """Remove an unpacked image; at no time is half of one there under its name."""
    with contextlib.suppress(FileNotFoundError):
        gone = home.with_name(_PARTIAL + home.name)
        home.rename(gone)
        shutil.rmtree(gone)


def _is_sealed(home: Path) -> bool:
    try:
        return (home / "seal").read_text(encoding="ascii") == _seal(home / "root")
    except (OSError, UnicodeDecodeError):
        return False


def _seal(root: Path) -> str:
    """Return a digest over every name with its kind, mode, owner, size, inode and times.

    The time of the last change of an inode cannot be set by a program, so a file that was written to shows,
    and no file has to be read for it.
    """
    found, folders = hashlib.sha256(), [os.fsencode(root)]
    found.update(_line(os.lstat(root)))
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                found.update(entry.name + b"\0" + _line(entry.stat(follow_symlinks=False)))
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return found.hexdigest()


def _line(info: os.stat_result) -> bytes:
    times = (info.st_mtime_ns, info.st_ctime_ns)
    return repr((info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_ino, times)).encode()
