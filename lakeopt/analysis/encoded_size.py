"""How many bytes rows take as Parquet, found by writing them to nowhere with the writer that writes data files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.encode import open_writer


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
    ends = ends or [table.num_rows]
    sink = pa.MockOutputStream()
    file = open_writer(sink, table.schema, writer)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        file.write_table(table.slice(start, end - start), row_group_size=group_rows)
    file.close()
    totals, dictionaries = [0] * len(columns), [0] * len(columns)
    footer = file.writer.metadata
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            column = int(chunk.path_in_schema.partition(".")[0])
            totals[column] += chunk.total_compressed_size
            if chunk.has_dictionary_page:
                dictionaries[column] += chunk.data_page_offset - chunk.dictionary_page_offset
    return EncodedSize(tuple(totals), tuple(dictionaries), sink.size() - sum(totals))


def row_group_rows(rows: pa.Table, writer: WriterOptions) -> int:
    """Rows of a row group that is as large as the writer's options allow, by the mean size of these rows."""
    mean = rows.nbytes / max(rows.num_rows, 1)
    return max(1, min(writer.row_group_rows, int(writer.row_group_bytes / max(mean, 1))))
