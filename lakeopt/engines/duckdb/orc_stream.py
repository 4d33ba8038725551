"""Rows of ORC files for DuckDB, which does not read them itself: a stream of Arrow batches, decoded by pyarrow.

A stripe is decoded whole and lives until its last batch is taken; DuckDB takes one batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lakeopt.engines.duckdb.remote_files import RemotePath
from lakeopt.orc.scan import batches
from lakeopt.parquet.form import written

if TYPE_CHECKING:
    import duckdb

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class OrcStream:
    """The rows of files of one schema: columns p0, p1 … by position, ``file_index`` and ``file_row_number``.

    DuckDB asks for a stream anew at each scan.
    """

    name: str
    paths: tuple[str, ...]
    held: pa.Schema

    def serve(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read it under its name."""
        connection.register(self.name, self)

    @property
    def schema(self) -> pa.Schema:
        """What DuckDB is given: timestamps in microseconds, fields of structs called f0, f1 …"""
        columns = [pa.field(f"p{place}", _carried(field.type)) for place, field in enumerate(self.held)]
        return pa.schema([*columns, ("file_index", pa.int64()), ("file_row_number", pa.int64())])

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        schema = self.schema
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema)).__arrow_c_stream__(requested_schema)

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        width = len(self.held)
        for index, path in enumerate(self.paths):
            first = 0
            with _open(path) as source:
                for batch in batches(source, range(width), _BATCH_ROWS):
                    rows = batch.num_rows
                    columns = [written(column, schema.field(place).type) for place, column in enumerate(batch.columns)]
                    numbers = [np.full(rows, index), np.arange(first, first + rows)]
                    yield pa.RecordBatch.from_arrays([*columns, *map(pa.array, numbers)], schema=schema)
                    first += rows


def _open(path: str) -> pa.NativeFile:
    return path.open() if isinstance(path, RemotePath) else pa.OSFile(path, "rb")


def _carried(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([(f"f{place}", _carried(kind.field(place).type)) for place in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_carried(kind.key_type), _carried(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_carried(kind.value_type))
    return kind
