"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.engine"]

# The machines of CI are shared: how long one example takes says nothing. Half of the usual number of
# examples keeps the unit tests within seconds; the next run tries others.
settings.register_profile("lockgate", deadline=None, max_examples=50)
settings.load_profile("lockgate")
