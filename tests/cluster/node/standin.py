"""Images that stand in for those of kind and k3s, made of our node: their own are in registries of the world.

All that is kind and k3d in the tests is real: the program, what it asks of the engine, and what it prints.
"""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.cluster.node import dressed
from tests.engine_runtime import MARK
from tests.node import kubectl

from lockgate.deploy.node import cluster, configuration
from lockgate.deploy.node.capabilities import given
from lockgate.deploy.node.container import API_PORT, DATA
from lockgate.deploy.node.inside.plan import to_json
from lockgate.deploy.node.model import Ports
from lockgate.deploy.node.pki import File

if TYPE_CHECKING:
    from tests.engine import Engine
    from tests.node import Parts

Kind = Literal["kind", "k3d"]

_REGISTRY_PORT = 5000
_FIRST = {"kind": "kind", "k3d": "k3s"}
"""The program of `dressed` that a container of it starts with."""


def node_name(kind: Kind, name: str) -> str:
    """Return what kind or k3d calls the one node of a cluster."""
    return f"{name}-control-plane" if kind == "kind" else f"k3d-{name}-server-0"


def image(engine: Engine, made_of: Parts, kind: Kind, name: str) -> str:
    """Return the reference of an image for one cluster of kind or k3d.

    Args:
        engine: has the node's image, and gets this one.
        made_of: the node.
        kind: which program will use it.
        name: of the cluster.
    """
    files = cluster.contents(
        node_name(kind, name),
        made_of.image,
        context="admin",
        ports=Ports(int(API_PORT), _REGISTRY_PORT),
        capabilities=given(made_of.about.capabilities),
        now=int(time.time()),
    )
    files |= _kind(made_of) if kind == "kind" else _k3s(made_of, name)
    files["/usr/local/bin/kubectl"] = File(Path(kubectl()).read_bytes(), 0o755)
    script = b"#!/usr/bin/python3\n" + Path(dressed.__file__).read_bytes()
    files |= {f"/usr/local/bin/{program}": File(script, 0o755) for program in dressed.PROGRAMS}
    repository, tag = f"localhost/lockgate-tests-{kind}", secrets.token_hex(4)
    with contextlib.closing(engine.client()) as client:
        environment = client.images.get(made_of.loaded).attrs["Config"]["Env"]
        container = client.containers.create(made_of.loaded)
        try:
            container.put_archive("/", _packed(files))
            container.commit(
                repository,
                tag,
                conf={
                    "Entrypoint": [_FIRST[kind]],
                    "Env": [*environment, MARK],
                    "Volumes": {DATA: {}},
                },
            )
        finally:
            container.remove()
    engine.loaded.append(f"{repository}:{tag}")
    return f"{repository}:{tag}"


def _kind(made_of: Parts) -> dict[str, File]:
    """Return what kind looks for in its node."""

    def manifest(name: str) -> File:
        whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        return File(json.dumps(whole).encode(), 0o644)

    return {
        "/kind/version": File(made_of.image.versions["kubelet"].encode(), 0o644),
        "/kind/manifests/default-cni.yaml": manifest("cni"),
        "/kind/manifests/default-storage.yaml": manifest("storage"),
    }


def _k3s(made_of: Parts, name: str) -> dict[str, File]:
    """Return a plan of etcd and the API server alone, and the node that it is told of."""
    node = node_name("k3d", name)
    whole = configuration.plan(node, made_of.image, registry_port=_REGISTRY_PORT)
    parts = tuple(one for one in whole.parts if one.name in ("etcd", "kube-apiserver"))
    plan = whole._replace(parts=parts, changes=(), conditions=())
    told = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": made_of.image.versions["kubelet"]},
        },
    }
    return {
        configuration.PLAN: File(to_json(plan), 0o644),
        "/k3s/node.json": File(json.dumps(told).encode(), 0o644),
    }


def _packed(files: dict[str, File]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, file in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(file.data), file.mode
            tar.addfile(info, io.BytesIO(file.data))
    return packed.getvalue()
