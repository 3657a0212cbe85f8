"""What a `go.mod` says, in every way in which it can be written."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.gomod import parse, program_name, version_numbers

WHOLE = b"""\
// a comment
module example.org/tools // with a comment

go 1.26.0
toolchain go1.27.1

tool (
\texample.org/one/cmd/one
\t"example.org/two/v2"
)
tool example.org/three

require example.org/one v1.2.3
require (
\texample.org/two/v2 v2.0.0 // indirect
\texample.org/one/cmd v0.1.0
)

replace example.org/one => ./one
replace (
\texample.org/two/v2 v2.0.0 => example.org/fork/v2 v2.0.1
\texample.org/four => ../four
)
"""


def test_every_directive_is_read() -> None:
    """Single lines and blocks, comments and quotes."""
    found = parse(WHOLE, what="go.mod")

    assert found.module == "example.org/tools"
    assert found.go == (1, 26, 0)
    assert found.tools == ("example.org/one/cmd/one", "example.org/two/v2", "example.org/three")
    assert found.requires == {
        "example.org/one": "v1.2.3",
        "example.org/two/v2": "v2.0.0",
        "example.org/one/cmd": "v0.1.0",
    }
    assert found.local == ("./one", "../four")


def test_the_longest_module_holds_a_package() -> None:
    """A module within another one is a module of its own."""
    found = parse(WHOLE, what="go.mod")

    assert found.version_of("example.org/one/cmd/one") == "v0.1.0"
    assert found.version_of("example.org/one/other") == "v1.2.3"
    assert not found.version_of("example.org/one-more")
    assert not found.version_of("./cmd/own")


@pytest.mark.parametrize(
    ("data", "missing"), [(b"go 1.26\n", "module"), (b"module a\n", "go"), (b"", "module")]
)
def test_what_is_missing_is_named(data: bytes, missing: str) -> None:
    """Without a module or a version of Go there is nothing to plan with."""
    with pytest.raises(UsageError, match=f"go.mod has no `{missing}` line"):
        parse(data, what="go.mod")


@given(st.binary())
def test_anything_is_read_or_refused(data: bytes) -> None:
    """No bytes make it stumble over anything but an error of ours."""
    with contextlib.suppress(UsageError):
        assert parse(data, what="go.mod").module


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("go1.27.3", (1, 27, 3)),
        ("1.26", (1, 26)),
        ("go1.27rc1", (1, 26)),
        ("go1.26.8 X:jsonv2", (1, 26, 8)),
        ("devel", ()),
    ],
)
def test_versions_of_go(text: str, numbers: tuple[int, ...]) -> None:
    """A release candidate is older than its release; a development version has no number."""
    assert version_numbers(text) == numbers


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("sigs.k8s.io/kustomize/kustomize/v5", "kustomize"),
        ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        (".", "tool"),
        ("./cmd/other", "other"),
        ("example.org/v2", "example.org"),
        ("v2", "v2"),
    ],
)
def test_a_program_is_named_as_go_names_it(package: str, name: str) -> None:
    """The last part of the path counts, unless it is a major version."""
    assert program_name(package, "example.org/tool/v3") == name
