"""`lockgate.scan.licences`: what is approved, and what is said about what is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.model import Package
from lockgate.scan.licences import Verdict, judge, of_words, parse

IDS = st.sampled_from(["MIT", "Apache-2.0", "BSD-3-Clause", "GPL-2.0-only", "PSF-2.0"])


def package(name: str, *licences: str, version: str = "1.0", kind: str = "pypi") -> Package:
    """Return a distribution that names these licences."""
    return Package(
        kind=kind,
        name=name,
        version=version,
        architecture="",
        source="",
        licences=licences,
        sha256="0" * 64,
        purl="",
    )


def verdict(policy: str, *packages: Package) -> Verdict:
    """Judge packages by the lines of a policy."""
    return judge(packages, parse(f"python:\n{policy}".encode()))


def refusal(policy: str) -> str:
    """Return what is said about a policy that cannot be read; it always comes with a hint."""
    with pytest.raises(UsageError) as caught:
        parse(policy.encode(), what="the file")
    assert caught.value.hint or "YAML" in caught.value.message or "empty" in caught.value.message
    return caught.value.message


def test_an_approved_package_passes() -> None:
    """A package that uses the approved licence is no problem."""
    assert verdict("  flask: BSD-3-Clause", package("flask", "BSD-3-Clause")) == Verdict((), ())


def test_a_new_package_is_named_with_the_line_to_add() -> None:
    """The line can be pasted: with it the same package passes."""
    new = package("flask", "BSD-3-Clause", version="3.1")
    (problem,) = verdict("  click: MIT", new, package("click", "MIT")).problems
    assert problem.startswith("flask 3.1 uses BSD-3-Clause and is not approved; add `")
    line = problem.split("`")[1]
    assert line == "  flask: BSD-3-Clause"
    assert verdict(line, new).problems == ()


def test_a_changed_licence_says_both() -> None:
    """The message names what is used and what is approved."""
    (problem,) = verdict("  filelock: Unlicense", package("filelock", "MIT")).problems
    assert "filelock 1.0 uses MIT, approved is Unlicense" in problem


def test_every_problem_is_reported() -> None:
    """Not only the first one; sorted by name."""
    found = verdict("  b: MIT", package("c", "MIT"), package("b", "ISC"), package("a", "MIT"))
    assert [one.split()[0] for one in found.problems] == ["a", "b", "c"]


def test_an_approval_that_no_package_needs_is_only_a_note() -> None:
    """The list may hold more than is in use."""
    found = verdict("  click: MIT\n  old: MIT", package("click", "MIT"))
    assert found == Verdict((), ("approved and not in use: old",))


@pytest.mark.parametrize("name", ["Flask_WTF", "flask.wtf", "FLASK--wtf"])
def test_names_are_compared_normalised(name: str) -> None:
    """PEP 503: case and the kind of separator mean nothing, in the file and in the metadata."""
    assert verdict(f"  {name}: MIT", package("flask-wtf", "MIT")).problems == ()
    assert verdict("  flask-wtf: MIT", package(name, "MIT")).problems == ()


@given(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), data=st.data())
def test_the_order_of_licences_means_nothing(ids: list[str], data: st.DataObject) -> None:
    """`A OR B` is `B OR A`, and classifiers may stand in any order."""
    other = data.draw(st.permutations(ids))
    assert verdict(f"  a: {' OR '.join(ids)}", package("a", " OR ".join(other))).problems == ()
    assert verdict(f"  a: {' AND '.join(ids)}", package("a", *other)).problems == ()


@given(used=st.sets(IDS, min_size=1), approved=st.sets(IDS, min_size=1))
def test_another_set_of_licences_is_never_approved(used: set[str], approved: set[str]) -> None:
    """A package passes exactly when the ids are the same, one more or one less being a change."""
    found = verdict(
        f"  a: {' OR '.join(sorted(approved))}", package("a", " OR ".join(sorted(used)))
    )
    assert (found.problems == ()) == (used == approved)


def test_all_of_is_not_any_of() -> None:
    """`MIT AND GPL` asks for more than `MIT OR GPL`, so approving one does not approve the other."""
    used = package("a", "MIT AND GPL-2.0-only")
    assert verdict("  a: MIT OR GPL-2.0-only", used).problems
    assert verdict("  a: GPL-2.0-only AND MIT", used).problems == ()


def test_an_exception_is_part_of_the_licence() -> None:
    """A licence with an exception is another one than the licence alone."""
    used = package("a", "Apache-2.0 WITH LLVM-exception")
    assert verdict("  a: Apache-2.0", used).problems
    assert verdict("  a: Apache-2.0 with LLVM-exception", used).problems == ()


def test_a_deprecated_id_is_the_current_one() -> None:
    """`GPL-2.0+` and `GPL-2.0-or-later` are the same licence."""
    assert verdict("  a: GPL-2.0+", package("a", "GPL-2.0-or-later")).problems == ()


def test_several_approvals_are_alternatives() -> None:
    """Two versions of a package in use may have two licences."""
    policy = "  a: [MIT, Unlicense]"
    assert verdict(policy, package("a", "MIT"), package("a", "Unlicense")).problems == ()
    assert verdict(policy, package("a", "MIT OR Unlicense")).problems


def test_a_clear_classifier_is_its_spdx_id() -> None:
    """`MIT License` can mean one licence only."""
    assert verdict("  a: MIT", package("a", "MIT License")).problems == ()


@pytest.mark.parametrize("words", ["BSD License", "Apache Software License", "see LICENSE"])
def test_a_vague_word_is_not_approved_by_an_id(words: str) -> None:
    """The name of a family could be any of its members, so someone must have read the text."""
    (problem,) = verdict("  a: BSD-3-Clause", package("a", words)).problems
    assert "cannot be compared" in problem
    assert "because: <reason>" in problem


@pytest.mark.parametrize("licences", [(), ("UNKNOWN",), ("unknown",), ("NOASSERTION",), ("",)])
def test_silence_cannot_be_approved_silently(licences: tuple[str, ...]) -> None:
    """A package without a licence needs an approval that says why."""
    used = package("a", *licences)
    (problem,) = verdict("  a: MIT", used).problems
    assert "a 1.0 uses no licence" in problem
    assert verdict("  a: {licence: MIT, because: LICENSE in the sdist}", used).problems == ()


def test_unknown_is_no_licence_that_could_be_approved() -> None:
    """The word that means "nobody knows" is not an SPDX expression."""
    assert "is not an SPDX expression" in refusal("python:\n  a: UNKNOWN")


def test_an_interpretation_holds_for_its_words_only() -> None:
    """When the metadata says something else, what was read before counts no more."""
    policy = "  a: {licence: BSD-3-Clause, declared: BSD License, because: three clauses}"
    assert verdict(policy, package("a", "BSD License")).problems == ()
    (problem,) = verdict(policy, package("a", "Other/Proprietary License")).problems
    assert "BSD-3-Clause was approved when it declared BSD License" in problem
    assert verdict(policy, package("a")).problems


def test_an_interpretation_does_not_hide_a_clear_licence() -> None:
    """A later version that names its licence is compared by that name."""
    policy = "  a: {licence: MIT, because: LICENSE in the sdist}"
    assert verdict(policy, package("a", "MIT")).problems == ()
    assert (
        "uses GPL-3.0-only, approved is MIT"
        in verdict(policy, package("a", "GPL-3.0-only")).problems[0]
    )


def test_the_placeholder_is_not_a_reason() -> None:
    """The proposed entry for an unclear package is refused until someone has filled it in."""
    (problem,) = verdict("  b: MIT", package("a", "BSD License")).problems
    line = problem.split("`")[1]
    assert 'declared: ["BSD License"]' in line
    assert "is not an SPDX expression" in refusal(f"python:\n{line}")
    half = line.replace("<SPDX expression>", "BSD-3-Clause")
    assert "has no because" in refusal(f"python:\n{half}")
    whole = half.replace("<reason>", "three clauses")
    assert verdict(whole, package("a", "BSD License")).problems == ()


def test_classifiers_do_not_say_how_they_belong_together() -> None:
    """Two classifiers are proposed without a choice between AND and OR, and match either."""
    used = package("a", "MIT License", "Mozilla Public License 2.0 (MPL 2.0)")
    (problem,) = verdict("  b: MIT", used).problems
    assert "MIT <AND or OR> MPL-2.0" in problem
    assert verdict("  a: MIT OR MPL-2.0", used).problems == ()
    assert verdict("  a: MIT AND MPL-2.0", used).problems == ()


def test_a_licence_of_ones_own_has_a_reference() -> None:
    """`LicenseRef-` ids need no entry in SPDX's list (SPDX specification, license expressions)."""
    used = package("a", "LicenseRef-Our-Own")
    assert verdict("  a: LicenseRef-Our-Own", used).problems == ()
    assert verdict("  a: LicenseRef-Other", used).problems


