"""Run generators in a few threads and take what they yield, with back-pressure; look at many small things at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

Work = TypeVar("Work")
Item = TypeVar("Item")
#: Small things that a thread takes at a time: handing over one costs as much as looking at a local file.
_BATCH = 32


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


def each(pool: Executor, look: Callable[[Work], Item], work: Sequence[Work]) -> Iterator[Item]:
    """What ``look`` says of each piece of work, in its order; looked at in batches, in the threads of a pool.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(each(pool, abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    batches = [work[start : start + _BATCH] for start in range(0, len(work), _BATCH)]
    for done in pool.map(lambda batch: [look(one) for one in batch], batches):
        yield from done


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; while one is worked on, the next is fetched in a thread.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    source = iter(items)
    none = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, none)
        while (item := coming.result()) is not none:
            coming = pool.submit(next, source, none)
            yield item  # type: ignore[misc]
