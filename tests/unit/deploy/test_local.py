"""The target `local` as a machine of states: what runs after every success, failure and interruption."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from lockgate.base.errors import (
    DigestMismatch,
    NotReady,
    SignatureInvalid,
    StorageError,
    SubjectMismatch,
    UsageError,
)
from lockgate.deploy import state
from lockgate.deploy.local import deploy, logs, rollback, status, stop
from lockgate.deploy.model import HISTORY, Deployment, Service

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Machine, Passed, Store

    from lockgate.deploy.model import State, Verified
    from lockgate.deploy.world import World


class Put(Protocol):
    """Deploys a verified image."""

    def __call__(self, passed: Passed, port: int = 8080, **changes: Any) -> Deployment:
        """Deploy with changes to the world."""


@pytest.fixture
def put(world: World, store: Store, service: Service) -> Put:
    """Deploy a verified image at the next second."""
    times = iter(range(1000, 9999))

    def run(passed: Passed, port: int = 8080, **changes: Any) -> Deployment:
        there = world._replace(**changes)
        return deploy(passed, service, there, layout=store.layout, port=port, now=next(times))

    return run


def short(passed: Passed) -> str:
    """Return how the machine names an image."""
    return passed.subject[-4:]


def recorded(world: World, service: Service) -> State:
    """Return the record."""
    return state.read(world.folder(service.component))


def test_the_first_deployment_runs_the_image(put: Put, machine: Machine, store: Store) -> None:
    """It is started on the port of the settings, proven, recorded and told."""
    one = store.make("one")
    done = put(one)
    assert machine.versions() == [(short(one), 8080)]
    assert (done.change, done.digest, done.previous) == ("deployed", one.subject, "")
    assert (done.url, done.smoke, done.runner) == ("http://127.0.0.1:8080", 200, "miniature")


def test_it_runs_the_image_of_this_platform(put: Put, store: Store) -> None:
    """Of the index's manifests the one for this processor is started, and told."""
    one = store.make("one")
    assert put(one).manifest in {entry.digest for entry in store.layout.manifests(one.subject)}


def test_deploying_what_runs_changes_nothing(put: Put, machine: Machine, store: Store) -> None:
    """The same digest again: no process is started or ended, and the answer says so."""
    one = store.make("one")
    first = put(one)
    before = list(machine.events)
    again = put(one)
    assert machine.events == before
    assert (again.change, again.url, again.since) == ("unchanged", first.url, first.since)


def test_what_runs_but_is_not_ready_is_deployed_again(
    put: Put, machine: Machine, store: Store
) -> None:
    """Unchanged means that it works, not that a process is there."""
    one = store.make("one")
    put(one)
    pid, service = machine.running.popitem()
    machine.running[pid] = service._replace(behaviour=service.behaviour._replace(ready=503))
    assert put(one).change == "deployed"
    assert pid not in machine.running


def test_what_ended_is_deployed_again(put: Put, machine: Machine, store: Store) -> None:
    """A record of a process that is gone is not a running service."""
    one = store.make("one")
    put(one)
    machine.running.clear()
    assert put(one).change == "deployed"
    assert machine.versions() == [(short(one), 8080)]


def test_another_process_with_the_number_is_not_ours(
    put: Put, machine: Machine, store: Store
) -> None:
    """A PID that was given to another process is neither taken for the service nor ended."""
    one = store.make("one")
    put(one, port=0)
    ((pid, service),) = machine.running.items()
    assert service.instance.process is not None
    other = type(service.instance.process)(pid=pid, started=9, boot="boot")
    instance = type(service.instance)(
        **{name: getattr(service.instance, name) for name in service.instance.__struct_fields__}
        | {"process": other, "port": 1}
    )
    machine.running[pid] = service._replace(instance=instance)
    assert put(one, port=0).change == "deployed"
    assert machine.running[pid].instance == instance


