"""Bytes that others wrote: whatever they are, a parser ends with a value or with an error of ours, and soon.

`LOCKGATE_FUZZ_EXAMPLES=5000 pytest tests/unit/test_parsers_fuzz.py` looks further than CI does, and at other inputs
each time; `tests/unit/fuzz/parsers.py` has the parsers, `mutations.py` the damage.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.fuzz.parsers import PARSERS, Parser

from lockgate.base.errors import LockgateError

EXAMPLES = int(os.environ.get("LOCKGATE_FUZZ_EXAMPLES", "40"))

MOST = 5.0
"""Seconds of the processor for one input of some kilobytes; the slowest takes some hundredths."""


def survive(parser: Parser, data: bytes) -> None:
    """Check that a parser ends as it may, in bounded time."""
    started, raised = time.process_time(), None
    try:
        parser.parse(data)
    except LockgateError as error:
        raised = error
    assert time.process_time() - started < MOST
    assert raised is None or isinstance(raised, parser.error), f"{type(raised).__name__}: {raised}"
    assert raised is None or raised.message


@pytest.mark.parametrize("parser", PARSERS, ids=[one.name for one in PARSERS])
def test_damaged_input(parser: Parser) -> None:
    """Valid inputs with a few changes, which reach further than noise does."""

    @settings(
        max_examples=EXAMPLES,
        derandomize="LOCKGATE_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(parser.inputs)
    def damaged(data: bytes) -> None:
        survive(parser, data)

    damaged()


@pytest.mark.parametrize("parser", PARSERS, ids=[one.name for one in PARSERS])
def test_noise(parser: Parser) -> None:
    """Bytes of no form at all, nothing among them."""

    @settings(max_examples=max(20, EXAMPLES // 5), derandomize=True, database=None, deadline=None)
    @given(st.binary(max_size=300))
    def noise(data: bytes) -> None:
        survive(parser, data)

    noise()


@pytest.mark.parametrize("parser", PARSERS, ids=[one.name for one in PARSERS])
def test_the_seeds_are_taken(parser: Parser) -> None:
    """What is damaged was whole: else only the first check of a parser would be tried."""
    for seed in parser.seeds:
        try:
            parser.parse(seed)
        except LockgateError as error:
            pytest.fail(f"{type(error).__name__}: {error}")
