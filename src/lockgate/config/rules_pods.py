"""Rules about a pod alone: its images, its rights, its needs, its beginning and its end. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.config.images import images
from lockgate.config.rule import Broken, rule
from lockgate.config.workloads import at, listed, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.config.workloads import Container, Pod, Resources

_DIGEST = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")
_TAG = re.compile(r":([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:@|$)")


@rule("write the component's name, or `NAME@sha256:…` for an image from elsewhere")
def image_pinned(found: Resources) -> Iterator[Broken]:
    """A tag leads to other bytes tomorrow than those that were scanned and signed today.

    So every image is a component, whose digest `inv config.build` writes, or has a digest.
    """
    for one in found.resources:
        for image in images(one):
            if image not in found.components and not _DIGEST.fullmatch(image):
                yield Broken(one, "image", f"`{image}` is no component and has no digest")


@rule("name the version beside the digest, or leave the tag out")
def image_latest(found: Resources) -> Iterator[Broken]:
    """`latest` says nothing to the person who reads it, and was something else when it was written."""
    for one in found.resources:
        for image in images(one):
            tag = _TAG.search(image)
            if tag and tag[1] == "latest":
                yield Broken(one, "image", f"`{image}` is tagged `latest`")


@rule("give each container requests for `cpu` and `memory`, and a limit for `memory`")
def resources_set(found: Resources) -> Iterator[Broken]:
    """Without requests a node is filled until it stumbles; without a limit one leak takes its neighbours along."""
    for pod, container in _containers(found):
        for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if at(container.body, "resources", kind, name) is None:
                where = f"{container.where}.resources.{kind}.{name}"
                yield Broken(pod.owner, where, "it is not set")


@rule(
    "set `securityContext.readOnlyRootFilesystem: true`, and mount an `emptyDir` where it must write"
)
def root_read_only(found: Resources) -> Iterator[Broken]:
    """What cannot be written cannot be replaced by whoever got in, and nothing grows unseen on the node's disk."""
    for pod, container in _containers(found):
        if at(container.body, "securityContext", "readOnlyRootFilesystem") is not True:
            where = f"{container.where}.securityContext.readOnlyRootFilesystem"
            yield Broken(pod.owner, where, "the root file system can be written")


@rule("add `livenessProbe` and `readinessProbe`; `startupProbe` when it takes long to begin")
def probes_set(found: Resources) -> Iterator[Broken]:
    """Without a readiness probe requests reach what cannot answer; without a liveness probe what hangs stays."""
    for pod, container in _containers(found):
        for probe in ("readinessProbe", "livenessProbe"):
            if pod.serving and container.main and not mapping(container.body.get(probe)):
                yield Broken(pod.owner, f"{container.where}.{probe}", "there is none")


@rule("let `livenessProbe` ask a path that only says that the process is alive, such as `/healthz`")
def liveness_alone(found: Resources) -> Iterator[Broken]:
    """A liveness probe that asks for the database restarts every replica when the database is away.

    So it never asks the path by which a component says that it is ready, nor what its readiness probe asks.
    """
    for pod, container in _containers(found):
        path = at(container.body, "livenessProbe", "httpGet", "path")
        ready = [at(container.body, "readinessProbe", "httpGet", "path")]
        component = found.component(container.image)
        if component is not None:
            ready.append(component[1])
        if path is not None and path in ready:
            where = f"{container.where}.livenessProbe.httpGet.path"
            yield Broken(pod.owner, where, f"`{path}` is what readiness asks")


@rule("name a port that a container declares, by its `name`")
def probe_port(found: Resources) -> Iterator[Broken]:
    """A probe on a port that nobody opens fails for ever, and the pod is restarted for ever."""
    for pod, container in _containers(found):
        declared = [
            one.get(field) for one in container.ports for field in ("name", "containerPort")
        ]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for kind in ("httpGet", "tcpSocket", "grpc"):
                port = at(container.body, probe, kind, "port")
                if port is not None and port not in declared:
                    where = f"{container.where}.{probe}.{kind}.port"
                    yield Broken(pod.owner, where, f"the container declares no port {port!r}")


@rule("set `automountServiceAccountToken: false` in the pod's spec")
def token_not_mounted(found: Resources) -> Iterator[Broken]:
    """A token that the program does not need is one that whoever gets in can use against the API server."""
    for pod in found.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            where = pod.path("spec.automountServiceAccountToken")
            yield Broken(pod.owner, where, "the account's token is mounted")


@rule("name a ServiceAccount of its own in `serviceAccountName`")
def account_own(found: Resources) -> Iterator[Broken]:
    """A right that someone gives to the account `default` by mistake would reach every pod that uses it."""
    for pod in found.pods:
        if pod.spec.get("serviceAccountName") in (None, "", "default"):
            where = pod.path("spec.serviceAccountName")
            yield Broken(pod.owner, where, "it runs as the account `default`")


@rule("mount the Secret as a file and give its path, such as `TODO_SECRET_KEY_FILE`")
def secret_as_file(found: Resources) -> Iterator[Broken]:
    """A variable shows in crash reports and reaches every child process, and a changed one needs a restart."""
    for pod, container in _containers(found):
        for number, one in enumerate(listed(container.body.get("env"))):
            if at(one, "valueFrom", "secretKeyRef") is not None:
                where = f"{container.where}.env[{number}]"
                yield Broken(pod.owner, where, "a Secret is given as a variable")
        for number, one in enumerate(listed(container.body.get("envFrom"))):
            if one.get("secretRef") is not None:
                where = f"{container.where}.envFrom[{number}]"
                yield Broken(pod.owner, where, "a Secret is given as variables")


@rule(
    "add `lifecycle.preStop.sleep.seconds: 5`, and a `terminationGracePeriodSeconds` well above it"
)
def stop_graceful(found: Resources) -> Iterator[Broken]:
    """A pod is taken out of its Service and told to stop at the same moment, and not everyone hears it at once.

    Until they have, requests still come; so it waits, and then has time to finish what it has begun.
    """
    served = {one.key for service in found.kind("", "Service") for one in found.backends(service)}
    for pod in found.pods:
        if pod.key not in served:
            continue
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        for container in pod.containers:
            if not container.main:
                continue
            where = f"{container.where}.lifecycle.preStop"
            hook = mapping(at(container.body, "lifecycle", "preStop"))
            pause = at(hook, "sleep", "seconds")
            if not hook:
                yield Broken(pod.owner, where, "it stops at once while requests still come")
            elif isinstance(pause, int) and isinstance(grace, int) and grace < pause + 5:
                yield Broken(
                    pod.owner, where, f"of {grace} s until it is killed, {pause} s are a pause"
                )


def _containers(found: Resources) -> Iterator[tuple[Pod, Container]]:
    for pod in found.pods:
        for container in pod.containers:
            yield pod, container


RULES = (
    image_pinned,
    image_latest,
    resources_set,
    root_read_only,
    probes_set,
    liveness_alone,
    probe_port,
    token_not_mounted,
    account_own,
    secret_as_file,
    stop_graceful,
)
