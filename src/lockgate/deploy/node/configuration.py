"""Everything that a node is told: configuration files, and the plan of its parts. Pure.

Addresses that are known only inside stand as marks in the plan (`inside.plan`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lockgate.deploy.node import addons
from lockgate.deploy.node.inside.plan import ADDRESS, Part, Plan, Question, to_json
from lockgate.deploy.node.pki import FOLDER, PKI, PODS, SERVICES, File

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.deploy.node.model import NodeImage

REGISTRY_HOST = "registry.localhost"
"""A name below `localhost` (RFC 6761): loopback on the machine, the node within the cluster."""

PLAN = "/etc/lockgate/node.json"
IMAGES = "/usr/share/lockgate/images.tar"
"""In the node's image: what containerd must have before anything can be pulled."""

SECONDS = 180
"""Longest time until a part is ready. One that ends is told at once; one that only takes its time has a slow machine."""

_CONTAINERD = "/run/containerd/containerd.sock"
_ETCD = "/run/etcd.sock"
_NOBODY = "http://127.0.0.1:1"
_API = "https://127.0.0.1:6443"


def files(
    name: str, image: NodeImage, *, capabilities: Sequence[str], registry_port: int
) -> dict[str, File]:
    """Return every configuration file by its path in the node.

    Args:
        name: name of the cluster, which is the node's name.
        image: what the node is made of.
        capabilities: what the container has.
        registry_port: where the registry listens, inside and on the machine's loopback.
    """
    registry = f"{REGISTRY_HOST}:{registry_port}"
    protected = "SYS_RESOURCE" in capabilities
    texts = {
        "/etc/containerd/config.toml": _containerd(image.pause, protect=protected),
        f"/etc/containerd/certs.d/{registry}/hosts.toml": _hosts(registry_port),
        "/etc/cni/net.d/10-lockgate.conflist": _network(),
        "/etc/lockgate/registry.yml": _registry(registry_port),
        f"{FOLDER}/kubelet.yaml": _kubelet(),
    }
    found = {path: File(text.encode(), 0o644) for path, text in texts.items()}
    found[PLAN] = File(to_json(plan(name, image, registry_port=registry_port)), 0o644)
    return found


def plan(name: str, image: NodeImage, *, registry_port: int) -> Plan:
    """Return what the node runs."""
    return Plan(
        parts=_parts(name, registry_port),
        changes=addons.changes(image.dns, REGISTRY_HOST),
        api=_API,
        api_part="kube-apiserver",
        conditions=(
            Question(url=f"{_API}/api/v1/nodes/{name}", condition="Ready", part="kubelet"),
            Question(url=f"{_API}{addons.DEPLOYMENT}", condition="Available", part="kubelet"),
        ),
        authority=f"{PKI}/ca.crt",
        client=(f"{PKI}/node.crt", f"{PKI}/node.key"),
        seconds=SECONDS,
    )


def _parts(name: str, registry_port: int) -> tuple[Part, ...]:
    return (
        Part("containerd", ("containerd",), ready=(Question("", socket=_CONTAINERD),)),
        Part(
            "etcd",
            (
                "etcd",
                "--data-dir=/var/lib/etcd",
                f"--listen-client-urls=unix://{_ETCD}",
                "--listen-peer-urls=unix:///run/etcd-peer.sock",
                # It listens on sockets only; these addresses are asked for, and nobody calls them.
                f"--advertise-client-urls={_NOBODY}",
                f"--initial-advertise-peer-urls={_NOBODY}",
                f"--initial-cluster=default={_NOBODY}",
                # Nothing of a cluster for development must survive a power cut, and waiting for disks is slow.
                "--unsafe-no-fsync",
            ),
            ready=(Question("http://localhost/health", socket=_ETCD),),
        ),
        Part(
            "registry",
            ("registry", "serve", "/etc/lockgate/registry.yml"),
            ready=(Question(f"http://127.0.0.1:{registry_port}/v2/"),),
        ),
        Part(
            "images",
            ("ctr", f"--address={_CONTAINERD}", "--namespace=k8s.io", "images", "import", IMAGES),
            after=("containerd",),
        ),
        Part("kube-apiserver", _apiserver(), after=("etcd",), ready=(Question(f"{_API}/readyz"),)),
        Part(
            "kube-controller-manager",
            _controller_manager(),
            after=("kube-apiserver",),
            ready=(Question("https://127.0.0.1:10257/healthz"),),
        ),
        Part(
            "kube-scheduler",
            _scheduler(),
            after=("kube-apiserver",),
            ready=(Question("https://127.0.0.1:10259/healthz"),),
        ),
        Part(
            "kube-proxy",
            (
                "kube-proxy",
                f"--kubeconfig={FOLDER}/kube-proxy.conf",
                f"--hostname-override={name}",
                f"--cluster-cidr={PODS}",
                "--proxy-mode=iptables",
                # Limits of connections belong to the machine.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s",
                "--oom-score-adj=0",
                "--healthz-bind-address=127.0.0.1:10256",
            ),
            after=("kube-apiserver",),
            ready=(Question("http://127.0.0.1:10256/livez"),),
        ),
        Part(
            "kubelet",
            (
                "kubelet",
                f"--config={FOLDER}/kubelet.yaml",
                f"--kubeconfig={FOLDER}/kubelet.conf",
                f"--hostname-override={name}",
                f"--node-ip={ADDRESS}",
                f"--tls-cert-file={PKI}/kubelet.crt",
                f"--tls-private-key-file={PKI}/kubelet.key",
            ),
            after=("kube-apiserver", "images"),
            # What comes after it asks the API server about this node.
            ready=(
                Question("http://127.0.0.1:10248/healthz"),
                Question(f"{_API}/api/v1/nodes/{name}"),
            ),
        ),
        Part(
            "kube-router",
            (
                "kube-router",
                f"--kubeconfig={FOLDER}/kube-router.conf",
                f"--hostname-override={name}",
                # Of the three things that it can do the node needs one: NetworkPolicies.
                "--run-firewall=true",
                "--run-router=false",
                "--run-service-proxy=false",
                f"--service-cluster-ip-range={SERVICES}",
                "--health-port=20244",
            ),
            after=("kubelet", "kube-proxy"),
            ready=(Question("http://127.0.0.1:20244/healthz"),),
            needs="policies",
        ),
    )


