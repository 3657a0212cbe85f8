"""Locks: every requirement has a hash, nothing hides in them, and markers are asked about the image."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.errors import UsageError
from lockgate.build.requirements import applying, locked_hashes, machine, parse

A, B = "a" * 64, "b" * 64
ROOT = Path(__file__).parents[3]


def refused(text: str) -> UsageError:
    """The error for a lock that must not be used."""
    with pytest.raises(UsageError) as caught:
        locked_hashes(text.encode())
    assert caught.value.hint
    return caught.value


def names(text: str, python: str = "3.13", platform: str = "linux/amd64") -> dict[str, str]:
    """What a lock names for an image: distribution to requirement."""
    found = applying(parse(text.encode()), python, platform)
    return {name: one.text for name, one in found.items()}


def test_every_hash_is_found() -> None:
    """As uv writes it: continued lines, several hashes, comments that say where from."""
    text = (
        "# locked\n"
        f"flask==3.1.3 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n    # via -r x\n"
        f"six==1.16.0 --hash=sha256:{'c' * 64}  # inline\r\n"
    )
    assert locked_hashes(text.encode()) == {A, B, "c" * 64}


def test_the_locks_of_this_repository_are_locks() -> None:
    """The app's and the tools' own locks are read."""
    locks = [ROOT / "app/requirements.txt", *(ROOT / "requirements").glob("*.txt")]
    assert len(locks) > 3
    for path in locks:
        assert locked_hashes(path.read_bytes()), path


def test_an_empty_lock_names_nothing() -> None:
    """A service may need nothing but Python."""
    assert locked_hashes(b"") == frozenset()
    assert locked_hashes(b"\n# nothing\n\n") == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "flask==3.1.3",
        "flask",
        "flask==3.1.3 \\\n    # --hash=sha256:" + A,
        "flask==3.1.3  # --hash=sha256:" + A,
        "flask==3.1.3\t#--hash=sha256:" + A,
        "six==1 --hash=sha256:" + A + "\nflask==3.1.3",
        "https://files.example/flask.whl",
        "./flask.whl",
    ],
)
def test_a_requirement_without_a_hash_is_refused(line: str) -> None:
    """A hash in a comment or on another line is none."""
    assert "has no hash" in refused(line).message


@pytest.mark.parametrize(
    "option",
    [
        "--index-url https://index.example/simple",
        "-i https://index.example/simple",
        "--extra-index-url=https://index.example",
        "--find-links /srv",
        "-r other.txt",
        "-c constraints.txt",
        "-e .",
        "--no-binary :all:",
        "--trusted-host index.example",
        "  --pre",
        f"--hash=sha256:{A}",
    ],
)
def test_an_option_is_refused(option: str) -> None:
    """A lock names no index, no other file, and does not change how pip works."""
    assert "holds the option" in refused(f"six==1 --hash=sha256:{A}\n{option}\n").message


def test_an_option_cannot_hide_behind_a_comment() -> None:
    """A comment is not continued: what follows it is read, by pip and by us."""
    assert "--index-url" in refused("# harmless \\\n--index-url https://evil.example\n").message
    assert "has no hash" in refused(f"# x \\\nflask==1\nsix==1 --hash=sha256:{A}\n").message


@pytest.mark.parametrize(
    "options",
    [
        "--hash=sha512:" + "a" * 128,
        "--hash=md5:" + "a" * 32,
        "--hash=sha256:" + "a" * 63,
        "--hash=sha256:" + "A" * 64,
        f"--hash sha256:{A}",
        f"--hash=sha256:{A} --global-option=x",
        f"--config-settings=a=b --hash=sha256:{A}",
        f"--hash=sha256:{A} six==1",
    ],
)
def test_other_options_of_a_requirement_are_refused(options: str) -> None:
    """Only sha256, in one form, and nothing beside it."""
    refused(f"flask==3.1.3 {options}\n")


def test_a_continued_comment_is_read_as_pip_reads_it() -> None:
    """Behind a requirement, a comment that is continued takes the next line with it."""
    text = f"flask==3.1.3 --hash=sha256:{A} # c \\\nother==1 --hash=sha256:{B}\n"
    assert [one.text for one in parse(text.encode())] == ["flask==3.1.3"]


def test_what_is_not_utf8_is_refused() -> None:
    """Another encoding is not guessed at."""
    with pytest.raises(UsageError, match="not UTF-8"):
        locked_hashes(b"\xff\xfe")


@given(st.text() | st.text("a=1-h \\\n#:s5260f", max_size=80))
def test_any_text_is_a_lock_or_a_usage_error(text: str) -> None:
    """No text makes the reader fail in another way."""
    try:
        found = parse(text.encode("utf-8", "surrogatepass"))
        applying(found, "3.13", "linux/amd64")
    except UsageError:
        return
    assert all(one.hashes for one in found)


LOCK = "\n".join(
    f"{text} --hash=sha256:{A}"
    for text in (
        "always==1",
        "new==1 ; python_version >= '3.12'",
        "old==1 ; python_version < '3.12'",
        "full==1 ; python_full_version >= '3.13' and python_full_version < '3.14'",
        "windows==1 ; sys_platform == 'win32'",
        "linux==1 ; platform_system == 'Linux' and os_name == 'posix'",
        "intel==1 ; platform_machine == 'x86_64'",
        "arm==1 ; platform_machine == 'aarch64'",
        "cpython==1 ; implementation_name == 'cpython'",
        "pypy==1 ; platform_python_implementation == 'PyPy'",
        "extra==1 ; extra == 'x'",
    )
)


def test_markers_are_asked_about_the_image() -> None:
    """The image's Python and platform decide, not those of the machine that builds."""
    assert set(names(LOCK)) == {"always", "new", "full", "linux", "intel", "cpython"}
    assert set(names(LOCK, "3.11", "linux/arm64")) == {"always", "old", "linux", "arm", "cpython"}


