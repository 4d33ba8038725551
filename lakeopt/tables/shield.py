"""Hold SIGINT and SIGTERM back while something must not be torn apart, such as a commit and its answer."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)

#: How long after a successful commit a held signal is sent again (seconds), so that it meets the caller.
LATER = 0.05


class Shield:
    """Signals that came while the shield was up. A second one goes through: the user must be able to leave.

    ``later`` makes the held signal come again only a moment after the block, for a result that must not be lost.
    """

    def __init__(self) -> None:
        self.later = False
        self.came: list[int] = []
        self._before: dict[int, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: remember the first signal, hand on any other."""
        self.came.append(number)
        if len(self.came) > 1:
            before = self._before.get(number)
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)

    def raise_up(self) -> None:
        """Take the place of the handlers; signals that are ignored stay ignored."""
        for number in HELD:
            before = signal.getsignal(number)
            if before is signal.SIG_IGN or before is None or isinstance(before, Shield):
                continue
            self._before[number] = signal.signal(number, self)

    def lower(self) -> None:
        """Put the handlers back."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def send(self) -> None:
        """Send the held signal again, now or a moment later."""
        if not self.came:
            return
        send: Callable[[int], None] = signal.raise_signal
        if self.later:
            timer = threading.Timer(LATER, send, (self.came[0],))
            timer.daemon = True
            timer.start()
        else:
            send(self.came[0])


@contextlib.contextmanager
def shielded() -> Iterator[Shield]:
    """Hold SIGINT and SIGTERM back inside; at the end the first one that came is sent again.

    Shields may be nested: the outermost holds. Outside the main thread, where Python runs no signal handlers,
    nothing is done. Blocking the signals in this thread alone would not do: another thread would take them,
    and the handler would still run here.

    >>> with shielded() as shield:
    ...     result = "kept whole"
    """
    shield = Shield()
    if threading.current_thread() is not threading.main_thread():
        yield shield
        return
    shield.raise_up()
    try:
        yield shield
    finally:
        shield.lower()
        shield.send()
