"""The objects that the node's API server begins with: CoreDNS, and what the parts may do. Pure."""

from __future__ import annotations

from typing import Any

from lockgate.deploy.node.inside.plan import ADDRESS, FORWARD, Change

NAMESPACE = "kube-system"
DNS_ADDRESS = "10.96.0.10"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/coredns"

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_CORE = f"/api/v1/namespaces/{NAMESPACE}"
_LABELS = {"k8s-app": "kube-dns"}
_USER = 65532


def changes(image: str, registry_host: str) -> tuple[Change, ...]:
    """Return the objects.

    Args:
        image: reference of the image of CoreDNS, which containerd has already.
        registry_host: name under which pods reach the node's registry.
    """
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE}
    rules = [
        _rule("", "endpoints", "services", "pods", "namespaces"),
        _rule("discovery.k8s.io", "endpointslices"),
    ]
    watched = [
        _rule("", "endpoints", "namespaces", "nodes", "pods", "services"),
        _rule("discovery.k8s.io", "endpointslices"),
        _rule("networking.k8s.io", "networkpolicies"),
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    ]
    # The API server asks kubelets for logs and terminals under this name.
    kubelet_user = _user("kube-apiserver-kubelet-client")
    return (
        _binding("lockgate:kubelet-api", "system:kubelet-api-admin", kubelet_user),
        _role("lockgate:kube-router", watched),
        _binding("lockgate:kube-router", "lockgate:kube-router", _user("kube-router")),
        _change(f"{_CORE}/serviceaccounts/coredns", "v1", "ServiceAccount", {}),
        _role("lockgate:coredns", rules),
        _binding("lockgate:coredns", "lockgate:coredns", account),
        _change(
            f"{_CORE}/configmaps/coredns",
            "v1",
            "ConfigMap",
            {"data": {"Corefile": corefile(registry_host)}},
        ),
        _change(f"{_CORE}/services/kube-dns", "v1", "Service", {"spec": _service()}),
        _change(DEPLOYMENT, "apps/v1", "Deployment", {"spec": _deployment(image)}),
    )


def corefile(registry_host: str) -> str:
    """Return the configuration of CoreDNS."""
    return f""".:53 {{
    errors
    health :8080
    ready :8181
    hosts {{
        {ADDRESS} {registry_host}
        fallthrough
    }}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    {FORWARD}
    cache 30
    loop
    reload
}}
"""


def _rule(group: str, *resources: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}


def _user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def _role(name: str, rules: list[dict[str, Any]]) -> Change:
    return _change(
        f"{_RBAC}/clusterroles/{name}",
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        {"rules": rules},
    )


def _binding(name: str, role: str, subject: dict[str, str]) -> Change:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return _change(
        f"{_RBAC}/clusterrolebindings/{name}",
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        {"roleRef": reference, "subjects": [subject]},
    )


def _change(path: str, version: str, kind: str, more: dict[str, Any]) -> Change:
    metadata = {"name": path.rpartition("/")[2]}
    if "/namespaces/" in path:
        metadata["namespace"] = NAMESPACE
    return Change(path, {"apiVersion": version, "kind": kind, "metadata": metadata, **more})


def _service() -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return {"clusterIP": DNS_ADDRESS, "selector": _LABELS, "ports": ports}


def _deployment(image: str) -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "192Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "ports": [
            {"containerPort": 53, "name": "dns", "protocol": "UDP"},
            {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "timeoutSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    template = {
        "metadata": {"labels": _LABELS},
        "spec": {
            "serviceAccountName": "coredns",
            "priorityClassName": "system-cluster-critical",
            "dnsPolicy": "Default",
            # An unprivileged process may listen on port 53 of its own network (ip-sysctl, since Linux 4.11).
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
                "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
            },
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        },
    }
    return {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}
