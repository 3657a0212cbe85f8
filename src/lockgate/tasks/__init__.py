"""Invoke collections and console output; the only floor that knows Invoke.

Another repository's whole `tasks.py`:

    from lockgate.tasks import namespace

    ns = namespace()
"""

from __future__ import annotations

from invoke.collection import Collection

from lockgate.tasks import build, check, deploy, doctor, flow, scan, sign


def namespace() -> Collection:
    """Return every task of the flow, to be a repository's `ns` or a part of it."""
    top = Collection()
    for module in (build, scan, sign, deploy):
        top.add_collection(module.collection())
    for single in (check.check, sign.verify, flow.flow, doctor.doctor):
        top.add_task(single)
    return top
