"""`inv settings`, `settings.init`: what counts in this repository, and the first files of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.tasks import task

from lockgate.tasks.command import Flags, helps, reported

if TYPE_CHECKING:
    from invoke.context import Context


@task(
    default=True,
    klass=Flags,
    help=helps(
        "json",
        component="print this component alone",
        env="print this environment alone",
    ),
)
@reported
def settings(context: Context, component: str = "", env: str = "", json: bool = False) -> None:
    """Print all settings, with those that the file does not have. Example: inv settings -e prod."""
    from lockgate.base import settings_file
    from lockgate.tasks import settling

    settling.show(settings_file.find_root(Path.cwd()), component, env, json=json)


@task(klass=Flags, help=helps("plan"))
@reported
def init(context: Context, plan: bool = False) -> None:
    """Write the first lockgate.yaml, from what this folder holds. Example: inv settings.init --plan."""
    from lockgate.tasks import settling

    start = settling.start(Path.cwd())
    settling.say(start, plan=plan)
    if not plan:
        settling.write(start)


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("settings", settings, init)
