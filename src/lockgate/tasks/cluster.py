"""`inv cluster.up`, `cluster.down`, `cluster.status`: a Kubernetes cluster for development and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.tasks.command import helps, reported

if TYPE_CHECKING:
    from invoke.context import Context

_NAME = "name of the cluster; without it the one of lockgate.yaml"


@task(help=helps("plan", "json", name=_NAME))
@reported
def up(context: Context, name: str = "", plan: bool = False, json: bool = False) -> None:
    """Have a Kubernetes cluster with DNS and a registry, ready to use. Example: inv cluster.up."""
    from lockgate.tasks import cluster_words, clustering
    from lockgate.tasks.session import open_session

    session = open_session()
    cluster = clustering.choose(session, name)
    if plan:
        cluster_words.plan_up(session, cluster)
        return
    found = clustering.up(session, cluster)
    if json:
        session.emit(found)


@task(help=helps("plan", name=_NAME))
@reported
def down(context: Context, name: str = "", plan: bool = False) -> None:
    """Remove the cluster with everything in it, and nothing else. Example: inv cluster.down."""
    from lockgate.tasks import cluster_words, clustering
    from lockgate.tasks.session import open_session

    session = open_session()
    cluster = clustering.choose(session, name)
    if plan:
        cluster_words.plan_down(session, cluster)
    else:
        clustering.down(session, cluster)


@task(help=helps("json", name=_NAME))
@reported
def status(context: Context, name: str = "", json: bool = False) -> None:
    """Say what the cluster is, and what the machine lacks; exit 5 unless ready. Example: inv cluster.status."""
    from lockgate.tasks import cluster_words, clustering
    from lockgate.tasks.session import open_session

    session = open_session()
    found = clustering.status(session, clustering.choose(session, name))
    if json:
        session.emit(found)
    else:
        cluster_words.show(found)
    if found.phase != "ready":
        raise Exit(code=5)


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("cluster", up, down, status)
