"""Invoke collections and console output; the only floor that knows Invoke.

Another repository's whole `tasks.py`:

    from lockgate.tasks import namespace

    ns = namespace()
"""

from __future__ import annotations

from invoke.collection import Collection

from lockgate.tasks import build, flow, scan, test


def namespace() -> Collection:
    """Return every task of the flow, to be a repository's `ns` or a part of it."""
    top = Collection()
    for module in (build, scan):
        top.add_collection(module.collection())
    for single in (flow.flow, test.test):
        top.add_task(single)
    return top
