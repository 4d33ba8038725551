"""Whether a rewrite is worth its cost: seconds of a machine against bytes that are stored and read from then on."""

from __future__ import annotations

from dataclasses import dataclass

from lakeopt.model.plan import FileGroup, MeasuredLayout, Worth

#: Bytes on disk that a rewrite reads a second where no earlier run tells: two cores, a sort and its proof.
REWRITE_RATE = 20_000_000.0
#: Bytes on disk that a query reads a second, and the seconds that it takes to open a file.
READ_RATE, OPEN_SECONDS = 100_000_000.0, 0.03
_GB, _MONTH, _HOUR = 1e9, 30.0, 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, in any currency: a GB stored for a month, a machine for an hour.

    Data is kept for ``keep_days`` and read ``reads_a_day`` times a day. A rewrite reads ``rewrite_rate`` bytes a
    second.
    """

    storage_price: float
    compute_price: float
    keep_days: float
    reads_a_day: float
    rewrite_rate: float = REWRITE_RATE


def worth(group: FileGroup, measured: MeasuredLayout, prices: Prices, files_after: int) -> Worth:
    """What rewriting a group costs and gains. Only files that did not lie in the layout become smaller.

    ``cost = bytes / rate x compute``; ``gain = bytes saved x storage x months + reads x seconds saved x compute``.
    """
    seconds = group.bytes / prices.rewrite_rate
    saved = group.arrival_bytes * (1 - measured.bytes_ratio)
    a_read = group.arrival_bytes * (1 - measured.read_ratio) / READ_RATE
    a_read += max(0, group.file_count - files_after) * OPEN_SECONDS
    stored = saved / _GB * prices.storage_price * prices.keep_days / _MONTH
    read = a_read / _HOUR * prices.compute_price * prices.reads_a_day * prices.keep_days
    cost = seconds / _HOUR * prices.compute_price
    return Worth(cost, stored + read, seconds, round(saved), prices.keep_days, prices.reads_a_day)


def is_judged(group: FileGroup) -> bool:
    """Whether a group is done only where it is worth it.

    Deletes that every reader applies, moves that were asked for, and merges that keep the depth bounded always are.
    """
    return bool(group.arrival_bytes) and not group.delete_files and not group.from_spec_ids