def test_a_new_image_is_proven_before_the_old_one_ends(
    put: Put, machine: Machine, store: Store
) -> None:
    """Start on a side port, end it, end the old one, start in its place: in this order."""
    one, two = store.make("one"), store.make("two")
    put(one)
    machine.events.clear()
    done = put(two)
    side = machine.claim(0) - 1
    assert machine.events == [
        "sweep but 1",
        f"start {short(two)} on {side}",
        f"stop {short(two)} on {side}",
        f"stop {short(one)} on 8080",
        f"start {short(two)} on 8080",
    ]
    assert done.previous == one.subject


BAD: list[dict[str, Any]] = [{"ready": 503}, {"smoke": 500}, {"smoke": 302}, {"exit": 3}]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_image_leaves_the_old_one_untouched(
    put: Put, machine: Machine, store: Store, bad: dict[str, Any]
) -> None:
    """Not ready, a smoke test without a 2xx, an end: the very same process still runs."""
    one, two = store.make("one"), store.make("two")
    put(one)
    before = dict(machine.running)
    machine.behave(two, **bad)
    with pytest.raises(NotReady) as caught:
        put(two)
    assert machine.running == before
    assert f"log of {short(two)}, trial.log" in caught.value.hint
    assert put(one).change == "unchanged"


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_first_image_leaves_nothing(
    put: Put, machine: Machine, store: Store, world: World, service: Service, bad: dict[str, Any]
) -> None:
    """Without an old one nothing runs afterwards, and the record says so."""
    one = store.make("one")
    machine.behave(one, **bad)
    with pytest.raises(NotReady) as caught:
        put(one)
    assert machine.running == {}
    assert "log of" in caught.value.hint
    assert status(service.component, world).phase == "never deployed"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"ready": 503}, r"not ready within 0.02 s: /readyz was answered with 503"),
        ({"smoke": 500}, r"answered 500 to the smoke test /, which is not a 2xx"),
        ({"exit": 3}, r"ended with exit code 3, before it was ready"),
    ],
)
def test_the_error_says_what_went_wrong(
    put: Put, machine: Machine, store: Store, bad: dict[str, Any], words: str
) -> None:
    """Each way to fail has its own sentence."""
    one = store.make("one")
    machine.behave(one, **bad)
    with pytest.raises(NotReady, match=words):
        put(one)


def test_a_failure_after_the_switch_brings_the_old_image_back(
    put: Put, machine: Machine, store: Store
) -> None:
    """An image that does well beside the old one and fails in its place is taken back, and the error says so."""
    one, two = store.make("one"), store.make("two")
    put(one)
    machine.behave(two, only_once=True)
    with pytest.raises(NotReady, match=r"exit code 1, before.*; the previous image runs again"):
        put(two)
    assert machine.versions() == [(short(one), 8080)]
    assert put(one).change == "unchanged"


def test_when_nothing_starts_any_more_the_error_says_both(
    put: Put, machine: Machine, store: Store
) -> None:
    """New and old fail after the switch: nothing runs, and nothing is claimed."""
    one, two = store.make("one"), store.make("two")
    put(one)
    machine.behave(two, only_once=True)
    machine.behave(one, exit=4)
    with pytest.raises(NotReady, match=r"does not start again either.*exit code 4"):
        put(two)
    assert machine.running == {}


def test_a_port_of_others_is_named_before_anything_happens(
    put: Put, machine: Machine, store: Store
) -> None:
    """A port in use is the caller's mistake; what runs is not touched."""
    one, two = store.make("one"), store.make("two")
    put(one)
    before = dict(machine.running)
    machine.foreign.add(9090)
    with pytest.raises(UsageError, match="port 9090"):
        put(two, port=9090)
    assert machine.running == before


def test_another_port_needs_no_gap(put: Put, machine: Machine, store: Store) -> None:
    """On a new port the new service is ready before the old one ends."""
    one, two = store.make("one"), store.make("two")
    put(one)
    machine.events.clear()
    put(two, port=9090)
    assert machine.events == [
        "sweep but 1",
        f"start {short(two)} on 9090",
        f"stop {short(one)} on 8080",
    ]


