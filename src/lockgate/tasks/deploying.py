"""The deploy floor's edges, made from the settings: the world it acts on, and proof of verification."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError
from lockgate.oci.digest import Digest
from lockgate.tasks import trusting

if TYPE_CHECKING:
    from lockgate.base.settings import Environment
    from lockgate.build.model import Image
    from lockgate.deploy.model import Deployment, Instance, Service, Status
    from lockgate.deploy.world import World
    from lockgate.sign.model import Verification
    from lockgate.tasks.session import Session


def run(session: Session, image: Image, env: str) -> tuple[Deployment, str]:
    """Verify an image and deploy it; return the record and what the verification found, in words.

    Raises:
        TrustError: a requirement of the environment is not met; what runs is left as it is.
        NotReady: it did not become ready; what ran before runs on.
    """
    from lockgate.deploy import local

    _, environment = session.settings.target(env)
    proof = _verified(session, image.subject, env)
    done = local.deploy(
        proof,
        _service(session, image.component),
        _world(session),
        layout=session.layout,
        port=_port(session, image.component, environment),
        now=int(time.time()),
    )
    return done, _evidence(proof)


def rollback(session: Session, component: str, env: str) -> tuple[Deployment, str]:
    """Deploy the image before the current one, verified now like any other.

    Raises:
        UsageError: there is none.
        TrustError: it does not meet the environment's requirements today.
    """
    from lockgate.deploy import local

    _, environment = session.settings.target(env)
    proofs: list[Verification] = []

    def verify(digest: str) -> Verification:
        proofs.append(_verified(session, digest, env))
        return proofs[-1]

    done = local.rollback(
        _service(session, component),
        _world(session),
        layout=session.layout,
        port=_port(session, component, environment),
        now=int(time.time()),
        verify=verify,
    )
    return done, _evidence(proofs[-1])


def status(session: Session, component: str) -> Status:
    """Return what runs of a component."""
    from lockgate.deploy import local

    return local.status(component, _world(session))


def logs(session: Session, component: str, lines: int) -> str:
    """Return the last lines that a component's service wrote.

    Raises:
        UsageError: it was never deployed, or `lines` is not a positive number.
    """
    from lockgate.deploy import local

    if lines < 1:
        raise UsageError(f"{lines} lines cannot be shown", hint="`inv deploy.logs --lines 100`")
    text = local.logs(component, _world(session), lines=lines)
    return text if text.endswith("\n") or not text else text + "\n"


def stop(session: Session, component: str) -> Instance | None:
    """End a component's service; return what ran."""
    from lockgate.deploy import local

    return local.stop(component, _world(session))


def plan(session: Session, image: Image, env: str) -> str:
    """Say what a deployment would do; nothing is verified or changed."""
    from lockgate.deploy import local

    name, environment = session.settings.target(env)
    found = local.status(image.component, _world(session))
    running = found.instance.digest if found.instance else ""
    wanted = Digest(image.subject).short
    if running == image.subject and found.phase == "running":
        return f"{image.component}  {name}: {wanted} runs already at {found.url}"
    old = Digest(running).short if running else "nothing"
    port = _port(session, image.component, environment)
    where = f"127.0.0.1:{port}" if port else "a free port of 127.0.0.1"
    return f"{image.component}  {name}: {old} → {wanted} on {where}, after verification"


def rollback_plan(session: Session, component: str) -> str:
    """Say what a rollback would do; nothing is verified or changed.

    Raises:
        UsageError: there is nothing to go back to.
    """
    from lockgate.deploy import local

    past = local.status(component, _world(session)).history
    if len(past) < 2:
        raise UsageError(
            f"`{component}` has no earlier image to go back to",
            hint="`inv deploy.status` lists what was deployed",
        )
    old, new = Digest(past[-1].digest).short, Digest(past[-2].digest).short
    return f"{component}  {old} → {new}, after verification"


def _port(session: Session, component: str, environment: Environment) -> int:
    if environment.port is not None:
        return environment.port
    return session.settings.components[component].port


def _verified(session: Session, digest: str, env: str) -> Verification:
    from lockgate.sign.verify import require

    found = trusting.verification(session, digest, env, int(time.time()))
    require(found)
    return found


def _evidence(found: Verification) -> str:
    met = sum(one.met for one in found.results)
    return f"verified {met} of {len(found.results)}"


def _service(session: Session, component: str) -> Service:
    from lockgate.deploy.model import Service

    settings = session.settings.components[component]
    return Service(
        component=component, port=settings.port, ready=settings.ready, smoke=settings.smoke
    )


def _world(session: Session) -> World:
    from lockgate.deploy.world import World

    return World(
        run=session.folder / "run",
        waiting=lambda: session.console.say(
            "deploy", "another run deploys this component; waiting for it"
        ),
    )
