"""Programs that are run: limits, pipes, environment, and every way in which they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lockgate.base import process
from lockgate.base.errors import CommandFailed, StorageError, ToolMissing
from lockgate.base.process import TAIL, find, plain_environment, run

PYTHON = [sys.executable, "-I", "-S", "-c"]


def python(code: str) -> list[str]:
    """Arguments that run a few lines of Python."""
    return [*PYTHON, code]


def gone(pid: int) -> bool:
    """True when the process ended (a zombie that nobody reaped ended too)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def ends(pid: int) -> bool:
    """True when the process ends within a minute."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if gone(pid):
            return True
        os.sched_yield()
    return False


def test_output_and_code_come_back() -> None:
    """Both streams are kept apart, as bytes."""
    done = run(python(r"import os; os.write(1, b'o\xff'); os.write(2, b'e')"), timeout=30)
    assert (done.code, done.stdout, done.stderr) == (0, b"o\xff", b"e")


def test_stdin_is_empty_unless_given() -> None:
    """A child that asks finds the end of its input and does not hang."""
    assert run(["cat"], timeout=30).stdout == b""
    assert run(["cat"], timeout=30, stdin=b"x" * 300_000).stdout == b"x" * 300_000


def test_a_child_that_reads_no_stdin_is_no_error() -> None:
    """Bytes that the child does not want are its choice."""
    assert run(["true"], timeout=30, stdin=b"x" * 1_000_000).code == 0


def test_paths_are_arguments(tmp_path: Path) -> None:
    """A path is passed as it is, blanks and shell signs included: there is no shell."""
    path = tmp_path / "a b;$(exit 9)"
    path.write_bytes(b"inside")
    assert run(["cat", path], timeout=30).stdout == b"inside"


def test_the_folder_is_the_one_given(tmp_path: Path) -> None:
    """`cwd` is where the child starts."""
    assert run(["pwd", "-P"], timeout=30, cwd=tmp_path).stdout == f"{tmp_path.resolve()}\n".encode()


def test_another_exit_code_is_a_failure() -> None:
    """The error has argv, code and the child's last words."""
    argv = python("import sys; sys.exit('no such luck')")
    with pytest.raises(CommandFailed) as caught:
        run(argv, timeout=30)
    assert (caught.value.argv, caught.value.code) == (tuple(argv), 1)
    assert caught.value.message.endswith("ended with exit code 1: no such luck")


def test_accepted_exit_codes_are_answers() -> None:
    """A code in `accept` is returned, any other is not, 0 included."""
    assert run(["false"], timeout=30, accept=(0, 1)).code == 1
    with pytest.raises(CommandFailed):
        run(["true"], timeout=30, accept=(1,))


def test_death_by_a_signal_is_a_negative_code() -> None:
    """A child that was killed is told from one that ended."""
    with pytest.raises(CommandFailed) as caught:
        run(python("import os; os.kill(os.getpid(), 11)"), timeout=30)
    assert caught.value.code == -signal.SIGSEGV


def test_the_error_keeps_the_end_of_stderr() -> None:
    """Of a long stderr the last 4 kB stay, even when they begin inside a character."""
    with pytest.raises(CommandFailed) as caught:
        run(
            python("import os, sys; os.write(2, ('ä' * 9000 + 'x end').encode()); sys.exit(3)"),
            timeout=30,
        )
    assert caught.value.stderr_tail.endswith("ä" * 10 + "x end")
    assert len(caught.value.stderr_tail) <= TAIL


def test_a_flood_on_both_pipes_does_not_deadlock() -> None:
    """Both pipes are drained at once: megabytes on each do not stop the child."""
    code = (
        "import os\nfor _ in range(64):\n    os.write(2, b'e' * 65536); os.write(1, b'o' * 65536)"
    )
    done = run(python(code), timeout=60)
    assert (len(done.stdout), len(done.stderr)) == (4 << 20, 4 << 20)


def test_the_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    """Child and grandchild are dead when the error arrives."""
    note = tmp_path / "pid"
    # A shell has said within milliseconds whom it started, also on a busy machine.
    command = ["sh", "-c", 'sleep 600 & echo $! > "$1"; wait', "sh", str(note)]
    with pytest.raises(CommandFailed, match="did not finish within 2 s") as caught:
        run(command, timeout=2)
    assert caught.value.code == -signal.SIGKILL
    assert ends(int(note.read_text()))