def test_debian_packages_are_passed_over() -> None:
    """They share names with distributions and are not approved by this file."""
    assert verdict("  a: MIT", package("bash", "GPL-3.0-or-later", kind="deb")).problems == ()


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("", "the file is empty"),
        ("- flask", "must have the key `python`"),
        ("pyhton: {}", "must have the key `python`"),
        ("python: {}\nnode: {}", "must have the key `python` and no other"),
        ("python: MIT", "python is not a mapping"),
        ("python:\n  a: no", "the file: a must be a text"),
        ("python:\n  a:", "the file: a must be a text"),
        ("python:\n  a: []", "the file: a must be a text"),
        ("python:\n  a: [MIT, 3]", "the file: a must be a text"),
        ("python:\n  a: MIT License", "'MIT License' is not an SPDX expression"),
        ("python:\n  a: MIT OR", "'MIT OR' is not an SPDX expression"),
        ("python:\n  a: LLVM-exception", "'LLVM-exception' is not an SPDX expression"),
        ("python:\n  3: MIT", "3 is not the name of a package"),
        ("python:\n  'a b': MIT", "'a b' is not the name of a package"),
        ("python:\n  a: MIT\n  a: MIT", "stands twice"),
        ("python:\n  a_b: MIT\n  A-B: ISC", "a-b stands twice, once as 'A-B'"),
        ("python:\n  a: {license: MIT, because: x}", "license is not a field"),
        ("python:\n  a: {licence: MIT}", "a has no because"),
        ("python:\n  a: {licence: MIT, because: ' '}", "a has no because"),
        ("python:\n  a: {because: read it}", "the file: a: licence must be a text"),
        ("python:\n  a: {licence: MIT, declared: 3, because: x}", "a: declared must be a text"),
        ("python:\n  a: &x MIT\n  b: *x", "aliases are not read here"),
        ("python: [", "not readable as YAML"),
    ],
)
def test_a_malformed_file_is_refused(policy: str, said: str) -> None:
    """No entry is passed over: what cannot be understood stops the check, and the entry is named."""
    assert said in refusal(policy)


