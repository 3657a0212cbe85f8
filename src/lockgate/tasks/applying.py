"""The edges of the `cluster` target, made from the settings: which cluster, which artifact, what is said of both."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import LockgateError, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.oci.reference import PinnedRef
from lockgate.tasks import configuring, descending, places, publishing
from lockgate.tasks.console import quantity
from lockgate.tasks.hinting import as_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.base.settings import Environment
    from lockgate.config.model import Artifact
    from lockgate.deploy.kube.inventory import History
    from lockgate.deploy.kube.kubeconfig import Access
    from lockgate.deploy.kube.model import Change, ChangeSet, Options
    from lockgate.deploy.kube.target import Target, Wanted
    from lockgate.sign.model import Verification
    from lockgate.tasks.places import Ways
    from lockgate.tasks.session import Session

_ACTION = 11
"""Columns of an action's name."""


class Proven(NamedTuple):
    """An artifact that is trusted, with every image in it, and its objects."""

    proof: Verification
    wanted: Wanted
    artifact: Artifact
    images: tuple[PinnedRef, ...]


class Preview(NamedTuple):
    """What a deployment would apply."""

    wanted: Wanted
    """Its artifact is empty while that is not made yet."""
    images: tuple[PinnedRef, ...]


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
        self._console.block(plan_lines(changes))

    def changed(self, change: Change) -> None:
        """Print what has happened to an object."""
        if change.action != "unchanged":
            self._console.say("deploy", line(change))

    def note(self, words: str) -> None:
        """Print what takes time, or what is left to do."""
        self._console.say("deploy", of_environment(self._session, self._env, words))


def line(change: Change) -> str:
    """Return an object and what happens to it, for people."""
    note = f"  {change.note}" if change.note else ""
    return f"{change.action:<{_ACTION}}{change.id.label}{note}"


def plan_lines(changes: ChangeSet, *, details: bool = False) -> list[str]:
    """Return a plan for people: what changes, field by field where asked, and how much does not."""
    found: list[str] = []
    for one in changes.changes:
        if one.action == "unchanged":
            continue
        shown = one.differences
        if len(shown) == 1 and not one.note and not details:
            found.append(f"{line(one)}  {shown[0]}")
            continue
        found.append(line(one))
        found += [f"{'':<{_ACTION}}  {each}" for each in (shown if details else shown[:5])]
        if not details and len(shown) > 5:
            found.append(f"{'':<{_ACTION}}  and {len(shown) - 5} more fields")
    same = changes.count("unchanged")
    return [*found, f"{'unchanged':<{_ACTION}}{same}"] if same else found


def prove(
    ways: Ways,
    env: str,
    reference: str,
    identities: str,
    demand: Callable[[str], None] | None = None,
) -> Proven:
    """Return an artifact that an environment trusts, with every image in it; nothing is changed anywhere.

    Without a reference the environment's own artifact is made from the manifests, and signed, when that is not done;
    `demand` makes what it needs and what was never built.

    Raises:
        TrustError: the artifact or an image is not trusted.
        KeyRefused: it is encrypted and no identity opens it.
        UsageError: it is not there, or there are no manifests.
    """
    from lockgate.config import package
    from lockgate.deploy.kube.target import Wanted

    session = ways.session
    text = reference
    if not text:
        built, _ = configuring.build(session, env, ways=ways, demand=demand)
        publishing.sign(session, built)
        text = built.artifact.subject
    held = configuring.identities(session, identities)
    asked = descending.Asked(env, ())
    with (
        publishing.opened(ways, text) as (place, digest),
        places.Doors(ways, layers=False) as doors,
    ):
        found = list(descending.verifications(doors, place, digest, text, asked))
        _require(found, env, artifact=text)
        # What is applied is read from the very bytes that were verified just now, by their digest.
        artifact, resources = package.read(place, digest, identities=held, name=text)
    images = tuple(PinnedRef.parse(one) for one in artifact.images)
    verified = {one.subject for _, one in found if one.met}
    unproven = [str(one) for one in images if one.digest not in verified]
    if unproven:
        raise TrustError(
            f"nothing was found out about {', '.join(unproven)}", hint="`inv verify` says more"
        )
    wanted = Wanted(artifact.subject, artifact.source, artifact.revision, resources)
    return Proven(found[0][1], wanted, artifact, images)


def preview(ways: Ways, env: str, reference: str, identities: str) -> Preview:
    """Return what a deployment would apply; nothing is made, signed or stored for it.

    Raises:
        TrustError: an image, or the artifact that was named, is not trusted.
        KeyRefused: it is encrypted and no identity opens it.
        UsageError: it is not there, or there are no manifests.
    """
    from lockgate.config.images import images
    from lockgate.deploy.kube.target import Wanted
    from lockgate.tasks import signing

    if reference:
        proven = prove(ways, env, reference, identities)
        return Preview(proven.wanted, proven.images)
    session = ways.session
    resources = configuring.plan(session, env, ways=ways)
    run = sorted({text for one in resources for text in images(one)})
    pinned = tuple(PinnedRef.parse(one) for one in run)
    now = signing.now()
    _require([(str(one), publishing.image(session, one, env, now)) for one in pinned], env)
    return Preview(Wanted("", "", "", resources), pinned)


def _require(found: list[tuple[str, Verification]], env: str, *, artifact: str = "") -> None:
    from lockgate.sign import verify

    for name, one in found:
        try:
            verify.require(one)
        except TrustError as error:
            error.message = f"{name}: {error.message}"
            if name == artifact:
                # What signs an image anew does not sign manifests.
                error.hint = (
                    f"`inv verify -e {env} --reference {name}` shows every requirement; "
                    f"`inv config.sign -e {env}` signs what `inv config.build -e {env}` made"
                )
            raise


def say_proven(session: Session, proven: Proven | Preview) -> None:
    """Say what is about to be applied."""
    count, subject = len(proven.wanted.resources), proven.wanted.artifact
    session.console.say(
        "config",
        f"{Digest(subject).short if subject else 'rendered'}  {quantity(count, 'object')}, "
        f"{quantity(len(proven.images), 'image')}, all pinned, all verified",
    )


def publish(ways: Ways, env: str, proven: Proven) -> None:
    """Bring the artifact and its images, with their evidence, from the store to the environment's registry.

    What is not in the store was verified where it is, and stays there.

    Raises:
        RegistryError: the registry is out of reach or refuses.
    """
    session = ways.session
    _, environment = session.settings.target(env)
    registry = environment.registry.rstrip("/")
    if not registry:
        return
    wanted = [one for one in proven.images if one.name.startswith(f"{registry}/")]
    wanted.append(
        PinnedRef(name=f"{registry}/{configuring.name_of(env)}", digest=proven.artifact.subject)
    )
    moved = 0
    for one in wanted:
        if session.layout.has(one.digest):
            moved += _push(ways, one)
    if moved:
        session.console.say("push", f"{quantity(moved, 'piece')} to {registry}")


def _push(ways: Ways, one: PinnedRef) -> int:
    from lockgate.oci import transfer

    origin, place = places.Place.parse(one.digest), places.Place.parse(one.name)
    with places.source(ways, origin) as source, places.target(ways, place, origin) as to:
        work = transfer.plan(source, to, one.digest, "")
        with ways.session.console.bar("push") as progress:
            moved = transfer.move(work, progress)
    return len(moved.blobs) + len(moved.manifests)


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
        publish(ways, env, proven)
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
    session.console.block(plan_lines(changes))
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
