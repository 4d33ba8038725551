"""Run generators in a few threads and take what they yield, with back-pressure."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Work = TypeVar("Work")
Item = TypeVar("Item")


class _Failure:
    """An error on its way from a worker to the taker."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def in_threads(work: Sequence[Work], read: Callable[[Work], Iterator[Item]], threads: int) -> Iterator[Item]:
    """Items of all pieces of work, as they come; at most two a thread wait to be taken.

    The workers wait while nobody takes, and end when the taker leaves or one of them fails.

    >>> sorted(in_threads([1, 2, 3], lambda n: iter([n, -n]), 2))
    [-3, -2, -1, 1, 2, 3]
    """
    waiting: queue.SimpleQueue[Work] = queue.SimpleQueue()
    for piece in work:
        waiting.put(piece)
    ready: queue.Queue[Item | _Failure | None] = queue.Queue(maxsize=2 * threads)
    left = threading.Event()

    def put(item: Item | _Failure | None) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            while not waiting.empty():
                for item in read(waiting.get_nowait()):
                    if not put(item):
                        return
        except queue.Empty:  # another worker took the last piece
            pass
        except BaseException as error:
            put(_Failure(error))
        put(None)

    workers = [threading.Thread(target=run, name=f"read-{number}", daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        running = threads
        while running:
            item = ready.get()
            if isinstance(item, _Failure):
                raise item.error
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        left.set()
        for worker in workers:
            worker.join()
