"""Image configurations, labels and annotations (OCI image specification 1.1, config.md, annotations.md)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.build.plan import Plan
    from lockgate.oci.manifest import Platform

_OCI = "org.opencontainers.image."


class Step(NamedTuple):
    """One layer, as the history of an image names it."""

    diff_id: str
    created_by: str


def image_config(
    plan: Plan,
    platform: Platform,
    steps: Sequence[Step],
    labels: Mapping[str, str],
    *,
    is_app: bool,
) -> dict[str, object]:
    """The image configuration, config.md: of the component, or of the stack itself."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin",
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    }
    if plan.python:
        environment |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    settings: dict[str, object] = {
        "User": f"{plan.user}:{plan.user}",
        "Labels": dict(labels),
        "WorkingDir": "/",
    }
    if is_app:
        environment |= {"PORT": str(plan.port), **plan.environment}
        settings |= {
            "Entrypoint": list(plan.entrypoint),
            "WorkingDir": plan.place if plan.files else "/",
            "ExposedPorts": {f"{plan.port}/tcp": {}},
        }
    settings["Env"] = [f"{key}={value}" for key, value in sorted(environment.items())]
    created = time_text(plan.source.time if is_app else plan.stack_date)
    found: dict[str, object] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in steps]},
        "history": [{"created": created, "created_by": one.created_by} for one in steps],
    }
    if platform.variant:
        found["variant"] = platform.variant
    return found


def image_annotations(plan: Plan, base_digest: str) -> dict[str, str]:
    """annotations.md, "Pre-Defined Annotation Keys"; the same words serve as labels."""
    found = {
        _OCI + "title": plan.component,
        _OCI + "created": time_text(plan.source.time),
        _OCI + "source": plan.source.repository,
        _OCI + "revision": plan.source.revision + ("-dirty" if plan.source.dirty else ""),
        _OCI + "base.name": f"stack-{plan.stack}",
        _OCI + "base.digest": base_digest,
    }
    return {key: value for key, value in found.items() if value and value != "-dirty"}


def stack_annotations(plan: Plan) -> dict[str, str]:
    """Return the annotations of a stack's own image."""
    return {
        _OCI + "title": f"stack-{plan.stack}",
        _OCI + "created": time_text(plan.stack_date),
        "dev.lockgate.stack.lock": plan.stack_lock,
    }


def time_text(seconds: int) -> str:
    """RFC 3339 in UTC, as image-spec's `created` wants it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
