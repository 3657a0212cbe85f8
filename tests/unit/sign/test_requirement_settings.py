"""Requirements as settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sign.world import PROD, make_signer

from lockgate.base import strict_yaml
from lockgate.base.errors import UsageError
from lockgate.sign import requirement_settings
from lockgate.sign.combine import AllOf, AnyOf, Signers
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.requirement import (
    Attested,
    Checked,
    Licensed,
    Passed,
    Provenance,
    Sbom,
    Scanned,
    Signature,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.sign.public_key import PublicKey

DAY = 86400
KEYS = [make_signer(name).public_key() for name in ("release", "security", "review")]
TWICE = make_signer("release").public_key()


def read(content: object, keys: Sequence[PublicKey | Identity] = KEYS) -> AllOf:
    """Read a list as that of `prod`."""
    return requirement_settings.from_settings(
        content, environment="prod", threshold=PROD, keys=keys
    )


def by(*names: str, quorum: int = 1) -> Signers:
    """Return who must have signed."""
    found = frozenset(one.fingerprint for one in KEYS if one.name in names)
    return Signers(keys=found, quorum=quorum)


def example() -> str:
    """Return the example in the module's own description."""
    text = requirement_settings.__doc__ or ""
    return "\n".join(line for line in text.splitlines() if line.startswith("    "))


def test_the_example_is_read() -> None:
    """What the module shows is what it reads, every option of it."""
    content: Any = strict_yaml.load(example().encode(), what="example")
    assert read(content["require"]).parts == (
        Signature(by=by("release", "security", quorum=2), annotations={"environment": "prod"}),
        Sbom(),
        Scanned(max_age=7 * DAY),
        Provenance(
            builder="urn:lockgate:builder:lockgate/native", source="https://git.example/shop"
        ),
        Passed(environment="prod", threshold=PROD),
        AnyOf(
            parts=(
                Checked(gates=("tests", "audit")),
                Attested(predicate_type="https://example.org/review/v1", by=by("review")),
            )
        ),
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("licences", Licensed()),
        ({"sbom": None}, Sbom()),
        ({"sbom": {"keys": ["security"]}}, Sbom(by=by("security"))),
        ({"sbom": {"quorum": 3}}, Sbom(by=Signers(quorum=3))),
        ({"signature": {"reference": "shop/app"}}, Signature(reference="shop/app")),
        ({"provenance": {"revision": "a" * 40}}, Provenance(revision="a" * 40)),
        (
            {"provenance": {"builder": "https://b.example/"}},
            Provenance(builder="https://b.example/"),
        ),
        (
            {"summary": {"max_age_days": 1, "keys": ["release"]}},
            Passed(environment="prod", threshold=PROD, max_age=DAY, by=by("release")),
        ),
        ({"all": ["sbom", "licences"]}, AllOf(parts=(Sbom(), Licensed()))),
    ],
)
def test_an_entry_is_a_requirement(entry: object, expected: object) -> None:
    """Each name with its options gives one value."""
    assert read([entry]).parts == (expected,)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("sbom", "require: is not a list", "each after a dash"),
        ({"sbom": None}, "require: is not a list", "each after a dash"),
        (None, "require: is not a list", "each after a dash"),
        ([], "require: requires nothing", "remove the setting"),
        ([{"any": []}], "require[0].any: requires nothing", "remove the setting"),
        (["sbmo"], "require[0]: 'sbmo' is not a requirement", "did you mean `sbom`?"),
        (["sbom", 7], "require[1]: is not one entry", "a name with its options"),
        ([{"sbom": {}, "vuln": {}}], "require[0]: is not one entry", "a name with its options"),
        ([{}], "require[0]: is not one entry", "a name with its options"),
        ([{"sbom": ["release"]}], "require[0].sbom: has options that are not a mapping", "option"),
        ([{"sbom": {1: 2}}], "require[0].sbom: has options that are not a mapping", "option"),
        ([{"vuln": {"max_age": 7}}], "require[0].vuln: 'max_age' is not an option", "max_age_days"),
        (
            [{"sbom": {"keys": ["relase"]}}],
            "require[0].sbom.keys: 'relase' is not a key or identity that is trusted",
            "did you mean `release`?",
        ),
        ([{"sbom": {"keys": []}}], "require[0].sbom.keys: is not a list of texts", "docs/sign.md"),
        ([{"sbom": {"keys": "release"}}], "keys: is not a list of texts", "docs/sign.md"),
        (
            [{"sbom": {"keys": ["release", "review"], "quorum": 3}}],
            "require[0].sbom.quorum: is not a number from 1 to 2",
            "docs/sign.md",
        ),
        ([{"sbom": {"quorum": 4}}], "quorum: is not a number from 1 to 3", "docs/sign.md"),
        ([{"sbom": {"quorum": 0}}], "quorum: is not a number from 1 to 3", "docs/sign.md"),
        ([{"sbom": {"quorum": True}}], "quorum: is not a number from 1 to 3", "docs/sign.md"),
        ([{"vuln": {"max_age_days": 0}}], "max_age_days: is not a number", "docs/sign.md"),
        ([{"signature": {"annotations": {}}}], "annotations: is not a mapping", "docs/sign.md"),
        (
            [{"signature": {"annotations": {"a": 1}}}],
            "annotations: is not a mapping",
            "docs/sign.md",
        ),
        ([{"provenance": {"builder": ""}}], "builder: is not a text", "docs/sign.md"),
        (["attestation"], "require[0].attestation: names no `type`", "add `type`"),
    ],
)
def test_a_mistake_is_named_in_one_line(content: object, message: str, hint: str) -> None:
    """Where it is, what is wrong, and what to write: nothing is passed over, nothing is guessed."""
    with pytest.raises(UsageError) as caught:
        read(content)
    assert message in caught.value.message
    assert caught.value.message.startswith("`lockgate.yaml`: require")
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint


def test_two_keys_of_one_name_are_refused() -> None:
    """Which of them is meant must not depend on their order."""
    with pytest.raises(UsageError, match="several keys are called 'release'"):
        read([{"sbom": {"keys": ["release"]}}], keys=[*KEYS, TWICE])
    assert read([{"sbom": {"keys": ["release"]}}], keys=[*KEYS, KEYS[0]]).parts


def test_an_identity_is_named_as_a_key_is() -> None:
    """Who signs by a certificate counts as one more signer."""
    workflow = Identity("https://shop.example/release", "https://issuer.example", "workflow")
    (found,) = read(
        [{"sbom": {"keys": ["workflow", "release"], "quorum": 2}}], keys=[*KEYS, workflow]
    ).parts
    assert found == Sbom(
        by=Signers(keys=frozenset({workflow.fingerprint, KEYS[0].fingerprint}), quorum=2)
    )


def test_what_has_no_end_is_refused() -> None:
    """Entries within entries are bounded."""
    content: Any = ["sbom"]
    for _ in range(20):
        content = [{"any": content}]
    with pytest.raises(UsageError, match="nested too deeply"):
        read(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["sbom", "vuln"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["any", "all", "sbom", "keys", "quorum", "type", "attestation"]),
                inner,
                max_size=2,
            )
        ),
        max_leaves=8,
    )
)
def test_anything_else_is_one_error(content: object) -> None:
    """Whatever stands there, it is a requirement that asks for something, or a clear refusal."""
    refused = ""
    parts: tuple[object, ...] = ()
    try:
        parts = read(content).parts
    except UsageError as error:
        refused = error.hint
    assert bool(parts) != bool(refused)
