"""Being let in: challenges, tokens that end, credentials that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.oci.dictregistry import HOST, PASSWORD, REALM, USER, DictRegistry
from tests.unit.oci.images import describe, opener
from tests.unit.oci.mishaps import replies, status

from lockgate.base.errors import RegistryError
from lockgate.oci.auth import Challenge, challenges
from lockgate.oci.connection import World
from lockgate.oci.credentials import Credential
from lockgate.oci.registry import Registry

if TYPE_CHECKING:
    import httpx2
    from tests.unit.oci.mishaps import Serve

KNOWN = Credential(username=USER, secret=PASSWORD, origin="config.json")
WRONG = Credential(username=USER, secret="wr0ng", origin="config.json")
TOKEN = Credential(username="", secret=PASSWORD, origin="config.json")
DATA = b"some bytes"
BLOB = describe(DATA)


def client(
    registry: DictRegistry, credential: Credential | None, *, push: bool = False
) -> Registry:
    """Return a client with these credentials."""
    known = registry.world()
    world = World(
        credentials=lambda _: credential,
        transport=known.transport,
        sleep=known.sleep,
        random=known.random,
        now=known.now,
    )
    return Registry(world.endpoint(f"{HOST}/team/app"), world, push=push)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="a, b"', [Challenge("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            [Challenge("bearer", {"realm": "https://a/t", "service": "s",
                                  "scope": "repository:a/b:pull,push"})],
        ),
        (
            'Negotiate, Basic realm=plain, BEARER  Realm = "q\\"q" , service=s',
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "plain"}),
             Challenge("bearer", {"realm": 'q"q', "service": "s"})],
        ),
        ("", []),
        ('="x"', []),
    ],
)  # fmt: skip
def test_challenges(header: str, found: list[Challenge]) -> None:
    """Schemes and parameters of RFC 9110: quoted or not, several in one header, in any case."""
    assert challenges([header]) == found


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_header_is_read(headers: list[str]) -> None:
    """Whatever stands in the header, reading it ends and raises nothing."""
    challenges(headers)


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    """A registry that wants no credentials never sees them."""
    registry = DictRegistry()

    client(registry, KNOWN).ping()

    assert [one.authorization for one in registry.asked] == [""]


def test_basic() -> None:
    """After one 401, name and password go with every request."""
    registry = DictRegistry(basic=True)
    opened = client(registry, KNOWN)

    opened.ping()
    opened.ping()

    assert [bool(one.authorization) for one in registry.asked] == [False, True, True]


def test_a_token() -> None:
    """The realm gives one token for this repository, which serves for all requests."""
    registry = DictRegistry(bearer=True)
    opened = client(registry, KNOWN, push=True)

    assert not opened.has(BLOB)
    opened.put_blob(BLOB, opener(DATA))

    assert registry.forms == [{"service": [HOST], "scope": ["repository:team/app:pull,push"]}]
    assert opened.has(BLOB)


def test_who_only_reads_asks_for_no_more() -> None:
    """A source is opened with the right to pull and no other."""
    registry = DictRegistry(bearer=True)

    client(registry, KNOWN).has(BLOB)

    assert registry.forms[0]["scope"] == ["repository:team/app:pull"]


def test_a_scope_that_turns_out_to_be_needed() -> None:
    """The right to delete is asked for once it is needed, with those that were there before."""
    registry = DictRegistry(bearer=True)
    opened = client(registry, KNOWN)
    opened.has(BLOB)

    opened.delete_blob(BLOB.digest)

    assert registry.forms[-1]["scope"] == ["repository:team/app:delete,pull"]


def test_a_mount_may_read_where_it_comes_from() -> None:
    """The token of a mount covers both repositories."""
    registry = DictRegistry(bearer=True)
    registry["team/other"].blobs[BLOB.digest] = DATA

    registry.open(mount_from="team/other").put_blob(BLOB, opener(DATA))

    scopes = {"repository:team/app:pull,push", "repository:team/other:pull"}
    assert set(registry.forms[-1]["scope"]) == scopes
    assert registry["team/app"].blobs == {BLOB.digest: DATA}


def test_an_anonymous_token() -> None:
    """Without credentials the realm is asked all the same: it may let anybody read."""
    registry = DictRegistry(bearer=True)
    registry["team/app"].blobs[BLOB.digest] = DATA

    assert client(registry, None).has(BLOB)


def test_an_anonymous_token_does_not_write() -> None:
    """Where that does not suffice, the error says that there are no credentials, and what to type."""
    registry = DictRegistry(bearer=True)

    with pytest.raises(RegistryError, match="there are none for it") as raised:
        client(registry, None, push=True).put_blob(BLOB, opener(DATA))
    assert raised.value.hint == f"`docker login {HOST}` or `podman login {HOST}`"
    assert raised.value.status == 401


@pytest.mark.parametrize("way", ["basic", "bearer"])
def test_wrong_credentials(way: str) -> None:
    """Refused credentials are named by where they were found; the secret is nowhere in the error."""
    registry = DictRegistry(basic=way == "basic", bearer=way == "bearer")

    with pytest.raises(
        RegistryError, match=r"does not take the credentials of config\.json"
    ) as error:
        client(registry, WRONG).has(BLOB)
    assert "login" in error.value.hint
    assert "wr0ng" not in str(error.value) + error.value.hint
    assert len(registry.asked) < 4


def test_a_token_that_is_about_to_end_is_replaced() -> None:
    """A new token is fetched before the old one ends, so that no upload meets its end."""
    registry = DictRegistry(bearer=True, tokens_live=100)
    opened = client(registry, KNOWN)
    opened.has(BLOB)
    registry.now += 95

    opened.has(BLOB)

    assert len(registry.forms) == 2
    assert registry.count("HEAD") == 3


def test_a_token_that_ended_early_is_replaced() -> None:
    """A token that the registry takes no longer, whatever it had promised, is fetched once more."""
    registry = DictRegistry(bearer=True)
    opened = client(registry, KNOWN)
    opened.has(BLOB)
    registry.tokens.clear()

    assert not opened.has(BLOB)
    assert len(registry.forms) == 2


def test_an_upload_outlives_its_token() -> None:
    """A token that ends in the middle of an upload costs a question to the registry, not the upload."""
    registry = DictRegistry(bearer=True)
    data = bytes(3 << 20)
    blob = describe(data)

    def expire(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        registry.tokens.clear()
        return serve()

    registry.fail("PATCH", "", expire)

    client(registry, KNOWN, push=True).put_blob(blob, opener(data))

    assert registry["team/app"].blobs == {blob.digest: data}
    assert len(registry.forms) == 2


def test_an_identity_token() -> None:
    """An identity token goes to the realm in a form, not in an address, where it would be logged."""
    registry = DictRegistry(bearer=True)

    client(registry, TOKEN).has(BLOB)

    assert registry.forms[0]["grant_type"] == ["refresh_token"]
    assert registry.forms[0]["scope"] == ["repository:team/app:pull"]
    assert not [one for one in registry.asked if PASSWORD in one.path]


def test_an_identity_token_that_is_refused() -> None:
    """An expired login says so."""
    registry = DictRegistry(bearer=True)
    expired = Credential(username="", secret="old", origin="config.json")

    with pytest.raises(RegistryError, match="wrong, or expired"):
        client(registry, expired).has(BLOB)


def test_an_identity_token_is_no_password() -> None:
    """A registry that wants a name and a password gets no identity token."""
    registry = DictRegistry(basic=True)

    with pytest.raises(RegistryError):
        client(registry, TOKEN).ping()
    assert [one.authorization for one in registry.asked] == [""]


@pytest.mark.parametrize("realm", ["", "http://auth.example/token", "ftp://auth.example", "/token"])
def test_a_realm_that_is_not_to_be_asked(realm: str) -> None:
    """Credentials go to no realm without TLS, and to none that is no address."""
    registry = DictRegistry()
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
    registry.fail("GET", "/v2/$", replies(401, headers=challenge), times=9)

    with pytest.raises(RegistryError):
        client(registry, KNOWN).ping()
    assert {one.host for one in registry.asked} == {HOST}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"token": 3}',
        b'{"token": ""}',
        b'{"token": "a b"}',
        b'{"token": "a\\nb"}',
    ],
)
def test_an_answer_without_a_token(body: bytes) -> None:
    """What a realm sends instead of a token never becomes a header."""
    registry = DictRegistry(bearer=True)
    registry.fail("GET", "/token", replies(200, body))

    with pytest.raises(RegistryError, match="what comes from there is none"):
        client(registry, KNOWN).has(BLOB)


def test_the_other_name_of_a_token() -> None:
    """`access_token`, the name that OAuth 2 gives it, is read too."""
    registry = DictRegistry(bearer=True)
    registry.tokens["abc"] = (registry.now + 100, "repository:team/app:pull")
    registry.fail("GET", "/token", replies(200, b'{"access_token": "abc"}'))

    assert not client(registry, KNOWN).has(BLOB)


def test_a_realm_that_is_busy_is_asked_again() -> None:
    """429 and 5xx of the realm are tried again like those of the registry."""
    registry = DictRegistry(bearer=True)
    registry.fail("GET", "/token", status(429, {"Retry-After": "3"}))
    registry.fail("GET", "/token", status(500))

    assert not client(registry, KNOWN).has(BLOB)
    assert registry.count("GET", "/token") == 3


@pytest.mark.parametrize("code", [201, 404, 503])
def test_what_a_realm_says_is_not_repeated(code: int) -> None:
    """It may hold the token, or what it was sent; an error goes into a log."""
    registry = DictRegistry(bearer=True)
    registry.fail("POST", "/token", replies(code, f'{{"token":"{PASSWORD}"}}'.encode()), times=99)

    with pytest.raises(RegistryError) as caught:
        client(registry, TOKEN).ping()
    assert "a token" in caught.value.message
    assert PASSWORD not in caught.value.message


def test_a_401_without_a_way_in() -> None:
    """A registry that offers no way in is told apart from wrong credentials."""
    registry = DictRegistry()
    registry.fail("GET", "/v2/$", replies(401), times=9)

    with pytest.raises(RegistryError, match="asks for credentials"):
        client(registry, KNOWN).ping()


def test_the_realm_is_where_it_is_said_to_be() -> None:
    """The realm gets the credentials, since the registry that they are for names it."""
    registry = DictRegistry(bearer=True)

    client(registry, KNOWN).has(BLOB)

    (asked,) = [one for one in registry.asked if one.path.startswith("/token")]
    assert f"https://{asked.host}/token" == REALM
    assert asked.authorization == KNOWN.basic
