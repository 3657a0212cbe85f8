"""What holds for every test."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.engine"]

# The machines of CI are shared: how long one example takes says nothing. Half of the usual number of
# examples keeps the unit tests within seconds. They are the same in every run of the same tests, so that a
# verdict changes only when the code does. `pytest --hypothesis-profile=search` looks for others.
settings.register_profile(
    "search", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "lockgate", settings.get_profile("search"), max_examples=50, derandomize=True, database=None
)
settings.load_profile("lockgate")

# A shell that starts something in the background lets it ignore Ctrl-C, and so would every process that a test
# starts here. With a handler of our own they begin as they do in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `./inv test` has it set, so that hints name what was typed; `nox` and pytest have not.
os.environ.pop("LOCKGATE_INV", None)
