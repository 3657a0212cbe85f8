"""What `inv cluster.*` says for people: a status, and what would happen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lockgate.tasks import clustering, noding
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from lockgate.deploy.node.model import ClusterStatus
    from lockgate.tasks.clustering import Chosen
    from lockgate.tasks.session import Session


def show(found: ClusterStatus) -> None:
    """Print a status for people."""
    rows = [("cluster", f"{found.name}  {found.phase}  ({found.provider})")]
    rows += [("why", found.why)] if found.why else []
    for one in found.nodes:
        state = "ready" if one.ready else "not ready"
        rows.append(
            ("node", f"{one.name}  {state}  Kubernetes {one.kubelet}  {one.runtime}  {one.address}")
        )
    rows += [("api", found.api)] if found.api else []
    rows += (
        [("kubeconfig", f"{found.kubeconfig}  context {found.context}")] if found.kubeconfig else []
    )
    rows += [("registry", found.registry)] if found.registry else []
    if found.machine:
        confined = ", ".join(found.machine.security) or "nothing"
        about = f"{found.machine.engine} {found.machine.version}, cgroups {found.machine.cgroups}"
        rows.append(("engine", f"{about}, confines by {confined}"))
    rows += [("lacks", f"{one.what}: {one.so}") for one in found.lacks]
    rows += [("iptables", found.iptables)] if found.iptables else []
    rows += [("policies", found.policies)] if found.policies else []
    if found.until:
        day = time.strftime("%Y-%m-%d", time.localtime(found.until))
        rows.append(
            ("until", f"{day}: then its certificates end, and `inv cluster.down` makes room")
        )
    for head, text in rows:
        sys.stdout.write(f"{head:<12} {text}\n")


def plan_up(session: Session, cluster: Chosen) -> None:
    """Say what `up` would do."""
    now = clustering.status(session, cluster)
    wanted = session.settings.cluster
    head = f"{cluster.name}  {now.phase}"
    if now.phase == "ready":
        session.console.say("cluster", f"{head}; nothing would change")
        return
    how = {
        "node": "would be a node in one container",
        "kind": f"would be made by kind, as {cluster.name}",
        "k3d": f"would be made by k3d, as {cluster.name}",
        "kubeconfig": "is somebody else's to start",
    }[cluster.provider]
    session.console.say("cluster", f"{head}; {how}  ({cluster.why})")
    if not cluster.node:
        return
    lines = [_image_plan(session)]
    for label, port in (("API server", wanted.api_port), ("registry", wanted.registry_port)):
        lines.append(f"{label} on " + (f"127.0.0.1:{port}" if port else "a free port of 127.0.0.1"))
    lines += [f"no {one.what}: {one.so}" for one in now.lacks]
    session.console.block(lines)


def _image_plan(session: Session) -> str:
    from lockgate.build import gotools

    found = [gotools.look(one, user_cache()) for one in noding.programs(session)]
    absent = [one.tool.name for one in found if one.path is None]
    if absent:
        return f"programs to compile first, some minutes: {', '.join(absent)}"
    return "of programs that are compiled: " + ", ".join(
        f"{one.tool.name} {one.version}" for one in found
    )


def plan_down(session: Session, cluster: Chosen) -> None:
    """Say what `down` would remove.

    Raises:
        UsageError: nothing, since it is not ours.
    """
    clustering.require_ours(cluster)
    now = clustering.status(session, cluster)
    # Without its kubeconfig the status takes one of kind for absent.
    there = cluster.other.exists() if cluster.other else now.phase != "absent"
    words = "would be removed, with everything in it" if there else "nothing to remove"
    session.console.say("cluster", f"{cluster.name}  {now.phase}  {words}")
