"""Calls of the Linux kernel that Python's library has not (before 3.12): namespaces, mounts, privileges.

Standard library only, since the launchers import this without site-packages. Every function raises
`OSError` with the kernel's reason; who calls translates it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_RELATIME = 0x200000
MNT_DETACH = 0x2

CAP_DAC_OVERRIDE = 1
"""The right to read and write files whatever their mode."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_ST_RELATIME = 0x1000
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def unshare(flags: int) -> None:
    """Move this process into new namespaces, for a PID namespace its next child (unshare in man 2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def enter(flags: int, *, uid: int, gid: int) -> bool:
    """Enter new namespaces, with a user namespace around them when the caller may not do it without.

    Args:
        flags: CLONE_NEW… without CLONE_NEWUSER.
        uid: the id that the caller has inside, should a user namespace be needed: user_namespaces(7).
        gid: the same for the group.

    Returns:
        True when a user namespace was made. The caller then has every capability inside it until it
        drops them, and none outside.
    """
    if os.geteuid() == 0:
        # Root of a container may lack CAP_SYS_ADMIN and still be allowed a user namespace.
        try:
            unshare(flags)
        except PermissionError:
            pass
        else:
            return False
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | flags)
    # Without CAP_SETGID outside, a group map is taken only once setgroups is denied for ever.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1\n", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside_gid} 1\n", encoding="ascii")
    return True


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` at `target`; an empty `kind` or `data` is none (mount in man 2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {target}")


def bind(source: str, target: str, flags: int) -> None:
    """Bind `source` to `target` and set flags on the new mount.

    The first call of a bind mount ignores flags, so a second one sets them. That one must repeat the flags
    of the source: in a user namespace they are locked, and leaving one out is refused.
    """
    mount(source, target, flags=MS_BIND)
    have = os.statvfs(target).f_flag
    same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
    kept = (have & same) | (MS_RELATIME if have & _ST_RELATIME else 0)
    mount("none", target, flags=MS_BIND | MS_REMOUNT | kept | flags)


def pivot(root: str) -> None:
    """Make the mount point `root` the root of this mount namespace and detach the old one.

    pivot_root(2), "pivot_root(".", ".")": the old root is stacked over the new one, then detached, so no
    folder of the image has to hold it.
    """
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", ctypes.c_int(MNT_DETACH)), "umount2")
    os.chdir("/")


def loopback_up() -> None:
    """Switch the loopback interface of this network namespace on: netdevice(7), SIOCSIFFLAGS."""
    import fcntl
    import socket

    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("16sh", fcntl.ioctl(control, get_flags, request))[1]
        fcntl.ioctl(control, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def drop_capabilities(*keep: int) -> None:
    """Give up every capability but those of `keep`, for this process and all that it will execute.

    Root that executes a program regains what its bounding set allows: capabilities(7). So the bounding
    set shrinks too.
    """
    shrink_bounding_set(*keep)
    set_capabilities(*keep)


def shrink_bounding_set(*keep: int) -> None:
    """Make sure that no program executed from now on can gain a capability outside `keep`."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_READ, *_longs(capability)) >= 0:
        if capability not in keep:
            _check(_libc.prctl(_PR_CAPBSET_DROP, *_longs(capability)), "prctl")
        capability += 1
    # An old kernel without ambient capabilities has none to clear.
    _libc.prctl(_PR_CAP_AMBIENT, *_longs(_PR_CAP_AMBIENT_CLEAR_ALL))


def set_capabilities(*keep: int) -> None:
    """Hold the capabilities of `keep` and no others; nothing is inheritable: capset(2)."""
    mask = sum(1 << one for one in keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", low, low, 0, high, high, 0)
    _check(_libc.capset(header, sets), "capset")


def forbid_new_privileges() -> None:
    """Set no_new_privs: set-user-id bits and file capabilities give nothing from now on."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, *_longs(1)), "prctl")


def forbid_tracing() -> None:
    """Keep processes of the same user from reading this one's memory and /proc entries."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, *_longs(0)), "prctl")


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends.

    Args:
        parent: PID of the process that must be the parent; when it is gone already, this one ends now.

    Raises:
        ProcessLookupError: the parent is another one.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, *_longs(_SIGKILL)), "prctl")
    if os.getppid() != parent:
        raise ProcessLookupError(f"process {parent} is not the parent")


def _longs(first: int) -> tuple[ctypes.c_ulong, ...]:
    # prctl(2) is variadic and reads unsigned longs; unused arguments must be zero.
    return (ctypes.c_ulong(first), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