TOKENS = st.sampled_from(
    ["MIT", "AND", "OR", "WITH", "(", ")", "LLVM-exception", "GPL-2.0+", ",", "x"]
)


@pytest.mark.parametrize(
    "text", ["( OR MIT", "( ) Apache-2.0 foo", "(" * 20_000, "MIT OR " * 5_000 + "MIT"]
)
def test_a_parser_that_breaks_is_no_licence(text: str) -> None:
    """The parser's own faults are answered like any other text that is no expression."""
    found = of_words([text])
    assert found is None or found.ids == {"MIT"}


@given(
    text=st.lists(TOKENS, max_size=8).map(" ".join)
    | st.text(max_size=60)
    | st.from_regex(r"[A-Za-z0-9.+() -]{0,40}", fullmatch=True)
)
@settings(max_examples=300)
def test_any_words_are_a_licence_or_not(text: str) -> None:
    """Metadata is foreign text: whatever it says, the answer is a licence or None, and never a crash."""
    found = of_words([text] if text.strip() else [])
    assert found is None or found.ids


def test_the_policy_of_this_repository_can_be_read(request: pytest.FixtureRequest) -> None:
    """`policies/licences.yaml` is a file of approvals, sorted by name."""
    path = request.config.rootpath / "policies" / "licences.yaml"
    names = list(parse(path.read_bytes()))
    assert names == sorted(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
