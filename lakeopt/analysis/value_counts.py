"""How often each different value of a column occurs, added up batch by batch over a whole table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.errors import Refused
from lakeopt.keys.comparable import comparable_column
from lakeopt.units import format_size

#: Partial counts are merged when they hold this many values more than the last merge left.
_SLACK = 1_000_000


class ValueCounts:
    """Counts of one sortable column, within a bound of memory for its different values.

    >>> counts = ValueCounts("a", memory_bytes=1_000_000)
    >>> for batch in (["x", None], ["y", "x"]):
    ...     counts.add(pa.array(batch))
    >>> sorted(counts.counts().tolist()), counts.nulls
    ([1, 2], 1)
    """

    def __init__(self, name: str, *, memory_bytes: int) -> None:
        self.name, self.memory_bytes = name, memory_bytes
        self.nulls = 0
        self._parts: list[pa.Table] = []
        self._merged_rows = 0

    def add(self, column: pa.Array) -> None:
        """Count the values of a batch.

        :raises Refused: the different values seen so far do not fit.
        """
        self.nulls += len(column) if pa.types.is_null(column.type) else column.null_count
        if column.null_count == len(column):
            return
        counted = comparable_column(pa.chunked_array([column.drop_null()])).value_counts()
        self._parts.append(pa.Table.from_arrays(counted.flatten(), ["values", "counts"]))
        if sum(part.num_rows for part in self._parts) > 2 * self._merged_rows + _SLACK:
            self._merge()

    def counts(self) -> npt.NDArray[np.int64]:
        """Occurrences of each different value, in no particular order."""
        self._merge()
        empty: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        return self._parts[0]["counts"].to_numpy() if self._parts else empty

    def _merge(self) -> None:
        if not self._parts:
            return
        together = pa.concat_tables(self._parts).group_by("values").aggregate([("counts", "sum")])
        merged = together.rename_columns({"counts_sum": "counts"}).combine_chunks()
        self._parts, self._merged_rows = [merged], merged.num_rows
        # Grouping needs the old parts, a hash table and the new part at once.
        if 4 * merged.nbytes > self.memory_bytes:
            raise Refused(
                f"column {self.name!r} has more than {merged.num_rows:,} different values, "
                f"too many to count within {format_size(self.memory_bytes)}",
                hint="allow more with LAKEOPT_MEMORY (or memory in lakeopt.toml), or leave out --exact",
            )
