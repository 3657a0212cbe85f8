"""What the images of kind and k3s have and the image of our node has not; runs in a container, by its own name there.

Real kind and real k3d run the images that stand in for theirs. kind reads and writes files in its node by programs
of every Unix, calls `kubeadm`, and waits for a line of the log; k3d starts `k3s` and waits for another line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NODE = ("python3", "-m", "lockgate.deploy.node.inside")
ADMIN = Path("/etc/kubernetes/admin.conf")
ROLE = "node-role.kubernetes.io/control-plane"

DNS = Path("/var/lib/rancher/k3s/server/manifests/coredns.yaml")
"""Where k3d adds names to those that CoreDNS knows."""
NAMED = {"apiVersion": "v1", "metadata": {"name": "coredns", "namespace": "kube-system"}}


def kubectl(*words: str, stdin: str = "") -> str:
    """Run kubectl as the administrator; return what it says."""
    done = subprocess.run(
        ["kubectl", f"--kubeconfig={ADMIN}", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def cat(*words: str) -> int:
    """Print files."""
    for one in words:
        sys.stdout.buffer.write(Path(one).read_bytes())
    return 0


def cp(*words: str) -> int:
    """Copy a file, which may be a pipe."""
    with Path(words[0]).open("rb") as source, Path(words[1]).open("wb") as target:
        shutil.copyfileobj(source, target)
    return 0


def mkdir(*words: str) -> int:
    """Make a folder with those above it."""
    Path(words[-1]).mkdir(parents=True, exist_ok=True)
    return 0


def sh(*_: str) -> int:
    """Do nothing: k3d wants names written into `/etc/hosts` and into CoreDNS, which nobody asks here."""
    return 0


def kubeadm(*words: str) -> int:
    """Leave what `kubeadm init` leaves: a node with its role, which takes no pods yet."""
    if words[0] != "init" or not Path("/kind/kubeadm.conf").exists():
        return 2
    while "labeled" not in kubectl("label", "node", "--all", "--overwrite", f"{ROLE}="):
        time.sleep(0.2)
    kubectl("taint", "node", "--all", f"{ROLE}=:NoSchedule")
    return 0


def kind(*_: str) -> int:
    """Be the first process of a node of kind, which waits for this line, whichever version it is of."""
    print("detected cgroup v1", flush=True)
    os.execvp(NODE[0], NODE)  # noqa: S606 - no shell is wanted


def k3s(*words: str) -> int:
    """Be a server of k3s: an API server with a node that somebody says is ready, and a kubeconfig for k3d.

    k3d may give its containers the cgroups of the machine, so no kubelet is started here. With `noop` it is the
    helper that k3d looks around with.
    """
    if words == ("noop",):
        time.sleep(3600)
    about: dict[str, Any] = json.loads(ADMIN.read_text())
    for kept in ("clusters", "users", "contexts"):
        about[kept][0]["name"] = "default"
    about["contexts"][0]["context"] = {"cluster": "default", "user": "default"}
    about["current-context"] = "default"
    # k3s makes its certificate for the address that k3d will write here, 0.0.0.0.
    about["clusters"][0]["cluster"]["tls-server-name"] = "localhost"
    mkdir(str(DNS.parent))
    DNS.write_text(json.dumps({**NAMED, "kind": "ConfigMap", "data": {"NodeHosts": ""}}))
    place = Path(os.environ["K3S_KUBECONFIG_OUTPUT"])
    mkdir(str(place.parent))
    place.write_text(json.dumps(about))
    with subprocess.Popen(NODE, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            print(line, end="", flush=True)
            if json.loads(line)["part"] == "node":
                kubectl("create", "--filename=-", stdin=Path("/k3s/node.json").read_text())
                # k3d waits for the second line before it asks for names in CoreDNS.
                print("k3s is up and running\nCluster dns configmap", flush=True)
        return child.wait()


PROGRAMS = {one.__name__: one for one in (cat, cp, mkdir, sh, kubeadm, kind, k3s)}

if __name__ == "__main__":
    sys.exit(PROGRAMS[Path(sys.argv[0]).name](*sys.argv[1:]))
