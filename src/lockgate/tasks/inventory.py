"""`inv deploy.delete|history|inventories|repair`: the record of what a cluster was given, and its end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.tasks import task

from lockgate.tasks.command import Flags, helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

_NAME = {"inventory": "name of another inventory"}


@task(
    klass=Flags,
    help=helps("env", "wait_timeout", "yes", "plan", "json", **_NAME),
)
@reported
def delete(
    context: Context,
    env: str = "",
    inventory: str = "",
    wait_timeout: int = 300,
    yes: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Delete from the cluster all that an inventory holds. Example: inv deploy.delete -e dev --yes."""
    from lockgate.deploy.kube import delete as deletion
    from lockgate.tasks import applying
    from lockgate.tasks.session import open_session

    session, started = open_session(), time.monotonic()
    _, environment = session.settings.target(env)
    options = applying.options(environment, applying.Asked(wait_timeout=wait_timeout))
    with applying.target(session, env, inventory) as there:
        changes = deletion.plan(there, options)
        if plan:
            there.events.planned(changes)
            session.console.block(["nothing was changed"])
        else:
            applying.confirm(session, changes, yes=yes)
            changes = deletion.delete(there, options)
            count = changes.count("deleted")
            left = changes.count("skipped")
            words = f"{count} deleted" + (f", {left} left" if left else "")
            session.console.say(
                "deploy", f"{changes.inventory}  {words}", started=started, tone="good"
            )
    if json:
        session.emit(changes)


@task(klass=Flags, help=helps("env", "json"))
@reported
def history(context: Context, env: str = "", json: bool = False) -> None:
    """List the artifacts that were applied to the cluster, newest first. Example: inv deploy.history -e dev."""
    from lockgate.oci.digest import Digest
    from lockgate.tasks import applying
    from lockgate.tasks.console import printable
    from lockgate.tasks.session import open_session

    session = open_session()
    found = applying.history(session, env)
    if json:
        session.emit(found)
        return
    past = found.applied
    rows = [("pending", found.pending)] if found.pending else []
    rows += [("current" if one is past[-1] else "before", one) for one in reversed(past)]
    for word, one in rows:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at))
        short = Digest(one.artifact).short
        said = printable(one.revision)
        sys.stdout.write(f"{word:<8} {short:<22} {one.objects:>5} objects  {day}  {said}\n")


@task(
    klass=Flags,
    help=helps("env", "json", all_namespaces="of the whole cluster, not of one namespace"),
)
@reported
def inventories(
    context: Context, env: str = "", all_namespaces: bool = False, json: bool = False
) -> None:
    """List the inventories of a cluster. Example: inv deploy.inventories -e dev --all-namespaces."""
    from lockgate.deploy.kube.model import Inventories
    from lockgate.tasks import applying, deploy_words
    from lockgate.tasks.session import open_session

    session = open_session()
    with applying.target(session, env) as there:
        found = Inventories(
            context=there.context,
            namespace="" if all_namespaces else there.owner.namespace,
            inventories=tuple(
                deploy_words.brief(*one) for one in there.storage.all(everywhere=all_namespaces)
            ),
        )
    if json:
        session.emit(found)
        return
    lines = [deploy_words.inventory_line(one) for one in found.inventories]
    sys.stdout.write("".join(f"{one}\n" for one in lines))


@task(klass=Flags, help=helps("env", **_NAME))
@reported
def repair(context: Context, env: str = "", inventory: str = "") -> None:
    """Write a lost inventory anew, from the labels of its objects. Example: inv deploy.repair -e dev."""
    from lockgate.deploy.kube import delete as deletion
    from lockgate.tasks import applying
    from lockgate.tasks.console import quantity
    from lockgate.tasks.session import open_session

    session = open_session()
    _, environment = session.settings.target(env)
    with applying.target(session, env, inventory) as there:
        made = deletion.repair(there, (), applying.options(environment, applying.Asked()))
    count = quantity(len(made.entries), "object")
    session.console.say("deploy", f"{made.owner} holds {count} again", tone="good")


TASKS = (delete, history, inventories, repair)
