"""How many bytes rows take as Parquet, found by encoding them as the data files are encoded, and keeping nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.encode import encode, writer_arguments


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """Compressed bytes of a column, and how many of these are dictionary pages."""

    bytes: int
    dictionary: int


def encoded_columns(
    pairs: Sequence[tuple[pa.Array, str]],
    writer: WriterOptions,
    *,
    group_rows: int,
    widest: float,
    ends: Sequence[int] | None = None,
) -> list[EncodedColumn]:
    """What each column takes in the encoding beside it; all have as many rows.

    A row group begins after ``group_rows`` rows and at each of ``ends``. Where pages end hangs on the ``widest``
    column of all that the rows have (bytes of a value): each column takes the same whatever others are measured with
    it.
    """
    names = [str(number) for number in range(len(pairs))]
    table = pa.table([array for array, _ in pairs], names=names)
    encodings = dict(zip(names, [encoding for _, encoding in pairs], strict=True))
    arguments = writer_arguments(table, writer, encodings, widest=widest)
    footers: list[pq.FileMetaData] = []
    with pq.ParquetWriter(
        pa.MockOutputStream(), table.schema, write_statistics=False, metadata_collector=footers, **arguments
    ) as file:
        for start, length in row_groups(ends or [table.num_rows], group_rows):
            file.write_table(table.slice(start, length), row_group_size=max(length, 1))
    totals, dictionaries = [0] * len(pairs), [0] * len(pairs)
    (footer,) = footers
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            column = int(chunk.path_in_schema.partition(".")[0])
            totals[column] += chunk.total_compressed_size
            if chunk.has_dictionary_page:
                dictionaries[column] += chunk.data_page_offset - chunk.dictionary_page_offset
    return [EncodedColumn(*sizes) for sizes in zip(totals, dictionaries, strict=True)]


def footer_size(rows: Mapping[str, pa.Array], writer: WriterOptions) -> int:
    """Bytes that one row group of these rows takes beside its columns: footer and page index."""
    part = encode(pa.table(dict(rows)), writer)
    group = pq.read_metadata(pa.BufferReader(part.data)).row_group(0)
    return int(part.data.size - sum(group.column(n).total_compressed_size for n in range(group.num_columns)))


def row_group_rows(rows: pa.Table, writer: WriterOptions) -> int:
    """Rows of a row group that is as large as the writer's options allow, by the mean size of these rows."""
    mean = rows.nbytes / max(rows.num_rows, 1)
    return max(1, min(writer.row_group_rows, int(writer.row_group_bytes / max(mean, 1))))


def row_groups(ends: Sequence[int], group_rows: int) -> list[tuple[int, int]]:
    """First row and length of each row group.

    >>> row_groups([5, 7], 3)
    [(0, 3), (3, 2), (5, 2)]
    """
    return [
        (first, min(group_rows, end - first))
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
        for first in range(start, max(end, start + 1), group_rows)
    ]