def _apiserver() -> tuple[str, ...]:
    return (
        "kube-apiserver",
        f"--etcd-servers=unix://{_ETCD}",
        f"--advertise-address={ADDRESS}",
        "--secure-port=6443",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=Hostname",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={PKI}/front-proxy-client.key",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
    )


def _controller_manager() -> tuple[str, ...]:
    config = f"{FOLDER}/controller-manager.conf"
    return (
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--tls-cert-file={PKI}/controller-manager.crt",
        f"--tls-private-key-file={PKI}/controller-manager.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--use-service-account-credentials",
        # An account for each controller is a hundred requests, and the default of 20 a second is all of the start.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # There is one of each: nobody to elect.
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
    )


def _scheduler() -> tuple[str, ...]:
    config = f"{FOLDER}/scheduler.conf"
    return (
        "kube-scheduler",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--tls-cert-file={PKI}/scheduler.crt",
        f"--tls-private-key-file={PKI}/scheduler.key",
        "--leader-elect=false",
    )


def _kubelet() -> str:
    """KubeletConfiguration v1beta1. JSON is YAML too."""
    gone = {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"}
    whole = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD}",
        "cgroupDriver": "cgroupfs",
        # The whole cgroup is the container's, which the engine limits.
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [addons.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        # The disk is the machine's: nothing is removed because others fill it.
        "evictionHard": gone,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "oomScoreAdj": 0,
        "resolvConf": "/etc/resolv.conf",
        "rotateCertificates": False,
        "serializeImagePulls": False,
    }
    return json.dumps(whole, indent=1)


def _containerd(pause: str, *, protect: bool) -> str:
    """Configuration of containerd's CRI plugin, version 2. Without CAP_SYS_RESOURCE no score can be lowered."""
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = {"false" if protect else "true"}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"""


def _hosts(port: int) -> str:
    """The hosts.toml of containerd: the registry is this node, without TLS."""
    here = f"http://127.0.0.1:{port}"
    return f'server = "{here}"\n[host."{here}"]\n  capabilities = ["pull", "resolve"]\n'


def _network() -> str:
    """A CNI configuration list, version 1.0.0: a line from each pod to the node, which routes; host ports.

    No bridge is needed, and so no kernel module for the filter of one.
    """
    addresses = {
        "type": "host-local",
        # Addresses are forgotten with the pods when the node starts anew.
        "dataDir": "/run/cni-ipam",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    line = {"type": "ptp", "ipMasq": True, "ipam": addresses}
    mapping = {"type": "portmap", "capabilities": {"portMappings": True}}
    whole = {"cniVersion": "1.0.0", "name": "lockgate", "plugins": [line, mapping]}
    return json.dumps(whole, indent=1)


def _registry(port: int) -> str:
    """Configuration of distribution, version 0.1."""
    whole = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": "/var/lib/registry"},
            "delete": {"enabled": True},
        },
        "http": {"addr": f":{port}"},
    }
    return json.dumps(whole, indent=1)
