"""Which way to run images this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.errors import ToolMissing
from lockgate.deploy.runner import NAMESPACES

if TYPE_CHECKING:
    from lockgate.deploy.runner import Runner


def runner(name: str) -> Runner:
    """Return the runner that records call `name`; with an empty name the best one of this machine.

    Raises:
        ToolMissing: it has none.
    """
    if name == NAMESPACES:
        from lockgate.deploy.sandbox import Sandbox

        return Sandbox()
    from lockgate.deploy import engine

    if name:
        return engine.Engine(name)
    found = engine.find_engine()
    if found is not None:
        return found
    from lockgate.deploy import sandbox

    if sandbox.available():
        return sandbox.Sandbox()
    raise ToolMissing(
        "neither a container engine answers nor does the kernel allow namespaces",
        hint="start docker or podman, or allow user namespaces: "
        "`sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0`",
    )