def test_the_same_image_on_another_port_moves(put: Put, machine: Machine, store: Store) -> None:
    """A changed port is a change, though the digest is the same."""
    one = store.make("one")
    put(one)
    assert put(one, port=9090).change == "deployed"
    assert machine.versions() == [(short(one), 9090)]


def test_port_zero_takes_a_free_port_and_keeps_it(put: Put, machine: Machine, store: Store) -> None:
    """The address does not change with every deployment."""
    first = put(store.make("one"), port=0)
    second = put(store.make("two"), port=0)
    assert first.url == second.url
    assert len(machine.running) == 1


def test_a_changed_blob_stops_nothing(put: Put, machine: Machine, store: Store) -> None:
    """An image whose bytes were changed is refused while the old one runs on."""
    one, two = store.make("one"), store.make("two")
    put(one)
    before = dict(machine.running)
    for entry in store.layout.manifests(two.subject):
        path = store.layout.path(entry.digest)
        path.write_bytes(path.read_bytes().replace(b"two", b"2wo") + b" ")
    with pytest.raises(DigestMismatch):
        put(two)
    assert machine.running == before


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


STEPS = ("recorded", "prepared", "started", "proved", "stopping", "stopped", "kept")


@pytest.mark.parametrize(
    ("port", "at"),
    [(8080, step) for step in (*STEPS, "restarted")] + [(9090, step) for step in STEPS],
)
def test_ctrl_c_at_any_step_leaves_one_service(
    put: Put, machine: Machine, store: Store, at: str, port: int
) -> None:
    """After an interruption exactly one image runs, the record knows it, and the next deployment works."""
    one, two = store.make("one"), store.make("two")
    put(one)

    def interrupt(step: str) -> None:
        if step == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        put(two, port=port, step=interrupt)
    assert len(machine.running) == 1
    assert put(two, port=port).digest == two.subject
    assert machine.versions() == [(short(two), port)]


def count_writes(monkeypatch: pytest.MonkeyPatch, full_at: int) -> list[int]:
    """Let the disk be full from the n-th write of a record on; return the counter."""
    counter, write = [0], state.write

    def counted(*arguments: Any) -> None:
        counter[0] += 1
        if counter[0] >= full_at:
            raise StorageError("the disk is full", hint="free some space")
        write(*arguments)

    monkeypatch.setattr(state, "write", counted)
    return counter


@pytest.mark.parametrize("port", [8080, 9090])
@pytest.mark.parametrize("full_at", range(1, 6))
def test_a_disk_that_fills_up_at_any_record_leaves_one_service_at_most(
    put: Put,
    machine: Machine,
    store: Store,
    world: World,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    full_at: int,
    port: int,
) -> None:
    """Records that cannot be written never lead to two services, nor to one that the record does not know."""
    one, two = store.make("one"), store.make("two")
    put(one)
    with monkeypatch.context() as patch:
        counter = count_writes(patch, full_at)
        with contextlib.suppress(StorageError):
            put(two, port=port)
            assert counter[0] < full_at
    assert len(machine.running) <= 1
    known = status(service.component, world)
    assert (known.phase == "running") == (len(machine.running) == 1)
    put(two, port=port)
    assert machine.versions() == [(short(two), port)]


