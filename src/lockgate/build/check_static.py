"""The gates of `check` that read the sources without running them: format, lint, security."""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING, Any

from lockgate.base.canonical import loads
from lockgate.base.errors import CommandFailed, UsageError
from lockgate.build.check_work import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.build.check_work import Work

DEFAULT_RULES = "B,BLE,C4,E4,E7,E9,F,I,PERF,PIE,PLE,RET,RUF100,SIM,UP,W"
"""Ruff's rules for a component whose repository has no settings for it: likely mistakes, dead code, old idioms."""

_NOTHING = "there is no Python file in the component, so nothing was looked at"
_NO_FILES_SEEN = b"No Python files found"


def _style(work: Work) -> list[str]:
    return ["--no-cache"] if work.own_style else ["--no-cache", "--isolated"]


def format_gate(work: Work) -> Outcome:
    """One format for all keeps a diff to what was meant, so a review sees the change and not the layout.

    The formatter's own diff is shown, since a "not formatted" alone does not say what to do.
    """
    if not work.python_files:
        return Outcome(False, _NOTHING)
    done = work.run(
        "ruff",
        "format",
        "--check",
        "--diff",
        *_style(work),
        work.component.path,
        accept=(0, 1, 2),
    )
    if done.code == 2:
        said = done.stderr.decode("utf-8", "replace")
        unparsed = set(re.findall(r"^error: Failed to parse (.+?):\d+:\d+:", said, re.MULTILINE))
        if not unparsed or re.search(r"^(?!error: Failed to parse)error:", said, re.MULTILINE):
            # Its settings or the disk: nothing that the sources are to blame for.
            raise CommandFailed(
                ("ruff", "format"),
                done.code,
                said,
                hint="check the ruff settings of the repository",
            )
        return Outcome(False, f"{_files(len(unparsed))} cannot be parsed", work.lines(done.stderr))
    if _NO_FILES_SEEN in done.stderr:
        return Outcome(False, "ruff's settings leave out every Python file of the component")
    if done.code == 1:
        count = _counted(work, rb"(\d+) files? would be reformatted", done.stderr)
        return Outcome(
            False,
            f"{_files(count)} not formatted; `ruff format {work.component.path}` does it",
            work.lines(done.stdout),
        )
    # Ruff's own count: its settings may leave out some files.
    count = _counted(work, rb"(\d+) files? already formatted", done.stderr)
    return Outcome(True, f"{_files(count)} formatted")


def lint_gate(work: Work) -> Outcome:
    """A linter finds the undefined name and the swallowed exception before a test or a user does.

    The repository's own ruff settings count, the nearest above the component; where there are none, a built-in
    selection does, and no settings of the machine or the user, so that every machine gives the same answer.
    """
    if not work.python_files:
        return Outcome(False, _NOTHING)
    rules = [] if work.own_style else ["--select", DEFAULT_RULES]
    done = work.run(
        "ruff",
        "check",
        "--no-fix",
        "--output-format",
        "concise",
        *_style(work),
        *rules,
        work.component.path,
        accept=(0, 1),
    )
    if _NO_FILES_SEEN in done.stderr:
        return Outcome(False, "ruff's settings leave out every Python file of the component")
    if done.code == 1:
        count = _counted(work, rb"Found (\d+) error", done.stdout)
        return Outcome(
            False, f"{count} {'problem' if count == 1 else 'problems'}", work.lines(done.stdout)
        )
    which = "the repository's rules" if work.own_style else "the built-in rules"
    return Outcome(True, f"no problem by {which}")


def _counted(work: Work, pattern: bytes, output: bytes) -> int:
    found = re.search(pattern, output)
    if found is None:
        raise work.unreadable("ruff", "it counted nothing")
    return int(found[1])


def security_gate(work: Work) -> Outcome:
    """Some mistakes are safe in every test and not in the world: a shell string, a weak hash, a bind to all.

    An exception is possible, for one rule at one line, and needs its reason beside it or above it: `# nosec B104:
    why`. One without a rule would also hide what is found there next year, so it fails the gate.
    """
    if not work.service_files:
        return Outcome(False, _NOTHING)
    paths = [f"{work.component.path}/{path}" for path in work.service_files]
    done = work.run(
        "bandit",
        "--quiet",
        "--format",
        "json",
        "--severity-level",
        "medium",
        *paths,
        accept=(0, 1),
    )
    found = _bandit(work, done.stdout)
    looked_at = len(found["metrics"]) - 1  # the rest is the sum
    if looked_at != len(paths):
        raise work.unreadable("bandit", f"it looked at {looked_at} of {len(paths)} files")
    problems = [
        f"{one['filename'].removeprefix('./')}:{one['line_number']}: {one['test_id']} "
        f"{one['issue_severity'].lower()}: {one['issue_text']}"
        for one in found["results"]
    ]
    problems += [
        f"{one['filename'].removeprefix('./')}: {one['reason']}" for one in found["errors"]
    ]
    for path in work.service_files:
        problems += [
            f"{work.component.path}/{path}:{line}: {why}"
            for line, why in unexplained((work.folder / path).read_bytes())
        ]
    if not problems and found["metrics"]["_totals"]["nosec"]:
        # A rule that bandit does not know counts for it as no rule at all.
        problems = ["a `# nosec` names a rule that does not exist, and so hides every rule"]
    if problems:
        return Outcome(
            False,
            f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'} of medium severity and up",
            work.lines("\n".join(problems).encode()),
        )
    return Outcome(True, f"{_files(len(paths))}, nothing of medium severity and up")


def _bandit(work: Work, report: bytes) -> dict[str, Any]:
    try:
        found: Any = loads(report, what="bandit's report")
    except UsageError as error:
        raise work.unreadable("bandit", error.message) from None
    shape = {"results": list, "errors": list, "metrics": dict}
    if not isinstance(found, dict) or any(
        not isinstance(found.get(key), kind) for key, kind in shape.items()
    ):
        raise work.unreadable("bandit", "a part of it is absent")
    return dict(found)


_NOSEC = re.compile(r"#\s*nosec\b:?\s*(?P<rules>B\d{3}(?:\s*,\s*B\d{3})*)?(?P<reason>[^#]*)")


def unexplained(source: bytes) -> Iterator[tuple[int, str]]:
    """Yield line and fault of every `# nosec` without a rule or without a reason.

    The reason stands after the rules or in a comment of its own on the line above. A file that cannot be
    tokenized yields nothing: bandit reports it.
    """
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return
    alone = {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip() == ""
    }
    for token in tokens:
        if token.type != tokenize.COMMENT or not (found := _NOSEC.search(token.string)):
            continue
        line = token.start[0]
        if not found["rules"]:
            yield line, "`# nosec` without a rule; write `# nosec B104: why`"
        elif not re.search(r"\w{2,}", found["reason"]) and line - 1 not in alone:
            yield (
                line,
                f"`# nosec {found['rules']}` without a reason, beside it or on the line above",
            )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
