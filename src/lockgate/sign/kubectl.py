"""A key pair in a Kubernetes Secret, in the form in which cosign keeps one, read by `kubectl`.

`cosign generate-key-pair k8s://namespace/name` makes such a Secret, with the fields `cosign.key`, `cosign.pub`
and `cosign.password` (cosign, pkg/cosign/kubernetes/secret.go).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import msgspec

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import CommandFailed, KeyRefused, UsageError
from lockgate.base.process import PLAIN_ENVIRONMENT, run

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVATE, PUBLIC, PASSWORD = "cosign.key", "cosign.pub", "cosign.password"
"""Fields of the Secret."""

_ENVIRONMENT = (
    *PLAIN_ENVIRONMENT,
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "HTTPS_PROXY",
    "NO_PROXY",
)
"""What `kubectl` finds its cluster by, inside a pod too."""

_REFERENCE = re.compile(
    r"k8s://([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
)
"""A namespace and a name (Kubernetes, "Object Names and IDs"); neither can be taken for an option."""

_SECONDS = 30


class _Secret(Foreign, frozen=True):
    data: dict[str, str] = msgspec.field(default_factory=dict)


def secret(spec: str, *, environ: Mapping[str, str]) -> dict[str, bytes]:
    """Return the fields of the Secret that `k8s://namespace/name` names.

    Raises:
        UsageError: the text is not of that form.
        ToolMissing: there is no `kubectl`.
        CommandFailed: the cluster does not answer, the Secret is not there, or may not be read.
        KeyRefused: the Secret is not in Kubernetes' form, or is empty.
    """
    found = _REFERENCE.fullmatch(spec)
    if found is None:
        raise UsageError(
            f"{spec!r} does not name a Kubernetes Secret", hint="write `k8s://namespace/name`"
        )
    namespace, name = found.groups()
    argv = ["kubectl", "get", "secret", name, "--namespace", namespace, "--output", "json"]
    try:
        done = run(
            argv,
            timeout=_SECONDS,
            env={key: environ[key] for key in _ENVIRONMENT if key in environ},
        )
    except CommandFailed as error:
        error.hint = f"try `kubectl get secret {name} --namespace {namespace}`"
        raise
    try:
        fields = decode(done.stdout, _Secret, what=spec).data
        data = {key: base64.b64decode(value, validate=True) for key, value in fields.items()}
    except (UsageError, ValueError):
        raise KeyRefused(
            f"{spec} is not readable as a Secret",
            hint=f"make one with `cosign generate-key-pair {spec}`",
        ) from None
    return data


def field(fields: Mapping[str, bytes], key: str, spec: str) -> bytes:
    """Return one field of a Secret.

    Raises:
        KeyRefused: the Secret has it not.
    """
    if key not in fields:
        raise KeyRefused(
            f"{spec} has no field `{key}`", hint=f"make one with `cosign generate-key-pair {spec}`"
        )
    return fields[key]
