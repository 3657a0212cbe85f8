"""Documents are read as Kubernetes' readers read them, or refused by name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.config import documents

WHERE = "k8s/web.yaml"


def read(text: str) -> list[Any]:
    """Return the values of a stream."""
    return [one.value for one in documents.read(text.encode(), where=WHERE)]


def refused(text: str) -> UsageError:
    """Return why a stream is refused."""
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("0644", 420),
        ("0o644", 420),
        ("0x1f", 31),
        ("0b11", 3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("12:30", "12:30"),
        ("2026-11", "2026-11"),
        ("1.2.3", "1.2.3"),
        ("64Mi", "64Mi"),
        ("_1", "_1"),
        ("0x_", "0x_"),
        ('"yes"', "yes"),
        ("'0644'", "0644"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("a: b", {"a": "b"}),
        ("[on_, Yes!]", ["on_", "Yes!"]),
    ],
)
def test_a_scalar_is_what_all_readers_of_kubernetes_make_of_it(scalar: str, value: object) -> None:
    """Octal modes are numbers; times, dates and versions are text."""
    (found,) = read(f"v:\n  {scalar}\n")
    assert found == {"v": value}
    assert type(found["v"]) is type(value)


@pytest.mark.parametrize("word", ["on", "Off", "YES", "no", "y", "N"])
@pytest.mark.parametrize("form", ["v: {}\n", "{}: 1\n", "- {}\n"])
def test_a_word_that_is_a_boolean_to_some_is_refused(word: str, form: str) -> None:
    """`on` is true to kubectl and text to kustomize: it is to be quoted, as value and as key."""
    assert f"line 1: `{word}` is a boolean to some" in refused(form.format(word)).message


@pytest.mark.parametrize("text", ["08", "1_000", "0_7", "09.5", "1_0.5"])
def test_a_number_that_is_text_to_some_is_refused(text: str) -> None:
    """Leading zeros that make no octal, and underscores, are to be quoted or left out."""
    error = refused(f"v: {text}\n")
    assert "is a number to some readers and text to others" in error.message
    assert text not in error.message + error.hint


@pytest.mark.parametrize("text", ["2026-11-20", "2026-1-2", "2026-11-20T10:00:00Z"])
def test_a_time_is_to_be_quoted(text: str) -> None:
    """Kustomize writes a date with a time behind it, kubectl keeps it as it is."""
    assert "is a time to some readers" in refused(f"v: {text}\n").message


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "9" * 20, "9" * 5000, "1e999"])
def test_a_number_that_json_or_kubernetes_cannot_hold_is_refused(text: str) -> None:
    """There is no infinity in JSON, and no integer of more than 64 bits in Kubernetes."""
    error = refused(f"a: 1\nv: {text}\n")
    assert "line 2: a number " in error.message
    assert text not in error.message + error.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "line 2: the key 'a' stands twice"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("1: a\n", "the key 1 is no text"),
        ("true: a\n", "the key true is no text"),
        ("? [a]\n: b\n", "a key is no text"),
        ("b: {<<: {a: 1}}\n", "the key << is not read here"),
        ("a: !!binary aGk=\n", "line 1: its tag is not read here"),
        ("a: !Ref b\n", "line 1: its tag is not read here"),
        ("a: !!int x\n", "its tag"),
        ("a: ! 5\n", "line 1: a value with the tag ! is text to some readers"),
        ("a: !\n", "a value with the tag !"),
        ("a: {b: }\n", "nothing in brackets is null to some readers"),
        ("a: [{b, c: 1}]\n", "nothing in brackets"),
        ("a: *b\n", "line 1: an alias stands for nothing"),
        ("a: &a [*a]\n", "line 1: an alias stands for nothing"),
        ("a: [\n", "it is not YAML"),
        ("a:\n\t- b\n", "it is not YAML"),
    ],
)
def test_what_is_not_read_is_named_with_its_line(text: str, problem: str) -> None:
    """The message names file, line and fault."""
    message = refused(text).message
    assert message.startswith(WHERE)
    assert problem in message


@pytest.mark.parametrize(
    "mark", ["!", "!!", "*", "%", "@", "`", "|", ">", "{", "[", "'", '"', "- "]
)
def test_a_password_that_nobody_has_quoted_is_not_shown(mark: str) -> None:
    """It begins with a character that means something in YAML."""
    error = refused(f"stringData:\n  password: {mark}hidden\n")
    assert "hidden" not in error.message + error.hint


def test_what_ends_a_line_to_some_is_to_be_escaped() -> None:
    """YAML 1.1 breaks the line at U+0085, 1.2 does not; escaped it is read by all."""
    assert "line 2: the character U+0085" in refused("a: 1\nb: 'x\x85y'\n").message
    assert read('b: "x\\u0085y"\n') == [{"b": "x\x85y"}]


def test_input_that_is_no_text_is_refused() -> None:
    """Bytes that are not UTF-8 are named as such."""
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        documents.read(b"a: \xff\n", where=WHERE)


@pytest.mark.parametrize("bracket", ["[", "- ", "{a: "])
def test_depth_is_counted_and_not_met(bracket: str) -> None:
    """A hundred thousand levels end in a named error, not in a crash."""
    assert "nested too deeply" in refused(bracket * 100_000).message


def test_json_that_is_too_deep_is_refused() -> None:
    """The same for JSON."""
    text = "[" * 5000 + "]" * 5000
    assert "nested too deeply" in refused(f'{{"a": {text}}}').message


def test_an_alias_stands_for_what_it_names() -> None:
    """Aliases are read, also of scalars, and only within their document."""
    assert read("a: &x {b: 1}\nc: *x\nd: &y text\ne: *y\n") == [
        {"a": {"b": 1}, "c": {"b": 1}, "d": "text", "e": "text"}
    ]
    assert "stands for nothing" in refused("a: &x 1\n---\nb: *x\n").message


def test_aliases_that_expand_to_too_much_are_refused() -> None:
    """A billion laughs end after a hundred thousand."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases expand to too much" in refused("\n".join(lines)).message


def test_aliases_that_nest_too_deeply_are_refused() -> None:
    """Depth counts through aliases too."""
    lines = ["a0: &a0 " + "[" * 60 + "]" * 60, "a1: &a1 " + "[" * 60 + "*a0" + "]" * 60]
    assert "aliases expand to too much" in refused("\n".join(lines)).message


def test_empty_documents_are_none() -> None:
    """Comments and separators alone hold nothing; lines are counted over the whole stream."""
    assert documents.read(b"# nothing\n---\n---\n# more\n", where=WHERE) == ()
    found = documents.read(b"---\n---\na: 1\n---\n# c\n\nb: 1\n", where=WHERE)
    assert [one.line for one in found] == [2, 4]


def test_a_mark_of_the_encoding_is_no_text() -> None:
    """A byte order mark before the first key is left out."""
    assert documents.read(b"\xef\xbb\xbfa: 1\n", where=WHERE)[0].value == {"a": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), JSON))
def test_json_is_read_as_json(value: dict[str, Any]) -> None:
    """What a JSON writer wrote is what is read."""
    assert read(json.dumps(value)) == [value]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input ends in another error than the one that has a hint."""
    with contextlib.suppress(UsageError):
        documents.read(text.encode("utf-8", "surrogatepass"), where=WHERE)
