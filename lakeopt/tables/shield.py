"""Hold SIGINT and SIGTERM back while something must not be torn apart, such as a commit and its answer."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)

#: How long after the block a held signal is sent again where ``later`` is set (seconds).
LATER = 0.05


class Shield:
    """A signal handler that remembers what came.

    ``open`` lets one further signal through, where the code inside can bear an exception and may hang: the user
    must be able to leave. ``later`` makes the held signal come again only a moment after the block, so that it
    does not take the place of a result.
    """

    def __init__(self) -> None:
        self.open = False
        self.later = False
        self.came: list[int] = []
        self._before: dict[int, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal; hand it on where it is not the first and the shield is open."""
        self.came.append(number)
        if len(self.came) > 1 and self.open:
            self.open = False
            before = self._before.get(number)
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)

    def raise_up(self) -> None:
        """Take the place of the handlers; signals that are ignored stay ignored."""
        for number in HELD:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = signal.signal(number, self)

    def lower(self) -> None:
        """Put the handlers back, and send the first held signal again."""
        for number, before in self._before.items():
            signal.signal(number, before)
        if self.came and self.later:
            timer = threading.Timer(LATER, signal.raise_signal, (self.came[0],))
            timer.daemon = True
            timer.start()
        elif self.came:
            signal.raise_signal(self.came[0])


@contextlib.contextmanager
def shielded() -> Iterator[Shield]:
    """Hold SIGINT and SIGTERM back inside; at the end the first one that came is sent again.

    Shields may be nested: the outermost holds. Outside the main thread, where Python runs no signal handlers,
    nothing is done. Blocking the signals in this thread alone would not do: another thread would take them,
    and the handler would still run here.

    >>> with shielded() as shield:
    ...     result = "kept whole"
    """
    held = [handler for number in HELD if isinstance(handler := signal.getsignal(number), Shield)]
    if held or threading.current_thread() is not threading.main_thread():
        yield held[0] if held else Shield()
        return
    shield = Shield()
    shield.raise_up()
    try:
        yield shield
    finally:
        shield.lower()
