"""Which delete files may apply to a data file, by the rules of the Iceberg spec ("Scan Planning").

A position-delete file applies to data files of its own partition and spec whose sequence number is not above its
own; where it names one data file (``referenced_data_file``, or file-path bounds that are equal) to that one alone.
A deletion vector takes the place of the position-delete files of its data file. An equality-delete file applies to
data files of its partition and spec that are strictly older, or of the whole table where its spec divides nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.model.scan import DATA, EQUALITY_DELETES
from lakeopt.tables.iceberg.metadata.partitions import Partitioning

#: Field id of ``file_path`` in position-delete files.
PATH_ID = 2147483546

_COLUMNS = (
    "content",
    "file_path",
    "file_format",
    "spec_id",
    "partition",
    "data_sequence_number",
    "referenced_data_file",
)


class _Sequence:
    """Delete files in the order of their sequence numbers."""

    def __init__(self) -> None:
        self._files: list[tuple[int, str, bytes, bytes | None]] = []  # sequence number, path, bounds of data file paths
        self._sorted = True

    def add(self, sequence: int, path: str, lower: bytes | None = None, upper: bytes | None = None) -> None:
        self._files.append((sequence, path, lower or b"", upper))
        self._sorted = False

    def since(self, sequence: int, data_path: str, *, strictly: bool = False) -> list[str]:
        """Paths of those at or after a sequence number (or after it) whose bounds meet the data file's path."""
        if not self._sorted:
            self._files.sort(key=itemgetter(0))
            self._sorted = True
        first = (bisect_right if strictly else bisect_left)(self._files, sequence, key=itemgetter(0))
        key = data_path.encode()
        after = self._files[first:]
        return [path for _, path, lower, upper in after if lower <= key and (upper is None or key <= upper)]


class DeleteIndex:
    """The delete files of a snapshot, found by data file."""

    def __init__(self, deletes: pa.Table, partitioning: Partitioning) -> None:
        self._vectors: dict[str, _Sequence] = {}
        self._pinned: dict[str, _Sequence] = {}
        self._positions: dict[tuple[int, str], _Sequence] = {}
        self._equality: dict[tuple[int, str], _Sequence] = {}
        self._everywhere = _Sequence()
        self._partitioning = partitioning
        self.file_count = len(deletes)
        self._add(deletes)

    def _add(self, table: pa.Table) -> None:
        lower, upper = (_path_bound(table[name]) for name in ("lower_bounds", "upper_bounds"))
        columns = [table[name].to_pylist() for name in _COLUMNS]
        for row in zip(*columns, lower, upper, strict=True):
            content, path, file_format, spec_id, partition, sequence, referenced, least, greatest = row
            sequence = sequence or 0
            if content == EQUALITY_DELETES:
                everywhere = self._partitioning.is_global(spec_id)
                target = self._everywhere if everywhere else _at(self._equality, (spec_id, partition))
                target.add(sequence, path)
                continue
            if pinned := referenced or (
                least.decode(errors="surrogateescape") if least and least == greatest else None
            ):
                _at(self._vectors if file_format == "PUFFIN" else self._pinned, pinned).add(sequence, path)
            else:
                _at(self._positions, (spec_id, partition)).add(sequence, path, least, greatest)

    def applied(self, files: pa.Table) -> pa.Table:
        """The file list with ``delete_files`` filled for its data files."""
        at = files.schema.get_field_index("delete_files")
        if self.file_count == 0:
            none = pa.ListArray.from_arrays(pa.array([0] * (len(files) + 1), pa.int32()), pa.array([], pa.string()))
            return files.set_column(at, files.schema.field(at), none)
        names = ("content", "file_path", "spec_id", "partition", "data_sequence_number")
        rows = zip(*(files[name].to_pylist() for name in names), strict=True)
        found = [self._of(path, (spec, part), seq or 0) if what == DATA else [] for what, path, spec, part, seq in rows]
        return files.set_column(at, files.schema.field(at), pa.array(found, pa.list_(pa.string())))

    def _of(self, path: str, partition: tuple[int, str], sequence: int) -> list[str]:
        found = _since(self._vectors.get(path), sequence, path)
        if not found:
            found = _since(self._pinned.get(path), sequence, path)
            found += _since(self._positions.get(partition), sequence, path)
        found += _since(self._equality.get(partition), sequence, path, strictly=True)
        return found + self._everywhere.since(sequence, path, strictly=True)


def _at(index: dict[Any, _Sequence], key: Any) -> _Sequence:
    return index.setdefault(key, _Sequence())


def _since(files: _Sequence | None, sequence: int, path: str, *, strictly: bool = False) -> list[str]:
    return [] if files is None else files.since(sequence, path, strictly=strictly)


def _path_bound(bounds: pa.ChunkedArray) -> list[bytes | None]:
    return pc.map_lookup(bounds, pa.scalar(PATH_ID, pa.int32()), "first").to_pylist()  # type: ignore[no-any-return]
