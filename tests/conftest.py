"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# The machines of CI are shared: how long one example takes says nothing.
settings.register_profile("lockgate", deadline=None)
settings.load_profile("lockgate")
