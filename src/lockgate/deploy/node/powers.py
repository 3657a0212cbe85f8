"""What a container is given that is to be a node: what is needed of what there is, not `--privileged`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lockgate.deploy.node.model import Machine

_CONFINED = {"apparmor": "apparmor=unconfined", "selinux": "label=disable"}


class Powers(NamedTuple):
    """Options of a container, called as docker's and podman's own libraries call them."""

    cap_add: tuple[str, ...]
    security_opt: tuple[str, ...]
    devices: tuple[str, ...]
    ulimits: tuple[str, ...] = ()
    """`nofile=20000:20000`."""
    user: str = "0:0"
    cap_drop: tuple[str, ...] = ("ALL",)
    cgroupns: str = "private"
    """Its own cgroup and no other: what it makes there goes with it."""
    device_cgroup_rules: tuple[str, ...] = ("a *:* rwm",)
    tmpfs: tuple[str, ...] = ("/run", "/tmp")  # noqa: S108 - folders of the container
    tmpfs_options: str = "rw,exec,nosuid,nodev"

    def arguments(self) -> list[str]:
        """Return them as arguments of `docker create`."""
        return [
            f"--user={self.user}",
            *(f"--cap-drop={one}" for one in self.cap_drop),
            *(f"--cap-add={one}" for one in self.cap_add),
            *(f"--security-opt={one}" for one in self.security_opt),
            f"--cgroupns={self.cgroupns}",
            *(f"--device-cgroup-rule={one}" for one in self.device_cgroup_rules),
            *(f"--tmpfs={one}:{self.tmpfs_options}" for one in self.tmpfs),
            *(f"--device={one}" for one in self.devices),
            *(f"--ulimit={one}" for one in self.ulimits),
        ]


def powers(machine: Machine, capabilities: tuple[str, ...]) -> Powers:
    """Return what a node is given on a machine.

    Args:
        machine: what the engine allows.
        capabilities: what `capabilities.given` chose of it.
    """
    confined = [_CONFINED[one] for one in machine.security if one in _CONFINED]
    return Powers(
        cap_add=capabilities,
        security_opt=("seccomp=unconfined", *confined),
        devices=("/dev/kmsg",) if machine.kmsg and "SYSLOG" in capabilities else (),
        ulimits=tuple(f"{name}={most}:{most}" for name, most in machine.limits.items()),
    )
