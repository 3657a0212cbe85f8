"""in-toto statements."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import SubjectMismatch, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import statement

DIGEST = Digest.of(b"image")
KIND = "https://example.org/predicate/v1"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def build(predicate: bytes = b'{"a":1}', digest: str = DIGEST) -> bytes:
    """Return a statement about one image."""
    return statement.build(name="app", digest=digest, predicate_type=KIND, predicate=predicate)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_what_is_built_can_be_parsed(predicate: dict[str, object]) -> None:
    """Type, subject and predicate come back."""
    found = statement.parse(build(json.dumps(predicate).encode()))
    assert found.predicate == predicate
    assert found.predicate_type == KIND
    assert statement.find_subject(found, DIGEST).name == "app"


def test_the_form_is_that_of_the_specification() -> None:
    """statement.md: `_type`, `subject` with name and digest, `predicateType`, `predicate`."""
    assert json.loads(build()) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": DIGEST.hex}}],
        "predicateType": KIND,
        "predicate": {"a": 1},
    }


def test_the_bytes_of_a_predicate_are_kept() -> None:
    """What others wrote is signed as they wrote it: spaces, order and floats."""
    document = b'{ "b": 7.50,\n "a": 1 }'
    assert document in build(document)


@pytest.mark.parametrize(
    "predicate",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"{} {}",
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_only_an_object_can_be_a_predicate(predicate: bytes) -> None:
    """Other JSON, a key that stands twice, and other encodings are refused before anything is signed."""
    with pytest.raises(UsageError):
        build(predicate)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        build().replace(b"Statement/v1", b"Statement/v0.2"),
        build().replace(b'"subject":[{', b'"subject":[],"x":[{'),
        build().replace(b'"subject"', b'"subjects"'),
        build().replace(b'"_type"', b'"_type":"x","_type"'),
        build().replace(b'{"a":1}', b'{"a":1,"a":2}'),
        build().replace(b'{"a":1}', b'"text"'),
        b"\xef\xbb\xbf" + build(),
        build().decode().encode("utf-16-le"),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """A statement without subject, of another version, or with a key twice at any depth is not read."""
    with pytest.raises(UsageError):
        statement.parse(data)


def test_unknown_fields_are_ignored() -> None:
    """Parsing rules of the framework: others may add fields."""
    found = statement.parse(build().replace(b'"subject":[{', b'"more":[1],"subject":[{"uri":"x",'))
    statement.find_subject(found, DIGEST)


def test_the_older_version_is_read() -> None:
    """`cosign attest` writes 0.1, whose fields are the same."""
    found = statement.parse(build().replace(b"Statement/v1", b"Statement/v0.1"))
    assert statement.find_subject(found, DIGEST).name == "app"


def test_annotations_belong_to_the_subject() -> None:
    """What is said beside the predicate stands where `cosign verify -a` looks for it."""
    data = statement.build(
        name="app",
        digest=DIGEST,
        predicate_type=KIND,
        predicate=b"{}",
        annotations={"stack": "python"},
    )
    assert json.loads(data)["subject"][0]["annotations"] == {"stack": "python"}
    found = statement.find_subject(statement.parse(data), DIGEST)
    assert found.annotations == {"stack": "python"}


def test_another_subject_is_a_mismatch() -> None:
    """A statement about another image is refused with both digests."""
    other = Digest.of(b"other")
    with pytest.raises(SubjectMismatch, match="subject is") as caught:
        statement.find_subject(statement.parse(build(digest=other)), DIGEST)
    assert DIGEST.short in caught.value.message


def test_other_algorithms_do_not_count() -> None:
    """A subject that is known by md5 alone matches nothing, and empty names match nothing."""
    data = build().replace(b'"sha256"', b'"md5"')
    with pytest.raises(SubjectMismatch, match="no sha256 digest"):
        statement.find_subject(statement.parse(data), DIGEST)


def test_one_of_several_subjects_is_enough() -> None:
    """A statement is about each of its subjects."""
    other = Digest.of(b"other").hex.encode()
    more = build().replace(
        b'"subject":[', b'"subject":[{"digest":{"sha256":"%b"},"name":"x"},' % other
    )
    assert statement.find_subject(statement.parse(more), DIGEST).name == "app"
