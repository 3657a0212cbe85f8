"""What a service is given, whatever runs it.

    PORT                     port on which it must listen
    HOST                     address on which it must listen
    HOME                     /tmp, the one folder that it may write to, unless the image says otherwise
    LOCKGATE_IMAGE_DIGEST    digest of the image index
    LOCKGATE_REVISION        commit that the image was built from; empty when unknown

Besides these it has the image's own variables, and none of the machine's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from lockgate.deploy.model import Instance
    from lockgate.oci.unpack import ImageConfig, Process

USER = 65532
"""Who a service is when its image does not say."""

REVISION = "org.opencontainers.image.revision"
"""Label with the commit (annotations.md)."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of an image that sets none, as container engines have it."""


def environment(config: ImageConfig, instance: Instance, *, host: str, port: int) -> dict[str, str]:
    """Return the whole environment of a service that listens on `host` and `port`."""
    image = dict(pair.split("=", 1) for pair in config.config.environment if "=" in pair)
    return {"PATH": _PATH, "HOME": "/tmp"} | image | given(instance, host=host, port=port)  # noqa: S108


def given(instance: Instance, *, host: str, port: int) -> dict[str, str]:
    """Return the variables that the deployer sets over those of the image."""
    return {
        "HOST": host,
        "PORT": str(port),
        "LOCKGATE_IMAGE_DIGEST": instance.digest,
        "LOCKGATE_REVISION": instance.revision,
    }


def user(process: Process) -> tuple[int, int]:
    """Return the ids of user and group that the image names; never root.

    Raises:
        UsageError: the image wants to be root, or names its user by a word, which only its own files
            could translate.
    """
    if not process.user:
        return USER, USER
    match = re.fullmatch(r"([0-9]{1,9})(?::([0-9]{1,9}))?", process.user)
    if match is None or int(match[1]) == 0:
        raise UsageError(
            f"the image's user is {process.user!r}; only a number other than 0 is run",
            hint=f"set the image's user to {USER}:{USER}",
        )
    return int(match[1]), int(match[2] or match[1])


def arguments(process: Process) -> tuple[str, ...]:
    """Return the program and its arguments.

    Raises:
        UsageError: the image names none.
    """
    argv = process.entrypoint + process.arguments
    if not argv:
        raise UsageError(
            "the image names no program to run",
            hint="give the component an `entrypoint` in `lockgate.yaml`",
        )
    return argv
