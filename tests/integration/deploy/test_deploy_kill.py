"""SIGKILL to a deployment: what runs afterwards, and that the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.deploy import sandbox, state
from lockgate.deploy.local import status

if TYPE_CHECKING:
    from tests.integration.deploy.conftest import Images, Passed, Put

    from lockgate.deploy.model import Service
    from lockgate.deploy.world import World

pytestmark = pytest.mark.skipif(
    not sandbox.available(), reason="this kernel gives this user no namespaces"
)

DEPLOY = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from lockgate.deploy.local import deploy
from lockgate.deploy.model import Service, Waits
from lockgate.deploy.choose import runner
from lockgate.deploy.world import World
from lockgate.oci.layout import Layout

store, run, digest, port, at = sys.argv[1:]

def step(name):
    if name == at:
        os.kill(os.getpid(), signal.SIGKILL)

deploy(
    SimpleNamespace(subject=digest),
    Service(component="facts", port=8080, ready="/readyz", smoke="/smoke"),
    World(
        run=Path(run), runners=lambda name: runner(name or "namespaces"), step=step,
        waits=Waits(ready=60, answer=60),
    ),
    layout=Layout.open(Path(store)), port=int(port), now=1,
)
"""


def deploying(
    images: Images, world: World, passed: Passed, port: int, at: str
) -> subprocess.Popen[bytes]:
    """Start a deployment in a process of its own that kills itself at a step."""
    arguments = [str(images.layout.root), str(world.run), passed.subject, str(port), at]
    return subprocess.Popen(
        [sys.executable, "-c", DEPLOY, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def settle(world: World, service: Service) -> None:
    """Wait until what the dead deployment did not keep is gone: it holds the lock until then."""
    with state.hold(world.folder(service.component)):
        pass


SAME_PORT = {
    "recorded": "1",
    "prepared": "1",
    "started": "1",
    "proved": "1",
    "stopping": "1",
    "stopped": "",
    "restarted": "",
    "kept": "2",
    "done": "2",
}
OTHER_PORT = {
    "recorded": "1",
    "prepared": "1",
    "started": "1",
    "proved": "1",
    "kept": "1",
    "stopping": "2",
    "stopped": "2",
    "done": "2",
}


@pytest.mark.parametrize(
    ("same", "at", "runs"),
    [(True, at, runs) for at, runs in SAME_PORT.items()]
    + [(False, at, runs) for at, runs in OTHER_PORT.items()],
)
def test_a_kill_at_any_step(
    put: Put, images: Images, world: World, service: Service, same: bool, at: str, runs: str
) -> None:
    """What was proven last goes on, only the moment of the switch leaves nothing; the next one works."""
    one, two = images.make("1"), images.make("2")
    first = put(one)
    port = int(first.url.rpartition(":")[2]) if same else world.claim(0)
    child = deploying(images, world, two, port, at)
    assert child.wait(timeout=120) == -signal.SIGKILL
    settle(world, service)
    known = status(service.component, world)
    wanted = {"1": one.subject, "2": two.subject, "": ""}[runs]
    assert (known.instance.digest if known.instance else "") == wanted
    # Right after the switch the new one may still be starting.
    assert known.phase in (("running", "not ready") if runs else ("interrupted",))
    done = put(two, port=port)
    assert done.digest == two.subject
    assert status(service.component, world).phase == "running"
    assert images.processes() == 1


@pytest.mark.parametrize("at", ["recorded", "prepared", "started", "proved", "kept", "done"])
def test_a_kill_of_the_first_deployment(
    put: Put, images: Images, world: World, service: Service, at: str
) -> None:
    """Without an old service there is none, or the new one once it was kept."""
    one, port = images.make("1"), world.claim(0)
    assert deploying(images, world, one, port, at).wait(timeout=120) == -signal.SIGKILL
    settle(world, service)
    assert images.processes() == (1 if at in ("kept", "done") else 0)
    assert put(one, port=port).digest == one.subject
    assert images.processes() == 1


@pytest.mark.parametrize("after", [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0])
def test_a_kill_at_any_time(put: Put, images: Images, world: World, after: float) -> None:
    """Not only between steps: whenever it comes, the next deployment works and one service runs."""
    put(images.make("1"))
    two = images.make("2")
    child = deploying(images, world, two, 0, "never")
    try:
        child.wait(timeout=after)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(timeout=60)
    assert put(two).digest == two.subject
    assert images.processes() == 1


def test_two_deployments_at_once(put: Put, images: Images, world: World, service: Service) -> None:
    """Both finish, one after the other, and one service runs."""
    one, two = images.make("1"), images.make("2")
    children = [deploying(images, world, passed, 0, "never") for passed in (one, two)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert status(service.component, world).phase == "running"
    assert images.processes() == 1
