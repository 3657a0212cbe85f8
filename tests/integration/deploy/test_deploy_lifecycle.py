"""Deploy, replace, roll back, stop: with real processes and a real port."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import NotReady, UsageError
from lockgate.deploy import ready, sandbox
from lockgate.deploy.local import deploy, logs, rollback, status, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.deploy.conftest import Images, Put

    from lockgate.deploy.model import Service
    from lockgate.deploy.ready import Ask
    from lockgate.deploy.world import World

pytestmark = pytest.mark.skipif(
    not sandbox.available(), reason="this kernel gives this user no namespaces"
)


def test_from_the_first_deployment_to_the_stop(
    put: Put, images: Images, world: World, service: Service, ask: Callable[[str], Any]
) -> None:
    """Deploy, nothing to do, replace, roll back, stop: at one address, one process at a time."""
    one, two = images.make("1"), images.make("2")
    first = put(one)
    assert (first.change, first.smoke, ask(first.url + "/facts")["version"]) == (
        "deployed",
        200,
        "1",
    )
    running = status(service.component, world)
    assert put(one).change == "unchanged"
    assert status(service.component, world) == running
    second = put(two)
    assert (second.url, second.previous) == (first.url, one.subject)
    assert ask(second.url + "/facts")["version"] == "2"
    assert images.processes() == 1
    back = rollback(service, world, layout=images.layout, port=0, now=1, verify=type(one))
    assert (back.digest, back.url) == (one.subject, first.url)
    assert ask(back.url + "/facts")["version"] == "1"
    assert stop(service.component, world) is not None
    assert images.processes() == 0
    assert status(service.component, world).phase == "stopped"
    assert stop(service.component, world) is None


def answered(port: int, path: str, _: float) -> int:
    """Send a request until the service answers it, however long a busy machine takes to start the service."""
    end = time.monotonic() + 60
    while True:
        try:
            return ready.ask(port, path, 60)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("settings", "seconds", "asking", "words", "last"),
    [
        ({"exit": 3}, 60, ready.ask, "ended with exit code 3", "cannot go on: no luck today"),
        ({"smoke": 500}, 60, ready.ask, "answered 500 to the smoke test", "GET /smoke"),
        # The time may be over before the service listens: only what was answered is surely in the log.
        ({"ready": 503}, 1, answered, "not ready within 1 s", "GET /readyz"),
    ],
)
def test_a_bad_image_is_refused_with_its_last_words(
    put: Put,
    images: Images,
    world: World,
    service: Service,
    settings: dict[str, Any],
    seconds: float,
    asking: Ask,
    words: str,
    last: str,
) -> None:
    """The old service answers on, and the error shows the end of the new one's log."""
    one = images.make("1")
    put(one)
    before = status(service.component, world)
    limited = world._replace(ask=asking, waits=world.waits._replace(ready=seconds))
    with pytest.raises(NotReady, match=words) as caught:
        deploy(images.make("2", **settings), service, limited, layout=images.layout, port=0, now=2)
    assert last in caught.value.hint
    assert status(service.component, world) == before
    assert before.phase == "running"
    assert images.processes() == 1


def test_a_port_in_use_is_told_before_anything_is_stopped(
    put: Put, images: Images, world: World, service: Service
) -> None:
    """The port of another program is named, with what to do; what runs is untouched."""
    put(images.make("1"))
    before = status(service.component, world)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1") as caught:
            put(images.make("2"), port=port)
    assert "0 picks a free one" in caught.value.hint
    assert status(service.component, world) == before


def test_a_service_that_died_is_seen_and_deployed_again(
    put: Put, images: Images, world: World, service: Service, ask: Callable[[str], Any]
) -> None:
    """Status says that it ended, the log says how, and the same digest brings it back."""
    one = images.make("1")
    url = put(one).url
    instance = status(service.component, world).instance
    assert instance is not None
    assert instance.process is not None
    end = os.pidfd_open(instance.process.pid)
    ask(url + "/die")
    assert select.select([end], [], [], 60)[0]
    os.close(end)
    assert status(service.component, world).phase == "ended"
    assert "the service ended with exit code 9" in logs(service.component, world)
    assert put(one).change == "deployed"


def test_a_service_that_ignores_the_request_to_end_is_ended(
    put: Put, images: Images, world: World, service: Service
) -> None:
    """After the grace the whole sandbox is killed."""
    put(images.make("1", stubborn=True))
    stop(service.component, world._replace(waits=world.waits._replace(stop=0.2)))
    assert images.processes() == 0


def test_another_port_has_no_gap(put: Put, images: Images, world: World) -> None:
    """A deployment on another port ends the old service after the new one answered."""
    first = put(images.make("1"))
    port = world.claim(0)
    second = put(images.make("2"), port=port)
    assert first.url != second.url == f"http://127.0.0.1:{port}"
    assert images.processes() == 1
