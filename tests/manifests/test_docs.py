"""What the documents say can be typed, parsed and followed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from invoke.exceptions import Exit, ParseError

from lockgate.base import errors, settings, settings_file
from lockgate.build import stack
from lockgate.gate import waiver
from lockgate.scan import licences
from lockgate.sign import predicate
from lockgate.tasks import namespace
from lockgate.tasks.program import Lockgate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")]
)

TODAY = dt.date(2026, 12, 1)
"""The day on which the examples of waivers are read."""


def named(path: Path) -> str:
    """Return a document's name for test ids."""
    return str(path.relative_to(ROOT))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of every fenced block."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples(name: str) -> list[tuple[str, str]]:
    """Return the YAML blocks that are marked as the file `name`, each with the document it is in."""
    return [
        (named(path), content)
        for path in DOCS
        for language, content in blocks(path.read_text())
        if language == "yaml" and content.startswith(f"# {name}\n")
    ]


def test_every_yaml_block_says_which_file_it_is() -> None:
    """No example escapes the tests below: its first line names one of the files that they parse."""
    known = ("lockgate.yaml", "policies/waivers.yaml", "policies/licences.yaml")
    for path in DOCS:
        for language, content in blocks(path.read_text()):
            first = content.partition("\n")[0].removeprefix("# ")
            if language == "yaml":
                assert first in known or first.endswith("/stack.yaml"), f"{named(path)}: {first}"


def test_examples_of_settings_parse() -> None:
    """What a reader copies into `lockgate.yaml` is accepted."""
    found = examples("lockgate.yaml")
    assert found
    for _, content in found:
        assert settings_file.parse(content.encode()).components


def test_examples_of_waivers_parse() -> None:
    """The example of a waivers file is one, with every field that a waiver can have."""
    found = examples("policies/waivers.yaml")
    assert found
    for _, content in found:
        waivers = waiver.parse(content.encode(), today=TODAY, max_days=30)
        assert any(one.packages and one.components and one.paths for one in waivers) or not waivers


def test_examples_of_approved_licences_parse() -> None:
    """The example of a licences file is one."""
    found = examples("policies/licences.yaml")
    assert found
    for _, content in found:
        licences.parse(content.encode())


def test_examples_of_stacks_parse() -> None:
    """The example of a `stack.yaml` is one."""
    name = "stacks/worker/stack.yaml"
    found = examples(name)
    assert found
    for _, content in found:
        assert stack.load(content.encode(), what=name).packages


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head and without backticks."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line] for line in lines[2:]]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Top level", settings.Settings),
        ("components", settings.Component),
        ("go", settings.GoModule),
        ("build", settings.Build),
        ("scan", settings.Scan),
        ("cluster", settings.Cluster),
        ("environments", settings.Environment),
        ("identities", settings.TrustedIdentity),
    ],
)
def test_every_setting_is_described(heading: str, kind: Any) -> None:
    """`docs/settings.md` has a row for each field of the model, and none for anything else."""
    text = (ROOT / "docs" / "settings.md").read_text()
    described = [row[0] for row in rows(section(text, heading))]
    assert sorted(described) == sorted(one.name for one in dataclasses.fields(kind))


def test_the_table_of_environments_is_the_default() -> None:
    """The table in `docs/settings.md` is what a file without `environments` gives."""
    text = (ROOT / "docs" / "settings.md").read_text()
    minimal = b"project: p\ncomponents: {c: {path: c, entrypoint: [python3]}}\n"
    found = settings_file.parse(minimal).environments
    assert tuple(found) == ("dev", "staging", "prod")
    for field, *values in rows(section(text, "The three default environments")):
        real = [getattr(one, field) for one in found.values()]
        assert values == [str(one).lower() if isinstance(one, bool) else str(one) for one in real]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """The table in `docs/architecture.md` has every exit code of the error tree."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    written = {int(row[0]) for row in rows(section(text, "Exit codes"))}
    codes = {one.exit_code for one in vars(errors).values() if hasattr(one, "exit_code")}
    # 0 is success; Ctrl-C and a closed pipe have the numbers that shells give them.
    assert written == codes | {0, 130, 141}


def test_the_signed_statements_are_those_of_the_code() -> None:
    """The table in `docs/sign.md` names the five statements with their predicate types, in order."""
    text = (ROOT / "docs" / "sign.md").read_text()
    written = [(row[1], row[0]) for row in rows(section(text, "What is signed"))]
    assert written == list(predicate.NAMES.items())


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_relative_links_lead_somewhere(document: Path) -> None:
    """Each link within the repository points at a file that exists, and at a heading when it names one."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text()), target


def anchors(text: str) -> set[str]:
    """Return the names that headings have in links, as common Markdown viewers make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


def test_every_guide_stands_in_the_index() -> None:
    """`docs/README.md` links each guide and each decision."""
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target).resolve()
        for target in re.findall(r"\]\(([^)\s#]+)\)", index.read_text())
        if "://" not in target
    }
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_command_parses_as_a_task(document: Path) -> None:
    """Each `inv …` in a document, inline or in a block, names tasks and flags that exist."""
    for command in commands(document.read_text()):
        words = shlex.split(command, comments=True)
        if words[:2] == ["./inv", "-q"]:
            del words[1]  # the wrapper takes it
        program = Lockgate(namespace=namespace())
        program.create_config()
        try:
            program.parse_core(words)
            program.parse_collection()
            program.parse_tasks()
        except Exit:
            continue  # `--version` ends here
        except (ParseError, SystemExit) as error:
            raise AssertionError(f"{command}: {error}") from None


COMMAND = re.compile(r"(?:\$ )?((?:\./)?inv(?: .*)?)")


def commands(text: str) -> Iterator[str]:
    """Yield what begins with `inv` or `./inv` in inline code, and as a line of a block."""
    for _, content in blocks(text):
        for line in content.splitlines():
            if found := COMMAND.fullmatch(line.strip()):
                yield found[1]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^    (.*)$", prose, re.MULTILINE):
        if found := COMMAND.fullmatch(line.strip()):
            yield found[1]
    for span in re.findall(r"`([^`\n]+)`", prose):
        if found := COMMAND.fullmatch(span):
            yield found[1]


def test_the_search_for_commands_finds_them() -> None:
    """A command is found in a block, behind a prompt, indented, and in a line; other words are none."""
    text = (
        "Type `./inv build -c app`, not `invoke`.\n\n"
        "    ./inv scan\n\n"
        "```\n$ ./inv sign   # why\ninv: no Python\n```\n"
    )
    assert list(commands(text)) == ["./inv sign   # why", "./inv scan", "./inv build -c app"]
