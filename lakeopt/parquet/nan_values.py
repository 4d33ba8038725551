"""How many NaN the float columns of a file have that was put together from the row groups of others.

A footer does not say, and without it a float column has no upper bound in the manifest. The manifests of the files
that were copied may say it: their readers rely on it already. What they leave open is counted in the new file, of
which only these columns are decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.model.scan import FIELD_ID, Scan
from lakeopt.parquet.encode import nan_counts

_BATCH_ROWS = 65_536


class NanValues:
    """NaN by field id, of float columns and float fields of structs: those that have bounds in a manifest.

    ``group_counts`` gives the number of row groups of each file of the scan. Threads may share one.
    """

    def __init__(self, scan: Scan, group_counts: Sequence[int]) -> None:
        self._scan, self._group_counts = scan, group_counts
        self._columns = {number: column.name for column in scan.schema for number in _float_leaves(column)}
        listed = scan.files["nan_value_counts"].to_pylist()
        self._listed = [dict(counts or ()) for counts in listed]
        self._rows = scan.files["record_count"].to_pylist()

    def of_file(self, location: str, groups: Sequence[tuple[int, int]]) -> dict[int, int]:
        """Counts of the file at this location, which holds these (file of the scan, row group) and nothing else."""
        taken = Counter(row for row, _ in groups)
        counts, unknown = dict[int, int](), set[str]()
        for number, column in self._columns.items():
            known = [self._of_part(row, number, taken[row]) for row in taken]
            if None in known:
                unknown.add(column)
            else:
                counts[number] = sum(count or 0 for count in known)
        if unknown:
            counts |= self._counted(location, sorted(unknown))
        return counts

    def _of_part(self, row: int, number: int, taken: int) -> int | None:
        """NaN of a column in some row groups of a file: known where they are all of it, or it has none."""
        count = self._listed[row].get(number)
        if count is None or not 0 <= count <= self._rows[row]:
            return None
        return count if count == 0 or taken == self._group_counts[row] else None

    def _counted(self, location: str, columns: list[str]) -> dict[int, int]:
        filesystem, path = self._scan.resolve(location)
        counts = Counter[int]()
        with filesystem.open_input_file(path) as source:
            for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                counts.update(nan_counts(batch))
        return counts


def _float_leaves(column: pa.Field) -> Iterator[int]:
    if pa.types.is_floating(column.type):
        yield int(column.metadata[FIELD_ID])
    elif pa.types.is_struct(column.type):
        for part in column.type:
            yield from _float_leaves(part)
