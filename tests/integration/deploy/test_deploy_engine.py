"""A real container engine, the machine's or a private one: the same life cycle through docker."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.errors import NotReady
from lockgate.deploy.choose import runner
from lockgate.deploy.engine import Engine, find_engine
from lockgate.deploy.local import deploy, logs, rollback, status, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine import Engine as Machine
    from tests.integration.deploy.conftest import Images

    from lockgate.deploy.model import Service
    from lockgate.deploy.world import World


@pytest.fixture
def runner_engine(engine: Machine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """What Lockgate finds where this engine is the one of the machine."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    found = find_engine()
    assert found is not None, "docker's own client is not on PATH"
    return found


@pytest.fixture
def there(runner_engine: Engine, world: World, service: Service) -> Iterator[World]:
    """The world with the engine as the choice; its containers and images are removed at the end.

    The engine comes first, so that it is still found when the world ends.
    """
    made = world._replace(runners=lambda name: runner(name or runner_engine.name))
    yield made
    runner_engine.sweep(made.roots, service.component, ())
    runner_engine.prune(made.roots, tuple)


def test_from_the_first_deployment_to_the_stop(
    there: World, images: Images, service: Service, ask: Callable[[str], Any], runner_engine: Engine
) -> None:
    """Deploy, nothing to do, replace, roll back, stop, with containers."""
    layout = images.layout
    one, two = images.make("1"), images.make("2")
    first = deploy(one, service, there, layout=layout, port=0, now=1)
    assert (first.runner, first.smoke) == (runner_engine.name, 200)
    assert deploy(one, service, there, layout=layout, port=0, now=1).change == "unchanged"
    second = deploy(two, service, there, layout=layout, port=0, now=2)
    assert (second.url, ask(second.url + "/facts")["version"]) == (first.url, "2")
    back = rollback(service, there, layout=layout, port=0, now=3, verify=type(one))
    assert ask(back.url + "/facts")["version"] == "1"
    assert "version 1 listens" in logs(service.component, there)
    assert stop(service.component, there) is not None
    assert status(service.component, there).phase == "stopped"


def test_the_container_is_closed_in(
    there: World, images: Images, service: Service, ask: Callable[[str], Any]
) -> None:
    """The same facts as in the sandbox of namespaces: user, capabilities, root, environment."""
    done = deploy(images.make("1"), service, there, layout=images.layout, port=0, now=1)
    seen, tried = ask(done.url + "/facts"), ask(done.url + "/attempts")
    assert seen["ids"] == [65532] * 4
    assert seen["capabilities"] == [0] * 5
    assert seen["no_new_privs"] == "1"
    assert seen["environment"]["LOCKGATE_IMAGE_DIGEST"] == done.digest
    assert seen["environment"]["PORT"] == "8080"
    assert (tried["write /"], tried["write /tmp"]) == (errno.EROFS, None)


def test_a_bad_image_is_refused_with_its_last_words(
    there: World, images: Images, service: Service, runner_engine: Engine
) -> None:
    """The old container runs on, the new one is removed."""
    deploy(images.make("1"), service, there, layout=images.layout, port=0, now=1)
    before = status(service.component, there)
    with pytest.raises(NotReady, match="exit code 3") as caught:
        deploy(images.make("2", exit=3), service, there, layout=images.layout, port=0, now=2)
    assert "no luck today" in caught.value.hint
    assert status(service.component, there) == before
    label = "--filter=label=lockgate.component=facts"
    assert len(runner_engine.call("ps", "--all", "--quiet", label).stdout.split()) == 1


def test_from_a_sandbox_to_an_engine_and_back(
    there: World, world: World, images: Images, service: Service, tmp_path: Path
) -> None:
    """What one runner started another replaces: each is ended by its own."""
    one, two = images.make("1"), images.make("2")
    for place, image in ((world, one), (there, two), (world, one)):
        done = deploy(image, service, place, layout=images.layout, port=0, now=1)
        assert done.change == "deployed"
    assert images.processes() == 1
