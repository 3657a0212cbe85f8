"""Wait until objects are ready, or gone: by list and watch, with a deadline of our own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import ClusterError, NotReady
from lockgate.deploy.kube import crew, troubles
from lockgate.deploy.kube.conditions import State
from lockgate.deploy.kube.ready import may_go, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lockgate.config.resource import ResourceId
    from lockgate.deploy.kube.answers import Body
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.discovery import Kind
    from lockgate.deploy.kube.ready import Rule

_ROUND = 5.0
"""Seconds of one watch; then everything is listed again."""
_GROUPS = 16
"""Kinds and namespaces that are watched at a time."""
_PAUSE = 0.2
"""Seconds between two rounds."""
_SHOWN = 10
"""Objects that one message names."""


class Target(NamedTuple):
    """One object that is waited for."""

    kind: Kind
    id: ResourceId
    uid: str = ""
    """Which one, when it is to go."""


def until_ready(
    client: Client,
    targets: Iterable[Target],
    *,
    selector: str,
    seconds: float,
    rules: Sequence[Rule],
    now: Callable[[], float],
    check: Callable[[], None],
) -> None:
    """Wait until every object is ready.

    Args:
        client: the cluster.
        targets: what is waited for.
        selector: of the labels that they carry.
        seconds: how long.
        rules: for kinds that are not known here.
        now: seconds since 1970.
        check: raises when the run must not go on.

    Raises:
        NotReady: some are not in time, or never will be; each is named with what it lacks.
    """
    names: dict[tuple[Kind, str], dict[str, ResourceId]] = {}
    for one in targets:
        names.setdefault((one.kind, one.id.namespace), {})[one.id.name] = one.id
    stop = threading.Event()
    deadline = client.clock.monotonic() + seconds
    groups = [
        _Group(client, kind, namespace, selector, named, rules, now, stop, deadline)
        for (kind, namespace), named in names.items()
    ]
    for _ in crew.each(lambda group: group.follow(check), groups, workers=_GROUPS):
        pass
    left = {
        one: state for group in groups for one, state in group.states.items() if not state.is_ready
    }
    if left:
        raise _not_ready(client, groups, left, seconds, now(), stopped=stop.is_set())


class _Group:
    """The objects of one kind in one namespace."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str,
        selector: str,
        names: Mapping[str, ResourceId],
        rules: Sequence[Rule],
        now: Callable[[], float],
        stop: threading.Event,
        deadline: float,
    ) -> None:
        self._client, self.kind, self._namespace = client, kind, namespace
        self._selector, self._names, self._rules, self._now = selector, names, rules, now
        self._stop, self._deadline = stop, deadline
        self.states = {one: State("not found", "it is not there") for one in names.values()}
        self._ended: set[ResourceId] = set()
        """What was ready, and may be gone since."""

    def follow(self, check: Callable[[], None]) -> None:
        """List and watch until all are ready, one never will be, or the time is over."""
        while True:
            try:
                version = self._list()
                if not self._is_over:
                    self._watch(version)
            except ClusterError as error:
                if not error.retryable or self._client.clock.monotonic() >= self._deadline:
                    raise
            check()
            if not self._is_over:
                # A watch may end at once, each time: by a server that has too many, or by a rule.
                self._client.clock.sleep(_PAUSE)
            if self._is_over:
                if self._has_failed:
                    self._stop.set()
                return

    def _list(self) -> str:
        """See all of them as they are; return the version of the list."""
        version, seen = "", set()
        for page in self._client.pages(self.kind, self._namespace, selector=self._selector):
            version = page.version
            for body in page.items:
                seen.add(body["metadata"]["name"])
                self._see(body)
        for name in self._names.keys() - seen:
            self._see(None, name)
        return version

    def _watch(self, version: str) -> None:
        until = min(self._deadline, self._client.clock.monotonic() + _ROUND)
        for what, body in self._client.watch(
            self.kind, self._namespace, selector=self._selector, version=version, until=until
        ):
            self._see(None if what == "DELETED" else body, name=body["metadata"]["name"])
            if self._is_over:
                return

    def _see(self, body: Body | None, name: str = "") -> None:
        one = self._names.get(name or (body["metadata"]["name"] if body else ""))
        if one is None:
            return
        if body is not None:
            # Items of a list do not say what they are.
            body.setdefault("apiVersion", self.kind.api_version)
            body.setdefault("kind", self.kind.kind)
        if body is None and one in self._ended:
            return
        self.states[one] = state_of(body, now=self._now(), rules=self._rules)
        if body is not None and self.states[one].is_ready and may_go(body):
            self._ended.add(one)

    @property
    def _has_failed(self) -> bool:
        return any(one.phase == "failed" for one in self.states.values())

    @property
    def _is_over(self) -> bool:
        """Whether waiting longer changes nothing."""
        return (
            self._has_failed
            or self._stop.is_set()
            or self._client.clock.monotonic() >= self._deadline
            or all(one.is_ready for one in self.states.values())
        )


def _not_ready(
    client: Client,
    groups: Sequence[_Group],
    left: Mapping[ResourceId, State],
    seconds: float,
    now: float,
    *,
    stopped: bool,
) -> NotReady:
    kinds = {one: group.kind for group in groups for one in group.states}
    lines: list[str] = []
    for one, state in sorted(left.items())[:_SHOWN]:
        lines.append(f"{one.label}: {state.message or state.phase}")
        lines += troubles.pods(client, kinds[one], one, now=now)
    more = [f"and {len(left) - _SHOWN} more"] if len(left) > _SHOWN else []
    what = "1 object is" if len(left) == 1 else f"{len(left)} objects are"
    when = ", and one never will be" if stopped else f" after {seconds:g} s"
    return NotReady(
        "\n".join([f"{what} not ready{when}:", *lines, *more]),
        hint="`inv deploy.status` shows them again; `inv deploy.rollback` applies what was before",
    )


def until_gone(
    client: Client,
    targets: Iterable[Target],
    *,
    seconds: float,
    workers: int,
    check: Callable[[], None],
) -> dict[Target, str]:
    """Wait until objects are gone; return those that are not in time, with what holds them.

    An object of another uid in its place is another one: the awaited one is gone.
    """
    clock = client.clock.monotonic
    deadline = clock() + seconds

    def follow(one: Target) -> str:
        pause = 0.05
        while True:
            body = client.get(one.kind, one.id)
            if body is None or (one.uid and body["metadata"]["uid"] != one.uid):
                return ""
            if clock() + pause > deadline:
                finalizers = body["metadata"].get("finalizers")
                return f"held by {', '.join(finalizers)}" if finalizers else "it is still ending"
            check()
            client.clock.sleep(pause)
            pause = min(pause * 1.6, 1.0)

    found = crew.each(follow, targets, workers=workers)
    return {one: why for one, why in found if why}
