"""The edges of the `cluster` target, made from the settings: which cluster, and what is done to it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import LockgateError, UsageError
from lockgate.oci.digest import Digest
from lockgate.tasks import configuring, deploy_words, proving
from lockgate.tasks.console import quantity
from lockgate.tasks.hinting import as_typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.base.settings import Environment
    from lockgate.deploy.kube.inventory import History
    from lockgate.deploy.kube.kubeconfig import Access
    from lockgate.deploy.kube.model import Change, ChangeSet, Options
    from lockgate.deploy.kube.target import Target
    from lockgate.tasks.places import Ways
    from lockgate.tasks.proving import Preview, Proven
    from lockgate.tasks.session import Session


class Asked(NamedTuple):
    """What a person asked for, beside the environment."""

    prune: bool = True
    prune_limit: int = 0
    """0: the environment's."""
    force: bool = False
    take_over: bool = False
    wait_timeout: int = 300
    details: bool = False


def is_cluster(session: Session, env: str, target: str) -> bool:
    """Return whether a command is about the cluster.

    Raises:
        UsageError: there is no such environment or target.
    """
    _, environment = session.settings.target(env)
    if target not in ("", "local", "cluster"):
        raise UsageError(f"{target!r} is no target", hint="there are `local` and `cluster`")
    return (target or environment.target) == "cluster"


def check_words(component: str, artifact: str, *, cluster: bool) -> None:
    """Refuse words that the target would pass over: more would happen than was asked for, or something else.

    Raises:
        UsageError: a component was named for the cluster, or an artifact for this machine.
    """
    if cluster and component:
        raise UsageError(
            f"a cluster gets all that an artifact holds, and not {component!r} alone",
            hint="leave `-c` out, or add `--target local`",
        )
    if artifact and not cluster:
        raise UsageError(
            f"the `local` target runs images, and no artifact such as {artifact!r}",
            hint="leave `--artifact` out, or add `--target cluster`",
        )


def options(environment: Environment, asked: Asked) -> Options:
    """Return how a run behaves.

    Raises:
        UsageError: a number cannot be one.
    """
    from lockgate.deploy.kube.model import Options
    from lockgate.deploy.kube.ready import Rule

    if asked.wait_timeout < 0 or asked.prune_limit < 0:
        raise UsageError("a limit is not less than 0", hint="`--wait-timeout 0` does not wait")
    return Options(
        prune=asked.prune,
        prune_limit=asked.prune_limit or environment.prune_limit,
        take_over=asked.take_over,
        recreate=asked.force,
        wait=float(asked.wait_timeout),
        rules=tuple(
            Rule(group=one.group, kind=one.kind, condition=one.condition, failure=one.failure)
            for one in environment.readiness
        ),
        details=asked.details,
    )


@contextlib.contextmanager
def target(session: Session, env: str, name: str = "") -> Iterator[Target]:
    """Open the cluster of an environment.

    Args:
        session: the repository.
        env: the environment; empty for the default one.
        name: the inventory, when it is not the environment's own.

    Raises:
        UsageError: there is no kubeconfig, no such context, or the inventory's name cannot be one.
    """
    where, environment = session.settings.target(env)
    try:
        with _target(session, where, environment, name) as found:
            yield found
    except LockgateError as error:
        error.hint = of_environment(session, where, error.hint)
        raise


def of_environment(session: Session, env: str, words: str) -> str:
    """Return words whose commands are about an environment's cluster.

    Who says them knows a cluster and an inventory, but no environment.
    """
    _, environment = session.settings.target(env)
    return as_typed(words, env=env, target="" if environment.target == "cluster" else "cluster")


def access(session: Session, env: str) -> Access:
    """Return where an environment's cluster is, and how to log in to it; it is not asked anything.

    Raises:
        UsageError: there is no kubeconfig, it cannot be read, or it has no such context.
    """
    from lockgate.deploy.kube import kubeconfig

    _, environment = session.settings.target(env)
    return kubeconfig.read(
        file=environment.kubeconfig or _own_cluster(session, environment),
        context=environment.context,
        root=session.root,
        environ=os.environ,
    )


@contextlib.contextmanager
def _target(session: Session, where: str, environment: Environment, name: str) -> Iterator[Target]:
    from lockgate.deploy.kube import target as targets
    from lockgate.deploy.kube.client import Client
    from lockgate.deploy.kube.connection import Connection
    from lockgate.deploy.kube.holding import people
    from lockgate.deploy.kube.inventory import check_name, name_of
    from lockgate.deploy.kube.ownership import Owner
    from lockgate.deploy.kube.storage import Storage

    found = access(session, where)
    owner = Owner(
        environment.namespace,
        check_name(name) if name else name_of(session.settings.project, where),
    )

    def waiting(who: str) -> None:
        session.console.say("deploy", f"{people(who)} works on {owner}; waiting for it")

    with Connection(found) as connection:
        client = Client(connection)
        yield targets.Target(
            client=client,
            storage=Storage(client, owner, waiting=waiting),
            context=found.context,
            now=time.time,
            events=Said(session, where),
        )