def test_markers_are_not_passed_on() -> None:
    """pip gets names and versions only; extras stay."""  # noqa: D403 - pip's name
    text = f"Flask[async]==3.1.3 ; python_version > '3' --hash=sha256:{A}"
    assert names(text) == {"flask": "Flask[async]==3.1.3"}


@pytest.mark.parametrize(
    "marker",
    [
        "python_full_version >= '3.13.5'",
        "platform_release >= '6.1'",
        "python_full_version == '3.13.0'",
    ],
)
def test_a_marker_that_cannot_be_answered_is_refused(marker: str) -> None:
    """What depends on more than is known about the image is not guessed."""
    with pytest.raises(UsageError, match="is not known") as caught:
        names(f"six==1 ; {marker} --hash=sha256:{A}")
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "six",
        "six>=1",
        "six==1.*",
        "six==1,==2",
        "six @ https://files.example/six.whl",
        "./six.whl",
        "six==1 ; nonsense",
        "six==1 ; python_version",
        "six 1",
        "==1",
    ],
)
def test_a_requirement_that_is_not_pinned_is_refused(text: str) -> None:
    """Only `name==version`, with a marker at most: no range, no address, no file."""
    with pytest.raises(UsageError, match="is not `name==version`") as caught:
        names(f"{text} --hash=sha256:{A}")
    assert caught.value.hint


def test_two_versions_of_one_distribution_are_refused() -> None:
    """When two lines apply to one image, neither is chosen; when one does, it is."""
    both = f"six==1 --hash=sha256:{A}\nSix==2 --hash=sha256:{B}\n"
    with pytest.raises(UsageError, match="names six twice"):
        names(both)
    split = (
        f"six==1 ; python_version < '3.12' --hash=sha256:{A}\n"
        f"six==2 ; python_version >= '3.12' --hash=sha256:{B}\n"
    )
    assert names(split) == {"six": "six==2"}


def test_machines_are_named_as_wheels_name_them() -> None:
    """The two platforms that are built, and no other."""
    assert (machine("linux/amd64"), machine("linux/arm64")) == ("x86_64", "aarch64")
    for other in ("amd64", "windows/amd64", "linux/arm/v7", ""):
        with pytest.raises(UsageError, match="no wheels are known") as caught:
            machine(other)
        assert caught.value.hint
