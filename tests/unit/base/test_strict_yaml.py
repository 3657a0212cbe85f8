"""YAML as configuration: what can be misread is refused, in one line that says where."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.base.strict_yaml import MAX_BYTES, load


def refused(data: bytes) -> UsageError:
    """Return the error for bytes that must not be read."""
    with pytest.raises(UsageError) as caught:
        load(data, what="`f.yaml`")
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("`f.yaml` ")
    assert caught.value.hint
    return caught.value


def test_plain_yaml_is_read() -> None:
    """Mappings, lists, texts, numbers and booleans come out as Python values."""
    data = b"a: 1\nb: [x, true, null]\nc: {d: text}\n"
    assert load(data, what="f") == {"a": 1, "b": ["x", True, None], "c": {"d": "text"}}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: 1\na: 2\n", 2),
        (b"x:\n  b: 1\n  c: 2\n  b: 3\n", 4),
        (b"[{a: 1, a: 1}]", 1),
        (b'a: 1\n"a": 2\n', 2),
        (b"!!set {a, a}", 1),
    ],
)
def test_duplicate_keys_are_refused(data: bytes, line: int) -> None:
    """At every level, however the key is quoted; the error says in which line."""
    message = refused(data).message
    assert "stands twice" in message
    assert f"(line {line}, " in message


def test_aliases_are_refused() -> None:
    """A few aliases can expand to gigabytes."""
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c]\n" % (one + 1, one + 1, one, one) for one in range(97, 120)
    )
    assert "aliases are not read" in refused(bomb).message


def test_merge_keys_are_refused() -> None:
    """`<<` would let a key stand twice unseen."""
    refused(b"<<: {a: 1}\na: 2\n")


@pytest.mark.parametrize("data", [b"", b"\n# only a comment\n", b"---\n", b"null\n", b"~"])
def test_an_empty_document_is_refused(data: bytes) -> None:
    """Empty is not success."""
    assert refused(data).message == "`f.yaml` is empty"


def test_a_file_that_is_too_large_is_refused() -> None:
    """The size is checked before anything is parsed; the limit itself is allowed."""
    refused(b"x" * (MAX_BYTES + 1))
    assert load(b"#" * (MAX_BYTES - 2) + b"\n1", what="f") == 1


@pytest.mark.parametrize("data", [b"\xff", b"a: \xc3\x28", "a: ä".encode("latin-1")])
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    """Bytes of another encoding are not guessed at."""
    assert "not UTF-8" in refused(data).message


@pytest.mark.parametrize(
    "data",
    [
        b"a: b: c",
        b"\ta: 1",
        b"[1, 2",
        b"a: !!python/object/apply:os.getcwd []",
        b"a: !mine x",
        b"a: 1\n---\nb: 2\n",
        b"%YAML 3.0\n---\na: 1",
        b'a: "\x01"',
        b"? [a, b]\n: c",
        b"? {a: b}\n: c",
        b"a: 2020-13-45",
        b"a: 2001-01-01T00:00:00+99:99",
        b"a: 0x_",
        b"a: -0b_",
        b"a: " + b"1" * 5000,
        b"!!bool maybe",
        b"!!int ''",
        b"!!float abc",
        b"!!timestamp soon",
        b"!!map x",
        b"!!binary '\xc3\xa9'",
    ],
)
def test_what_the_library_stumbles_over_is_one_line(data: bytes) -> None:
    """Bad syntax, unknown tags, two documents and values that cannot be are UsageErrors in one line."""
    assert "is not readable as YAML" in refused(data).message


def test_a_wrong_value_has_its_place() -> None:
    """The error points at the value, not at the start of the file."""
    assert refused(b"a: 1\nb:\n  - 2020-02-31\n").message.endswith("(line 3, column 5)")


@pytest.mark.parametrize("unit", [b"[", b"{a: ", b"- "])
def test_deep_nesting_is_refused(unit: bytes) -> None:
    """Brackets without end do not end the process."""
    assert "nested too deeply" in refused(unit * 3000).message


@given(st.text() | st.text("ab:-[]{}!&*?|>'\" \n#%0123456789.", max_size=60))
def test_any_text_gives_a_value_or_a_usage_error(text: str) -> None:
    """No text makes the reader fail in another way."""
    with contextlib.suppress(UsageError):
        load(text.encode("utf-8", "surrogatepass"), what="f")