def _own_cluster(session: Session, environment: Environment) -> str:
    """Return the kubeconfig of the cluster that `inv cluster.up` made; empty when there is none."""
    path = session.folder / "cluster" / session.settings.cluster.name / "kubeconfig"
    return str(path) if not environment.context and path.is_file() else ""


class Said:
    """Tells people what happens, a line each."""

    def __init__(self, session: Session, env: str) -> None:
        self._console, self._session, self._env = session.console, session, env
        self._planned = False

    def planned(self, changes: ChangeSet) -> None:
        """Print the plan."""
        if self._planned:
            self._console.say("cluster", "another run came between; the plan is now:", tone="warn")
        self._planned = True
        self._console.say("cluster", f"{changes.inventory} (context {changes.context})")
        self._console.block(deploy_words.plan_lines(changes))

    def changed(self, change: Change) -> None:
        """Print what has happened to an object."""
        if change.action != "unchanged":
            self._console.say("deploy", deploy_words.line(change))

    def note(self, words: str) -> None:
        """Print what takes time, or what is left to do."""
        self._console.say("deploy", of_environment(self._session, self._env, words))


def plan(ways: Ways, env: str, shown: Preview, asked: Asked) -> ChangeSet:
    """Say what a deployment would change.

    Raises:
        LockgateError: as `deploy.kube.apply.plan`.
    """
    from lockgate.deploy.kube import apply

    _, environment = ways.session.settings.target(env)
    with target(ways.session, env) as there:
        return apply.plan(shown.wanted, there, options(environment, asked))


def run(ways: Ways, env: str, proven: Proven, asked: Asked) -> ChangeSet:
    """Bring an environment's cluster to what an artifact says.

    Raises:
        LockgateError: as `deploy.kube.apply.apply`.
    """
    from lockgate.deploy.kube import apply

    _, environment = ways.session.settings.target(env)
    with target(ways.session, env) as there:
        # First of all: what is not trusted is not pushed either.
        apply.admit(proven.proof, proven.wanted)
        proving.publish(ways, env, proven)
        return apply.apply(proven.proof, proven.wanted, there, options(environment, asked))


def history(session: Session, env: str) -> History:
    """Return what was applied to an environment's inventory, and what did not come to its end.

    Raises:
        UsageError: nothing was.
    """
    from lockgate.deploy.kube import inventory

    with target(session, env) as there:
        stored = there.storage.read()
        if not stored.version:
            raise inventory.absent(there.owner)
        return inventory.History(
            inventory=str(there.owner),
            context=there.context,
            pending=stored.inventory.pending,
            applied=stored.inventory.history,
        )


def previous(session: Session, env: str) -> str:
    """Return the artifact to go back to: the last one that came to its end, before the one of now.

    Raises:
        UsageError: there is none.
    """
    past = history(session, env)
    known = [one.artifact for one in past.applied]
    now = past.pending.artifact if past.pending else known[-1] if known else ""
    found = next((one for one in reversed(known) if one != now), "")
    if not found:
        raise UsageError("there is nothing to go back to", hint="`inv deploy.history` lists")
    if session.layout.has(found):
        return found
    where, environment = session.settings.target(env)
    if not environment.registry:
        raise UsageError(
            f"the artifact {Digest(found).short} is no longer in the store",
            hint="`inv config.pull` brings it again",
        )
    return f"{environment.registry.rstrip('/')}/{configuring.name_of(where)}@{found}"


def confirm(session: Session, changes: ChangeSet, *, yes: bool) -> None:
    """Ask before something is removed, unless that was said.

    Raises:
        UsageError: nobody can be asked, or the answer is no.
    """
    import sys

    session.console.say("cluster", f"{changes.inventory} (context {changes.context})")
    session.console.block(deploy_words.plan_lines(changes))
    if yes:
        return
    count = changes.count("deleted")
    if not sys.stdin.isatty():
        raise UsageError(
            f"{quantity(count, 'object')} would be deleted, and nobody can be asked",
            hint="add `--yes` when that is meant",
        )
    sys.stderr.write(f"delete {quantity(count, 'object')} from {changes.context}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed", hint="answer `y`, or add `--yes`")