def test_a_full_disk_is_noticed_before_the_stop(
    put: Put, machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacking may have filled the disk; the old service is only stopped once a record could be written."""
    one, two = store.make("one"), store.make("two")
    put(one)
    before = dict(machine.running)
    count_writes(monkeypatch, 2)
    with pytest.raises(StorageError):
        put(two)
    assert machine.running == before


def test_a_kill_between_the_stop_and_the_end_is_made_good(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """A record with a dead current and a live other instance, as a SIGKILL leaves it: the live one counts."""
    one, two = store.make("one"), store.make("two")
    put(one)
    old = recorded(world, service)
    put(two)
    new = recorded(world, service)
    torn = type(old)(current=old.current, wanted=True, other=new.current, history=old.history)
    state.write(world.folder(service.component), torn)
    assert status(service.component, world).phase == "running"
    assert put(two).change == "unchanged"
    healed = recorded(world, service)
    assert healed == new


def test_a_kill_with_both_alive_keeps_the_current_one(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """A record in which both run: the one that was proven stays, the other is ended."""
    one, two = store.make("one"), store.make("two")
    put(one)
    old = recorded(world, service)
    put(two, port=9090)
    new = recorded(world, service)
    assert old.current is not None
    assert new.current is not None
    assert old.current.process is not None
    machine.running[old.current.process.pid] = machine.running[
        new.current.process.pid if new.current.process else 0
    ]._replace(instance=old.current)
    torn = type(old)(current=new.current, wanted=True, other=old.current, history=new.history)
    state.write(world.folder(service.component), torn)
    assert put(two, port=9090).change == "unchanged"
    assert machine.versions() == [(short(two), 9090)]


def test_history_remembers_the_last_images_once_each(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """Five at most, in the order of their last deployment, no digest twice."""
    made = [store.make(str(number)) for number in range(HISTORY + 2)]
    for one in [*made, made[3]]:
        put(one)
    kept = [past.digest for past in recorded(world, service).history]
    assert kept == [made[n].subject for n in (2, 4, 5, 6, 3)]


def test_rollback_goes_to_what_ran_before(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """It verifies that digest again, and a second rollback undoes the first."""
    one, two = store.make("one"), store.make("two")
    put(one)
    put(two)
    asked = []

    def verify(digest: str) -> Verified:
        asked.append(digest)
        return type(one)(digest)

    for wanted in (one, two):
        done = rollback(service, world, layout=store.layout, port=8080, now=1, verify=verify)
        assert (done.change, done.digest) == ("deployed", wanted.subject)
        assert machine.versions() == [(short(wanted), 8080)]
    assert asked == [one.subject, two.subject]


def test_rollback_to_what_is_no_longer_trusted_changes_nothing(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """A key that was withdrawn since refuses the old image too."""
    put(store.make("one"))
    put(store.make("two"))
    before = dict(machine.running)

    def verify(digest: str) -> Verified:
        raise SignatureInvalid("not signed by a trusted key", hint="inv verify")

    with pytest.raises(SignatureInvalid):
        rollback(service, world, layout=store.layout, port=8080, now=1, verify=verify)
    assert machine.running == before


def test_rollback_deploys_only_what_was_verified(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """A verification of another digest does not count."""
    one, two = store.make("one"), store.make("two")
    put(one)
    put(two)
    with pytest.raises(SubjectMismatch):
        rollback(service, world, layout=store.layout, port=8080, now=1, verify=lambda _: two)


def test_rollback_without_a_past_is_a_usage_error(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """Nothing ran before the only image, or before none."""
    for deployed in (False, True):
        if deployed:
            put(store.make("one"))
        with pytest.raises(UsageError, match="no earlier image"):
            rollback(
                service, world, layout=store.layout, port=0, now=1, verify=lambda _: store.make("x")
            )


def test_rollback_names_an_image_that_the_store_lost(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """The digest in the history is not enough; its blobs must be there."""
    one, two = store.make("one"), store.make("two")
    put(one)
    put(two)
    store.layout.path(one.subject).unlink()
    with pytest.raises(UsageError, match="no longer in the store") as caught:
        rollback(service, world, layout=store.layout, port=8080, now=1, verify=lambda _: one)
    assert "inv build" in caught.value.hint


def test_stop_ends_it_once(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """The first stop tells what ran, the second that nothing did; a later deployment starts it again."""
    one = store.make("one")
    put(one)
    stopped = stop(service.component, world)
    assert stopped is not None
    assert stopped.digest == one.subject
    assert machine.running == {}
    assert stop(service.component, world) is None
    assert put(one).change == "deployed"


def test_stop_of_what_was_never_deployed_makes_nothing(world: World) -> None:
    """Asking to stop is not a reason to make folders."""
    assert stop("other", world) is None
    assert not world.run.exists()


def test_status_names_the_phase(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """Each phase is told apart, and only what runs has an address."""
    component, one = service.component, store.make("one")
    phases = [status(component, world)]
    put(one)
    phases.append(status(component, world))
    ((pid, running),) = machine.running.items()
    machine.running[pid] = running._replace(behaviour=running.behaviour._replace(ready=503))
    phases.append(status(component, world))
    machine.running.clear()
    phases.append(status(component, world))
    put(one)
    stop(component, world)
    phases.append(status(component, world))
    known = recorded(world, service)
    state.write(world.folder(component), type(known)(other=known.current))
    phases.append(status(component, world))
    url = "http://127.0.0.1:8080"
    assert [(one.phase, one.url) for one in phases] == [
        ("never deployed", ""),
        ("running", url),
        ("not ready", url),
        ("ended", ""),
        ("stopped", ""),
        ("interrupted", ""),
    ]


def test_logs_are_those_of_what_ran_last(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """Also after a stop; without any deployment it says that there are none."""
    with pytest.raises(UsageError, match="never deployed"):
        logs(service.component, world)
    one = store.make("one")
    put(one)
    stop(service.component, world)
    assert logs(service.component, world).startswith(f"log of {short(one)}")


def test_images_that_ran_long_ago_are_removed(put: Put, machine: Machine, store: Store) -> None:
    """The current image and the one before stay prepared; logs go with the history."""
    made = [store.make(str(number)) for number in range(4)]
    manifests = [put(one).manifest for one in made]
    assert machine.prepared == set(manifests[-2:])


def test_components_do_not_remove_each_others_images(
    machine: Machine, store: Store, world: World, service: Service
) -> None:
    """What any component runs or may go back to is kept."""
    layout = store.layout
    other = Service(component="other", port=8080, ready="/readyz", smoke="/")
    kept = deploy(store.make("kept"), other, world, layout=layout, port=7070, now=1)
    for number in range(4):
        deploy(store.make(str(number)), service, world, layout=layout, port=8080, now=number)
    assert kept.manifest in machine.prepared
    assert len(machine.running) == 2


def test_logs_of_forgotten_images_are_removed(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """Only images of the history keep their log."""
    folder = world.folder(service.component)
    folder.mkdir(parents=True)
    (folder / "0123456789ab.log").write_text("old")
    one = store.make("one")
    mine = folder / f"{one.subject[7:19]}.log"
    mine.write_text("new")
    put(one)
    assert mine.exists()
    assert not (folder / "0123456789ab.log").exists()


def test_an_unreadable_record_is_not_taken_for_none(
    put: Put, machine: Machine, store: Store, world: World, service: Service
) -> None:
    """A damaged record could hide a running service, so nothing is started."""
    folder = world.folder(service.component)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"current": nul')
    with pytest.raises(UsageError, match=r"state\.json") as caught:
        put(store.make("one"))
    assert machine.running == {}
    assert "by hand" in caught.value.hint


def test_the_intention_is_recorded_first(
    put: Put, store: Store, world: World, service: Service
) -> None:
    """Before anything is prepared or started the record names what is about to run."""
    one = store.make("one")
    seen = []
    put(one, step=lambda step: seen.append((step, recorded(world, service).other)))
    step, other = seen[0]
    assert step == "recorded"
    assert other is not None
    assert (other.digest, other.process) == (one.subject, None)
    started = next(other for step, other in seen if step == "started")
    assert started is not None
    assert started.process is not None