def test_a_descendant_that_left_the_group_does_not_hold_the_caller(tmp_path: Path) -> None:
    """A daemon that keeps the pipes open cannot make the time limit void."""
    note = tmp_path / "pid"
    command = ["sh", "-c", 'setsid sleep 600 & echo $! > "$1"; wait', "sh", str(note)]
    with pytest.raises(CommandFailed, match="did not finish"):
        run(command, timeout=2)
    daemon = int(note.read_text())
    assert os.getsid(daemon) == daemon
    assert not gone(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_child_that_ignores_signals_is_ended_all_the_same() -> None:
    """The group is killed, not asked."""
    code = (
        "import signal, time\n"
        "for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
        "    signal.signal(one, signal.SIG_IGN)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(CommandFailed, match="did not finish"):
        run(python(code), timeout=0.5)


def test_ctrl_c_ends_the_child(tmp_path: Path) -> None:
    """An interrupt of the caller reaches a child that has its own session, and stays an interrupt."""
    note = tmp_path / "pid"
    os.mkfifo(note)
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    found: list[int] = []

    def interrupt() -> None:
        found.append(int(note.read_text()))
        while not waits_for_its_child():
            os.sched_yield()
        os.kill(os.getpid(), signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        run(python(code), timeout=60)
    other.join(timeout=60)
    assert ends(found[0])


def waits_for_its_child() -> bool:
    """True when the main thread has come to where it waits: its child may run before that."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_code is not subprocess.Popen.communicate.__code__:
        frame = frame.f_back
    return frame is not None


def test_the_child_has_its_own_session() -> None:
    """No terminal of the caller can be read or typed into by the child."""
    done = run(python("import os; print(os.getsid(0) == os.getpid())"), timeout=30)
    assert done.stdout == b"True\n"


def test_a_secret_of_the_caller_does_not_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `env` the child sees the plain variables and nothing else of the environment."""
    for name in ("COSIGN_PASSWORD", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD_NOT", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "geheim")
    monkeypatch.setenv("LANG", "C.UTF-8")
    done = run(python("import os, json; print(json.dumps(dict(os.environ)))"), timeout=30)
    assert b"geheim" not in done.stdout
    seen = run(["env"], timeout=30).stdout.decode().splitlines()
    assert {line.partition("=")[0] for line in seen} <= set(process.PLAIN_ENVIRONMENT)
    assert "LANG=C.UTF-8" in seen


def test_a_given_environment_is_the_whole_one() -> None:
    """Nothing is added to what the caller names."""
    assert run(["/usr/bin/env"], timeout=30, env={"A": "1"}).stdout == b"A=1\n"


def test_the_plain_environment_adds_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further variables are passed by name, and only when they are set."""
    monkeypatch.setenv("TOKEN", "t")
    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.delenv("TERM", raising=False)
    found = plain_environment("TOKEN", "ABSENT")
    assert found["TOKEN"] == "t"
    assert not {"ABSENT", "TERM"} & found.keys()


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    """By name and by path: no traceback, and a hint."""
    for program in ("no-such-program-here", str(tmp_path / "nothing")):
        with pytest.raises(ToolMissing, match="is not installed") as caught:
            run([program], timeout=30)
        assert program in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize("content", [b"\x7fELF\x02\x01\x01" + b"\0" * 60, b"", b"just text"])
def test_a_program_for_another_machine_is_told(tmp_path: Path, content: bytes) -> None:
    """A file that the kernel cannot execute is a missing tool, not a traceback."""
    program = tmp_path / "tool"
    program.write_bytes(content)
    program.chmod(0o755)
    with pytest.raises(ToolMissing, match="cannot be executed"):
        run([program], timeout=30)


def test_a_program_without_the_executable_bit_is_told(tmp_path: Path) -> None:
    """The mode of a file can be the reason."""
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    with pytest.raises(ToolMissing, match="Permission denied"):
        run([program], timeout=30)


def test_a_missing_folder_is_not_a_missing_program(tmp_path: Path) -> None:
    """When `cwd` is wrong the error names it, and not the program."""
    with pytest.raises(StorageError, match=str(tmp_path / "nowhere")):
        run(["true"], timeout=30, cwd=tmp_path / "nowhere")


def test_find_gives_the_path_or_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is found on PATH only when it can be executed."""
    program = tmp_path / "my-tool"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="`my-tool` is not on PATH"):
        find("my-tool")
    program.chmod(0o755)
    assert find("my-tool") == str(program)


def test_end_group_reaps_the_child() -> None:
    """After it no zombie is left, and ending twice is no error."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=subprocess.PIPE)
    process.end_group(child)
    assert child.returncode == -signal.SIGKILL
    process.end_group(child)
