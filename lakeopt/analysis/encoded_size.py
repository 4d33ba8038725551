"""How many bytes rows take as Parquet, found by encoding them as the data files are encoded, and keeping nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.dictionaries import DictionaryChoice
from lakeopt.parquet.encode import encode


@dataclass(frozen=True, slots=True)
class EncodedSize:
    """Compressed bytes of each top-level column, of these its dictionary pages, and all that is no column."""

    columns: tuple[int, ...]
    dictionaries: tuple[int, ...]
    footer: int


def encoded_size(
    columns: Sequence[pa.Array], writer: WriterOptions, *, group_rows: int, ends: Sequence[int] | None = None
) -> EncodedSize:
    """Size of one file of these columns. A row group begins after ``group_rows`` rows and at each of ``ends``."""
    table = pa.table(list(columns), names=[str(number) for number in range(len(columns))])
    choice = DictionaryChoice(table.schema)
    totals, dictionaries, footer = [0] * len(columns), [0] * len(columns), 0
    for start, length in _row_groups(ends or [table.num_rows], group_rows):
        rows = table.slice(start, length)
        part = encode(rows, writer, plain=choice.without(rows))
        choice.learn(rows, part)
        group = pq.read_metadata(pa.BufferReader(part.data)).row_group(0)
        chunks = [group.column(number) for number in range(group.num_columns)]
        for chunk in chunks:
            column = int(chunk.path_in_schema.partition(".")[0])
            totals[column] += chunk.total_compressed_size
            if chunk.has_dictionary_page:
                dictionaries[column] += chunk.data_page_offset - chunk.dictionary_page_offset
        footer += part.data.size - sum(chunk.total_compressed_size for chunk in chunks)
    return EncodedSize(tuple(totals), tuple(dictionaries), footer)


def row_group_rows(rows: pa.Table, writer: WriterOptions) -> int:
    """Rows of a row group that is as large as the writer's options allow, by the mean size of these rows."""
    mean = rows.nbytes / max(rows.num_rows, 1)
    return max(1, min(writer.row_group_rows, int(writer.row_group_bytes / max(mean, 1))))


def _row_groups(ends: Sequence[int], group_rows: int) -> list[tuple[int, int]]:
    """First row and length of each row group."""
    return [
        (first, min(group_rows, end - first))
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
        for first in range(start, max(end, start + 1), group_rows)
    ]
