"""How long each phase of a run took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the time of a block to what its phase took.

    >>> seconds = {"stage": 1.0}
    >>> with timed(seconds, "stage"):
    ...     pass
    >>> seconds["stage"] > 1.0
    True
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - started
