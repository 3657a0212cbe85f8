"""Only names with their password come in, and the hashes are those that others make."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.oci.server_users import Users, crypt

KNOWN = [
    (
        "Hello world!",
        "saltstring",
        None,
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "Hello world!",
        "saltstringsaltst",
        10000,
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
]


def basic(name: str, password: str, scheme: str = "Basic") -> str:
    """Return the header."""
    return f"{scheme} " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def users() -> Users:
    """One user."""
    return Users.parse(f"# people\n\nann:{crypt(b's3cret', 'salt')}\n", "users")


@pytest.mark.parametrize(("password", "salt", "rounds", "found"), KNOWN)
def test_a_hash_is_the_specification_s(
    password: str, salt: str, rounds: int | None, found: str
) -> None:
    """The first vectors of the specification."""
    assert crypt(password.encode(), salt, rounds) == found


def test_the_right_password_comes_in(users: Users) -> None:
    """Once and again; the scheme in any case."""
    for header in (basic("ann", "s3cret"), basic("ann", "s3cret"), basic("ann", "s3cret", "BASIC")):
        assert users.admits(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"ann").decode(),
        basic("ann", ""),
        basic("ann", "s3cret "),
        basic("ann", "S3cret"),
        basic("Ann", "s3cret"),
        basic("bob", "s3cret"),
        basic("", ""),
        basic("ann", "s3cret", "Bearer"),
        basic("ann", "x" * 5000),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic \udcff",
    ],
)
def test_nobody_else_does(users: Users, header: str) -> None:
    """Another password, another name, another scheme, nonsense; also after somebody came in."""
    assert users.admits(basic("ann", "s3cret"))
    assert not users.admits(header)


def test_a_password_may_hold_a_colon_and_other_letters() -> None:
    """RFC 7617: the first colon divides; UTF-8."""
    users = Users.single("jörg:pä:ss wörd", "VARIABLE")
    assert users.admits(basic("jörg", "pä:ss wörd"))
    assert not users.admits(basic("jörg", "pä"))


def test_rounds_of_a_hash_are_honoured() -> None:
    """A hash that says its rounds is compared with as many."""
    users = Users.parse("ann:" + crypt(b"x", "salt", 1000), "users")
    assert users.admits(basic("ann", "x"))
    assert not users.admits(basic("ann", "y"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nobody\n",
        "ann\n",
        ":x\n",
        "ann:s3cret\n",
        "ann:$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde\n",
        "ann:$apr1$abc$def\n",
        f"ann:{crypt(b'a', 'b')}\nann:{crypt(b'b', 'b')}\n",
        f"ann:{crypt(b'a', 'b')[:-1]}\n",
    ],
)
def test_a_file_that_lets_nobody_or_anybody_in_is_refused(text: str) -> None:
    """Nobody in it, a name twice, a plain password, a hash of another kind: an error, with what to do."""
    with pytest.raises(UsageError) as caught:
        Users.parse(text, "users")
    assert "openssl passwd -6" in caught.value.hint
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("text", ["", "ann", "ann:", ":s3cret"])
def test_a_variable_without_name_or_password_is_refused(text: str) -> None:
    """An empty password would let everybody in who knows the name."""
    with pytest.raises(UsageError, match="VARIABLE") as caught:
        Users.single(text, "VARIABLE")
    assert "s3cret" not in caught.value.message


def test_what_is_remembered_is_bounded(users: Users) -> None:
    """Many ways to write the same header do not fill the memory, and still come in."""
    for number in range(300):
        users._known.add(str(number).encode())
    assert users.admits(basic("ann", "s3cret"))
    assert len(users._known) == 1


@settings(max_examples=15)
@given(st.binary(min_size=1, max_size=80), st.binary(min_size=1, max_size=80))
def test_two_passwords_have_two_hashes(one: bytes, other: bytes) -> None:
    """Also of lengths around the block of the hash."""
    assert (crypt(one, "s", 1000) == crypt(other, "s", 1000)) == (one == other)
