"""Invoke collections and console output; the only floor that knows Invoke.

Another repository's whole `tasks.py`:

    from lockgate.tasks import namespace

    ns = namespace()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from invoke.collection import Collection

from lockgate.tasks import (
    build,
    check,
    cluster,
    config,
    deploy,
    doctor,
    flow,
    push,
    registry,
    scan,
    settings,
    sign,
    test,
    tools,
    verify,
)

if TYPE_CHECKING:
    from invoke.tasks import Task


def namespace() -> Collection:
    """Return every task of the flow, to be a repository's `ns` or a part of it."""
    top = Collection()
    for module in (
        check,
        build,
        scan,
        sign,
        verify,
        config,
        deploy,
        registry,
        tools,
        settings,
        cluster,
        test,
    ):
        top.add_collection(module.collection())
    for single in (
        push.push,
        push.pull,
        push.copy,
        flow.flow,
        doctor.doctor,
    ):
        top.add_task(cast("Task[Any]", single))
    return top
