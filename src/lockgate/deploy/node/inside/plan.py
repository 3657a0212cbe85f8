"""What the node is to run: `/etc/lockgate/node.json`, written by `lockgate.deploy.node.configuration`.

A value may hold `@ADDRESS@`, the node's own address, and `@FORWARD@`, where CoreDNS sends names that are not
of the cluster: both are known only inside, and may differ after each start.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

ADDRESS = "@ADDRESS@"
FORWARD = "@FORWARD@"


class Question(NamedTuple):
    """A request whose answer says that something works."""

    url: str
    """`https://127.0.0.1:6443/readyz`; of a Unix socket `http://localhost/health`."""
    socket: str = ""
    """Path of a Unix socket that is asked instead of the network; with an empty `url` it only has to accept."""
    condition: str = ""
    """Type of the condition that must be "True" in the object that is returned; empty: any 2xx will do."""
    part: str = ""
    """The part whose log says why the answer is another one; only of `Plan.conditions`."""


class Part(NamedTuple):
    """One program of the node."""

    name: str
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Parts that must be ready before it starts."""
    ready: tuple[Question, ...] = ()
    """What is asked until each of it is answered. Empty: it is ready once it has ended with exit code 0."""
    needs: str = ""
    """The finding of `settle` without which it is left out; no other part comes after it."""


class Change(NamedTuple):
    """An object that the API server is given once it is ready (server-side apply)."""

    path: str
    """`/api/v1/namespaces/kube-system/serviceaccounts/coredns`."""
    body: dict[str, Any]


class Plan(NamedTuple):
    """Everything that the node does."""

    parts: tuple[Part, ...]
    """In the order in which they are started as far as `after` allows."""
    changes: tuple[Change, ...]
    """Given to `api` once the part of the name `api_part` is ready."""
    api: str
    """Address of the API server."""
    api_part: str
    conditions: tuple[Question, ...]
    """What must hold before the node is ready; asked once every part is."""
    authority: str
    """Path of the certificate that signed those of all parts."""
    client: tuple[str, str]
    """Paths of certificate and key with which questions are asked."""
    seconds: int
    """Longest time from the start of a part, and for `conditions`, until it is ready."""


def to_json(plan: Plan) -> bytes:
    """Return the file's bytes."""
    parts = [
        {**part._asdict(), "ready": [one._asdict() for one in part.ready]} for part in plan.parts
    ]
    whole = {
        **plan._asdict(),
        "parts": parts,
        "changes": [one._asdict() for one in plan.changes],
        "conditions": [one._asdict() for one in plan.conditions],
    }
    return json.dumps(whole, indent=1).encode()


def from_json(text: str, found: dict[str, str]) -> Plan:
    """Read the file's text, with what is known only inside put in: the findings of `settle`."""
    for mark, value in ((ADDRESS, found["address"]), (FORWARD, found["forward"])):
        text = text.replace(mark, json.dumps(value)[1:-1])
    whole = json.loads(text)
    parts = tuple(
        Part(
            name=one["name"],
            argv=tuple(one["argv"]),
            after=tuple(one["after"]),
            ready=tuple(Question(**each) for each in one["ready"]),
            needs=one["needs"],
        )
        for one in whole.pop("parts")
        if not one["needs"] or found[one["needs"]]
    )
    changes = tuple(Change(**one) for one in whole.pop("changes"))
    conditions = tuple(Question(**one) for one in whole.pop("conditions"))
    client = tuple(whole.pop("client"))
    return Plan(parts=parts, changes=changes, conditions=conditions, client=client, **whole)
