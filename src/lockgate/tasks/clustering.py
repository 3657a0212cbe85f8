"""The edges of `inv cluster.*`, made from the settings: which cluster is meant, and what it is made of."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import NotReady, ToolMissing, UsageError
from lockgate.base.files import exclusive
from lockgate.tasks import noding

if TYPE_CHECKING:
    import contextlib

    from lockgate.deploy.engine import Engine
    from lockgate.deploy.node.cluster import World
    from lockgate.deploy.node.model import ClusterStatus, Phase
    from lockgate.deploy.node.others import Other
    from lockgate.tasks.session import Session


class Chosen(NamedTuple):
    """The cluster that is meant; exactly one of the last three is set."""

    name: str
    why: str
    """Why this way of having one was taken."""
    node: World | None = None
    other: Other | None = None
    given: Path | None = None
    """Kubeconfig of a cluster that is there."""
    context: str = ""
    """Context in it."""

    @property
    def provider(self) -> str:
        """Return its name in the settings."""
        return "node" if self.node else self.other.kind if self.other else "kubeconfig"


def folder(session: Session) -> Path:
    """Return where clusters of this repository are kept: `NAME/kubeconfig` in it."""
    return session.folder / "cluster"


def choose(session: Session, name: str) -> Chosen:
    """Return the cluster that is meant, by the settings and by what the machine has.

    Raises:
        UsageError: the name cannot be one, or the kubeconfig or its context is missing.
        ToolMissing: there is no way to have a cluster here.
    """
    from lockgate.base.settings_file import check_cluster_name
    from lockgate.deploy.engine import find_engine
    from lockgate.deploy.node.others import Other, installed

    wanted = session.settings.cluster
    name = name or wanted.name
    check_cluster_name(name, "the cluster's name")
    provider, why = wanted.provider, "`provider` in lockgate.yaml"
    if provider == "auto":
        found = installed()
        if wanted.context:
            provider, why = "kubeconfig", "`context` in lockgate.yaml"
        elif (folder(session) / name / "node").exists():
            provider, why = "node", "it was made as a node"
        elif found:
            provider, why = found, f"{found} is on PATH"
        else:
            provider, why = "node", "neither kind nor k3d is on PATH"
    if provider == "kubeconfig":
        return _given(session, name, why)
    if provider in ("kind", "k3d"):
        return Chosen(name, why, other=Other(provider, name, folder(session) / name / "kubeconfig"))
    engine = find_engine()
    if engine is None:
        raise ToolMissing(
            "a cluster needs a container engine, and none answers",
            hint=f"{_engine_hint()}; or name a cluster that you have: `context` under `cluster` in "
            "`lockgate.yaml`",
        )
    return Chosen(name, why, node=_world(session, engine, name))


def _engine_hint() -> str:
    """Return how to have an engine on this machine."""
    # Where an ordinary user's PATH does not lead.
    if shutil.which(
        "dockerd", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    ):
        return "start docker: as root `systemctl start docker`, or `dockerd &` without systemd"
    if shutil.which("apt-get"):
        return "install and start docker: as root `apt-get install docker.io`, and `dockerd &` without systemd"
    return "install and start docker, or podman as root"


def _given(session: Session, name: str, why: str) -> Chosen:
    wanted = session.settings.cluster
    if not wanted.context:
        raise UsageError(
            "`cluster.provider` is kubeconfig and `cluster.context` is empty",
            hint="name the context: the current one may be anybody's production",
        )
    listed = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    path = Path(wanted.kubeconfig or listed or "~/.kube/config").expanduser()
    path = path if path.is_absolute() else session.root / path
    if not path.is_file():
        raise UsageError(f"there is no kubeconfig {path}", hint="set `cluster.kubeconfig`")
    return Chosen(name, why, given=path, context=wanted.context)


def _world(session: Session, engine: Engine, name: str) -> World:
    from lockgate.deploy.node.cluster import World
    from lockgate.deploy.node.container import Place
    from lockgate.deploy.node.model import Ports
    from lockgate.deploy.node.nodes import nodes

    wanted = session.settings.cluster
    return World(
        place=Place(engine, folder(session), name),
        image=lambda: noding.image(session, engine),
        wanted=Ports(wanted.api_port, wanted.registry_port),
        nodes=nodes,
        told=noding.Told(session),
    )


def up(session: Session, cluster: Chosen) -> ClusterStatus:
    """See to it that the cluster runs and is ready; say what it is.

    Raises:
        LockgateError: it cannot be had; the message says why.
    """
    started = time.monotonic()
    with _held(session, cluster.name):
        done = _up(session, cluster)
        found = status(session, cluster)
    if found.phase != "ready":
        raise NotReady(f"cluster {found.name}: {found.why}", hint="`inv cluster.status` says more")
    console = session.console
    if done != "unchanged":
        console.say("cluster", f"{found.name}  {done}  {found.api}", started=started, tone="good")
    else:
        console.say("cluster", f"{found.name}  unchanged  {found.api}")
    lines = [f"kubeconfig {_short(found.kubeconfig, session)}  context {found.context}"]
    if found.registry:
        lines.append(f"registry   {found.registry}   here and in the cluster, without TLS")
    lines += [f"no {one.what}: {one.so}" for one in found.lacks]
    if found.policies:
        lines.append(f"NetworkPolicies are {found.policies}")
    console.block(lines)
    return found


def _up(session: Session, cluster: Chosen) -> str:
    if cluster.node:
        from lockgate.base.files import atomic_write
        from lockgate.deploy.node import cluster as node

        # Should kind be installed later, this cluster stays what it is.
        atomic_write(folder(session) / cluster.name / "node", b"")
        return node.up(cluster.node, now=int(time.time()))
    if cluster.other:
        done = "unchanged"
        if not cluster.other.exists():
            session.console.say("cluster", f"{cluster.other.kind} makes {cluster.name} …")
            cluster.other.create()
            done = "created"
        cluster.other.keep_kubeconfig()
        return done
    return "unchanged"


def require_ours(cluster: Chosen) -> None:
    """Refuse a cluster that was not made here.

    Raises:
        UsageError: it is one.
        ToolError: kind or k3d does not answer.
    """
    if cluster.given:
        raise UsageError(
            f"context {cluster.context} is a cluster that was there before; it is not removed",
            hint="remove it the way it was made",
        )
    if cluster.other and cluster.other.exists():
        cluster.other.require_ours()


def down(session: Session, cluster: Chosen) -> None:
    """Remove the cluster and say what was removed.

    Raises:
        UsageError: it is not ours to remove.
        ToolError: the engine, kind or k3d refuses.
    """
    started = time.monotonic()
    require_ours(cluster)
    with _held(session, cluster.name):
        removed: tuple[str, ...] = ()
        if cluster.node:
            from lockgate.deploy.node import cluster as node

            removed = node.down(cluster.node)
        elif cluster.other and cluster.other.exists():
            cluster.other.delete()
            removed = (f"{cluster.other.kind} cluster {cluster.name}",)
        elif cluster.other:
            # The next cluster of this name may be somebody else's.
            cluster.other.mark.unlink(missing_ok=True)
    what = ", ".join(removed)
    words = f"removed: {what}" if what else "there is nothing to remove"
    session.console.say("cluster", f"{cluster.name}  {words}", started=started if what else None)


def status(session: Session, cluster: Chosen) -> ClusterStatus:
    """Say what the cluster is; changes nothing.

    Raises:
        ToolError: the engine, kind or k3d does not answer.
    """
    from lockgate.base.errors import RemoteError
    from lockgate.deploy.node.model import ClusterStatus

    if cluster.node:
        from lockgate.deploy.node import cluster as node

        return node.status(cluster.node)
    from lockgate.deploy.node.nodes import nodes

    path = kubeconfig(session, cluster)
    context = cluster.other.context if cluster.other else cluster.context
    empty = ClusterStatus(
        name=cluster.name,
        provider=cluster.provider,  # type: ignore[arg-type]
        phase="absent",
        why="it was not made yet: `inv cluster.up`",
        context=context,
        kubeconfig=str(path) if path.is_file() else "",
        api="",
        registry="",
    )
    if cluster.other and not (cluster.other.exists() and path.is_file()):
        return empty
    import msgspec

    try:
        found = nodes(path, context)
    except RemoteError as error:
        return msgspec.structs.replace(empty, phase="failed", why=error.message)
    waiting = [one.name for one in found if not one.ready]
    why = "it has no nodes" if not found else f"not ready: {', '.join(waiting)}" if waiting else ""
    phase: Phase = "starting" if why else "ready"
    return msgspec.structs.replace(empty, phase=phase, why=why, nodes=found)


def kubeconfig(session: Session, cluster: Chosen) -> Path:
    """Return where the cluster's kubeconfig lies or would lie."""
    return cluster.given or folder(session) / cluster.name / "kubeconfig"


def _held(session: Session, name: str) -> contextlib.AbstractContextManager[None]:
    console = session.console
    return exclusive(
        session.lock(f"cluster-{name}"),
        waiting=lambda: console.say("cluster", f"another run changes {name}; waiting for it"),
    )


def _short(path: str, session: Session) -> str:
    return str(Path(path).relative_to(session.root)) if path.startswith(str(session.root)) else path
